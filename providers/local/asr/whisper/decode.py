"""One pass of Whisper over the features of an utterance: encode, decode, align words with the audio."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import exp
from typing import Any, TypeAlias

import ctranslate2
import numpy as np
from faster_whisper.tokenizer import Tokenizer

from app.domain.language import only_language
from providers.local.asr.hallucination import DecodeEvidence, loop_start, restarts_at
from providers.local.asr.recognizer import DecodeRequest, TimedWord
from providers.local.asr.spoken_language import choose_language
from providers.local.asr.transformer.greedy import GreedyDecoder
from providers.local.asr.transformer.speculation import DraftSpeculation
from providers.local.asr.whisper.alignment import TokenTimes, timed_words, token_times
from providers.local.asr.whisper.model import WhisperModel
from providers.local.asr.whisper.tokenizer import inner_tokens
from providers.local.mel import FRAMES_PER_S, LogMel

Memory: TypeAlias = Any
"""A CTranslate2 StorageView with the encoder's output, (batch, T, d_model) in float32."""

_MAX_TOKENS = 224
"""Tokens of a text, its prefix included. CTranslate2 never ends where the prefix alone is longer."""

_TOKENS_PER_S = 6
_EXTRA_TOKENS = 12
"""Limit of a text's tokens, by the length of its audio."""

_CHECK_TOKENS_PER_S, _CHECK_EXTRA_TOKENS = 4, 8
"""Tokens after which a greedy pass is checked for a loop, by the length of the audio; few people speak faster."""

_DRAFT_TOKENS_PER_S, _DRAFT_EXTRA_TOKENS = 3, 4
_DRAFT_NEW_TOKENS = 10
"""The same for a draft: without a prefix by the length of its audio, behind a prefix so many new tokens."""

_DRAFT_MORE_TOKENS = 20
"""Most tokens a draft adds after that check: the next draft continues."""


_MAX_HOTWORD_TOKENS = 200
"""Of key terms before the prompt, its prefix included: prompt and text share the decoder's 448 positions."""


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A request with its features and the tokenizer of its language."""

    request: DecodeRequest
    log_mel: LogMel
    """(bands, frames), as MelFilters computes it."""

    tokenizer: Tokenizer
    prefix: tuple[int, ...]
    likelier: Tokenizer | None = None
    """Of the language that is likelier than the favoured one, and not clearly so."""
    hotwords: tuple[int, ...] = ()
    """Key terms in the place of what was said before, for CTranslate2, which has no bias; as in faster-whisper."""

    @property
    def prompt(self) -> list[int]:
        """The tokens before the first decoded one."""
        return [*self.tokenizer.sot_sequence, self.tokenizer.no_timestamps, *self.prefix]


@dataclass(frozen=True, slots=True)
class DecodePass:
    """A decoded text, its prefix included."""

    tokens: tuple[int, ...]
    evidence: DecodeEvidence
    decoder: GreedyDecoder | None = None
    """What decoded it on onnxruntime, and knows where each token was attended; None: CTranslate2 decoded it."""


def prepare(model: WhisperModel, request: DecodeRequest, log_mel: LogMel, memory: Memory) -> PreparedRequest:
    """Tokenize the prefix; where the request names several languages or none, detect it. Raises RequestRefused."""
    language, likeliest = only_language(request.language), None
    if language is None and model.multilingual:
        probabilities = language_probabilities(model, memory)
        language = choose_language(probabilities, request.language, request.previous_language)
        likeliest = choose_language(probabilities, request.language, None)
    tokenizer = model.tokenizer(language)
    likelier = model.tokenizer(likeliest) if likeliest not in (None, language) else None
    prefix = tokenizer.encode(" " + request.prefix.strip()) if request.prefix.strip() else []
    prefix = prefix[-_MAX_TOKENS // 2 :]
    hotwords = inner_tokens(model.tokens, ", ".join(request.key_terms))[: _MAX_HOTWORD_TOKENS - len(prefix)]
    before = (tokenizer.sot_prev, *hotwords) if request.key_terms else ()
    return PreparedRequest(request, log_mel, tokenizer, tuple(prefix), likelier, before)


def language_probabilities(model: WhisperModel, memory: Memory) -> dict[str, float]:
    """How likely each language of a multilingual model is in this audio."""
    if model.decoder is None or not model.decoder.language_tokens:
        detected = model.weights.detect_language(memory)[0]
        return {token.strip("<|>"): probability for token, probability in detected}
    tokens, decoder = model.decoder.language_tokens, model.decoder
    keys_and_values, start = decoder.cross_attention_kv(np.array(memory)), model.tokenizer(None).sot
    logits = decoder.step(keys_and_values, decoder.empty_kv_cache(), [start], 0, [0]).logits[0, tokens]
    weights = np.exp(logits - logits.max())
    names = [str(model.tokens.id_to_token(token)).strip("<|>") for token in tokens]
    return dict(zip(names, (weights / weights.sum()).tolist(), strict=True))


def encode(model: WhisperModel, features: Sequence[LogMel]) -> Memory:
    """Encode a batch of features of one shape, (bands, frames) each."""
    batch = np.ascontiguousarray(np.stack(features))
    if model.encoder is not None:
        return ctranslate2.StorageView.from_array(model.encoder(batch))
    return model.weights.encode(ctranslate2.StorageView.from_array(batch))


def split_batch(model: WhisperModel, memory: Memory) -> list[Memory]:
    """The encoder's output of each item of a batch, as a batch of one."""
    on_cpu = memory.to_device(ctranslate2.Device.cpu) if model.device == "cuda" else memory
    rows = np.array(on_cpu)
    return [ctranslate2.StorageView.from_array(np.ascontiguousarray(row[None])) for row in rows]


