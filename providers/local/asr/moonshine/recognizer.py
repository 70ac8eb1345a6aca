"""Moonshine as a Recognizer: English, on a CPU."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import exp
from pathlib import Path

import numpy as np

from app.domain.audio import SAMPLE_RATE
from app.domain.errors import ModelUnavailable, RequestRefused
from providers.local.asr.hallucination import DecodeEvidence
from providers.local.asr.moonshine.alignment import timed_words
from providers.local.asr.moonshine.layout import DECODER_FILE, ENCODER_FILE, ENCODER_PATHS, TOKENIZER_FILE
from providers.local.asr.moonshine.network import MoonshineDecoder, MoonshineEncoder
from providers.local.asr.moonshine.tokenizer import BEGIN, END, MoonshineTokenizer, read_tokenizer
from providers.local.asr.recognizer import DecodeRequest, DecodeResult, TimedWord
from providers.local.asr.repair import repair, truncated
from providers.local.asr.transformer.encoder_choice import choose_encoder
from providers.local.asr.transformer.encoder_path import EncoderChoice
from providers.local.asr.transformer.errors import UnreadableCheckpoint
from providers.local.asr.transformer.graph_cache import export_in_subprocess, exported_graphs
from providers.local.asr.transformer.greedy import GreedyDecoder
from providers.local.asr.transformer.key_terms import KeyTermBias, bias_maker
from providers.local.asr.transformer.speculation import DraftSpeculation
from providers.local.errors import PROVIDER
from providers.local.mel import Samples

_TOKENS_PER_S, _EXTRA_TOKENS = 6.5, 4
"""Limit of a text's tokens, by the length of its audio; a text that does not end within it is a loop."""

_SHORT = 2 * SAMPLE_RATE
"""Samples below which the model loops where speech touches the edges of its audio."""

_EDGE = SAMPLE_RATE // 4
"""Samples of quiet noise put beside short audio, and behind a draft."""

_NOISE: Samples = np.random.default_rng(0).normal(0.0, 1e-4, _EDGE).astype(np.float32)
"""That noise: 80 dB below full scale, always the same."""


@dataclass(frozen=True, slots=True)
class MoonshineRecognizer:
    encoder: MoonshineEncoder
    decoder: MoonshineDecoder
    tokenizer: MoonshineTokenizer
    choice: EncoderChoice
    bias_of: Callable[[tuple[str, ...]], KeyTermBias]
    """The decoder's bias for a list of key terms."""
    note: str = ""

    @property
    def device(self) -> str:
        return "cpu"

    @property
    def compute_type(self) -> str:
        return str(self.choice.path)

    @property
    def encoder_choice(self) -> str:
        return self.choice.describe()

    @property
    def languages(self) -> frozenset[str]:
        return frozenset({"en"})

    def require_language(self, language: str | None) -> None:
        if language not in (None, "en"):
            raise RequestRefused(PROVIDER, f"this model knows English only, not {language!r}")

    def decode(self, requests: Sequence[DecodeRequest]) -> list[DecodeResult]:
        return [self._decode(request) for request in requests]

    def _decode(self, request: DecodeRequest) -> DecodeResult:
        samples, before = _with_edges(request.samples, is_draft=not request.allow_fallback)
        prefix = self.tokenizer.encode(request.prefix) if request.prefix.strip() else []
        draft = self.tokenizer.encode(request.draft_text) if request.draft_text.strip() else []
        speculation = DraftSpeculation(draft)
        speculation.accept(prefix, 0)
        text = GreedyDecoder(
            self.decoder,
            self.decoder.cross_attention_kv(self.encoder(samples)),
            [BEGIN, *prefix],
            prefix_length=len(prefix),
            end_token=END,
            suppress_begin=(
                END,
            ),  # because the VAD has found speech; behind a second of silence it would write nothing
            key_terms=self.bias_of(request.key_terms),
            speculation=speculation,
        )
        limit = int(_EXTRA_TOKENS + request.audio_s * _TOKENS_PER_S)
        text.decode(max(limit, len(prefix) + _EXTRA_TOKENS))
        evidence = DecodeEvidence(
            self.tokenizer.decode(text.tokens),
            request.audio_s,
            text.avg_logprob,
            no_speech_prob=0.0,
            hit_token_limit=not text.ended and request.allow_fallback,
        )
        result = repair(evidence, request, partial(self._align, text, before / SAMPLE_RATE))
        return replace(truncated(result, request.audio_s), passes=1, language="en")

    def _align(self, text: GreedyDecoder, offset_s: float) -> tuple[TimedWord, ...]:
        tokens = text.tokens
        starts = self.tokenizer.word_starts(tokens)
        log_probs = [0.0] * text.prefix_length + text.log_probs
        ends = [*starts[1:], len(tokens)]
        words = [self.tokenizer.decode(tokens[start:end]) for start, end in zip(starts, ends, strict=True)]
        sure = [exp(float(np.mean(log_probs[start:end]))) for start, end in zip(starts, ends, strict=True)]
        return timed_words(words, starts, sure, np.concatenate(text.attention, axis=1), offset_s)


def _with_edges(samples: Samples, *, is_draft: bool) -> tuple[Samples, int]:
    """Audio with quiet noise beside it where the model needs it; and how many samples of it come first."""
    if len(samples) < _SHORT:
        return np.concatenate((_NOISE, samples, _NOISE)), _EDGE
    return (np.concatenate((samples, _NOISE)), 0) if is_draft else (samples, 0)


def open_moonshine_recognizer(folder: Path, *, threads: int, encoder_path: str = "auto") -> MoonshineRecognizer:
    """Open the published model in this folder. Blocking. Raises ModelUnavailable with what to do.

    `encoder_path` is an EncoderPath; `auto` takes the cheapest one that is right on this processor.
    """
    missing = [name for name in (ENCODER_FILE, DECODER_FILE, TOKENIZER_FILE) if not (folder / name).is_file()]
    if missing:
        raise ModelUnavailable(f"the Moonshine model {folder} has no {missing[0]}: fetch the model again")
    export = partial(export_in_subprocess, module="providers.local.asr.moonshine.export")
    try:
        tokenizer = read_tokenizer(folder / TOKENIZER_FILE)
        with exported_graphs(folder, export, weights=DECODER_FILE) as graphs:
            paths = {path: partial(MoonshineEncoder, graphs, path, threads) for path in ENCODER_PATHS}
            choice = choose_encoder(graphs, paths, encoder_path)
            encoder = paths[choice.path]()
            bias_of = bias_maker(tokenizer.encode, tokenizer.decode_inner)
            return MoonshineRecognizer(encoder, MoonshineDecoder(graphs, threads), tokenizer, choice, bias_of)
    except UnreadableCheckpoint as error:
        raise ModelUnavailable(f"the Moonshine model {folder} is damaged, fetch it again: {error}") from error