def generate(model: WhisperModel, memory: Memory, prepared: Sequence[PreparedRequest]) -> list[DecodePass]:
    """Decode at most as many tokens as the audio can hold; a greedy pass over one item stops early in a loop."""
    audio_s = max(one.request.audio_s for one in prepared)
    prefix = max(len(one.prefix) for one in prepared)
    limit = min(_MAX_TOKENS - prefix, int(_EXTRA_TOKENS + audio_s * _TOKENS_PER_S))
    is_greedy = len(prepared) == 1 and prepared[0].request.beam_size == 1
    is_draft = not any(one.request.allow_fallback for one in prepared)
    check = min(limit, _check_after(audio_s, is_draft=is_draft, has_prefix=prefix > 0)) if is_greedy else limit
    if is_draft:
        limit = min(limit, check + _DRAFT_MORE_TOKENS)
    if is_greedy and model.decoder is not None:
        decode = _onnx_decoder(model, memory, prepared[0])
    else:
        decode = _ctranslate2_decoder(model, memory, prepared)
    passes = decode(prefix + check)
    if check < limit and _should_continue(passes[0], prefix + check, is_draft=is_draft):
        passes = decode(prefix + limit)
    return passes


def _check_after(audio_s: float, *, is_draft: bool, has_prefix: bool) -> int:
    if is_draft:
        return _DRAFT_NEW_TOKENS if has_prefix else int(_DRAFT_EXTRA_TOKENS + audio_s * _DRAFT_TOKENS_PER_S)
    return int(_CHECK_EXTRA_TOKENS + audio_s * _CHECK_TOKENS_PER_S)


def _should_continue(decoded: DecodePass, tokens: int, *, is_draft: bool) -> bool:
    words = decoded.evidence.text.split()
    is_loop = loop_start(words) is not None or (is_draft and restarts_at(words) is not None)
    return len(decoded.tokens) >= tokens and not is_loop


_Decode: TypeAlias = Callable[[int], list[DecodePass]]
"""Decodes until the texts have so many tokens, their prefixes included; called again, it continues."""


def _onnx_decoder(model: WhisperModel, memory: Memory, prepared: PreparedRequest) -> _Decode:
    """Greedy decoding on onnxruntime, with the request's draft text verified."""
    assert model.decoder is not None
    tokenizer, prompt, draft = prepared.tokenizer, prepared.prompt, prepared.request.draft_text.strip()
    speculation = DraftSpeculation(tokenizer.encode(" " + draft) if draft else ())
    speculation.accept(prepared.prefix, 0)
    text = GreedyDecoder(
        model.decoder,
        model.decoder.cross_attention_kv(np.array(memory)),
        prompt,
        prefix_length=len(prepared.prefix),
        end_token=tokenizer.eot,
        suppress=model.decoder.suppress,
        suppress_begin=model.decoder.suppress_begin,
        no_speech=(prompt.index(tokenizer.sot), tokenizer.no_speech),
        key_terms=model.bias_of(prepared.request.key_terms),
        speculation=speculation,
    )

    def decode(max_tokens: int) -> list[DecodePass]:
        text.decode(max_tokens)
        one_pass = _pass(prepared, text.tokens, text.avg_logprob, text.no_speech_prob, max_tokens)
        return [replace(one_pass, decoder=text)]

    return decode


def _ctranslate2_decoder(model: WhisperModel, memory: Memory, prepared: Sequence[PreparedRequest]) -> _Decode:
    beam_size = max(one.request.beam_size for one in prepared)
    continued = list(prepared)

    def decode(max_tokens: int) -> list[DecodePass]:
        prompts = [[*one.hotwords, *one.prompt] for one in continued]
        limit = min(_MAX_TOKENS, max_tokens)
        # Doubled, because CTranslate2 gives the text at most half of max_length, and what the prompt leaves of it.
        results = model.weights.generate(
            memory,
            prompts,
            beam_size=beam_size,
            max_length=max(2 * limit, limit + max(map(len, prompts))),
            return_scores=True,
            return_no_speech_prob=True,
        )
        passes = []
        for one, result in zip(continued, results, strict=True):
            tokens = tuple(result.sequences_ids[0])
            avg_logprob = result.scores[0] if tokens else 0.0
            passes.append(_pass(one, tokens, avg_logprob, result.no_speech_prob, max_tokens))
        # The tokens so far are the prefix of the next call: nothing is decoded twice.
        continued[:] = [replace(one, prefix=decoded.tokens) for one, decoded in zip(continued, passes, strict=True)]
        return passes

    return decode


def _pass(
    prepared: PreparedRequest, tokens: tuple[int, ...], avg_logprob: float, no_speech_prob: float, max_tokens: int
) -> DecodePass:
    request = prepared.request
    hit_limit = request.allow_fallback and len(tokens) >= min(_MAX_TOKENS, max_tokens)
    text = prepared.tokenizer.decode(list(tokens)).strip()
    return DecodePass(tokens, DecodeEvidence(text, request.audio_s, avg_logprob, no_speech_prob, hit_limit))


def align(model: WhisperModel, prepared: PreparedRequest, memory: Memory, decoded: DecodePass) -> tuple[TimedWord, ...]:
    """When each word was spoken: by the decoder's own attention, or by one more pass of CTranslate2."""
    is_text = np.array([token < prepared.tokenizer.eot for token in decoded.tokens], np.bool_)
    text = [token for token in decoded.tokens if token < prepared.tokenizer.eot]
    if not text:
        return ()
    frames = prepared.log_mel.shape[1]
    if decoded.decoder is not None:
        one = decoded.decoder
        attention = np.concatenate(one.attention, axis=1)
        # Of a prefix that was given nothing is known: it counts as sure.
        sure = [1.0] * one.prefix_length + [exp(each) for each in one.log_probs[: len(one.written)]]
        times = token_times(attention, is_text, sure, len(one.prompt) - one.prefix_length, frames)
    else:
        alignment = model.weights.align(memory, prepared.tokenizer.sot_sequence, [text], frames)[0]
        steps = np.array(alignment.alignments)
        starts = steps[np.concatenate(([True], np.diff(steps[:, 0]) > 0)), 1] * (2 / FRAMES_PER_S)
        times = TokenTimes(starts.tolist(), alignment.text_token_probs)
    return timed_words(prepared.tokenizer, text, times)
