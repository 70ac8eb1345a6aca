"""Open a CTranslate2 Whisper model from a folder, with its onnxruntime graphs where they are the faster ones."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import ctranslate2
import tokenizers
from faster_whisper.tokenizer import _LANGUAGE_CODES, Tokenizer
from threadpoolctl import threadpool_limits

from app.domain.errors import ModelUnavailable, RequestRefused
from providers.local.asr.transformer.encoder_path import EncoderChoice
from providers.local.asr.transformer.errors import UnreadableCheckpoint
from providers.local.asr.transformer.key_terms import KeyTermBias, bias_maker
from providers.local.asr.whisper.decoder import DecoderSession
from providers.local.asr.whisper.encoder import EncoderSession
from providers.local.asr.whisper.opening import open_transformer
from providers.local.asr.whisper.tokenizer import inner_tokens, read_tokenizer
from providers.local.errors import PROVIDER
from providers.local.mel import MelFilters
from providers.local.thread_plan import ThreadPlan

_FILES = ("model.bin", "config.json", "tokenizer.json")
_CPU, _CUDA = "cpu", "cuda"


@dataclass(frozen=True, slots=True)
class WhisperModel:
    """CTranslate2 weights, ONNX encoder and decoder, tokenizer and mel filters of one Whisper model."""

    ct2: ctranslate2.models.Whisper
    """Not in memory before `weights` is used, where onnxruntime does most of the work."""

    encoder: EncoderSession | None
    """Encodes in CTranslate2's place, where it is cheaper on this processor and right."""

    decoder: DecoderSession | None
    """Decodes greedily in CTranslate2's place, where the device is a CPU and the weights are 8-bit integers."""

    tokens: tokenizers.Tokenizer
    filters: MelFilters
    device: str
    """`cpu` or `cuda`."""

    compute_type: str
    multilingual: bool
    note: str
    """What an operator should know about the device; empty when all is as configured."""

    bias_of: Callable[[tuple[str, ...]], KeyTermBias]
    """The decoder's bias for a list of key terms."""
    choice: EncoderChoice | None = None
    """None where CTranslate2 does everything."""

    @property
    def weights(self) -> ctranslate2.models.Whisper:
        """The model in CTranslate2, loaded into memory at the first use."""
        self.ct2.load_model()
        return self.ct2

    @property
    def languages(self) -> frozenset[str]:
        """Of English-only models the vocabulary has the tokens of all languages nevertheless."""
        if not self.multilingual:
            return frozenset({"en"})
        return frozenset(code for code in _LANGUAGE_CODES if self.tokens.token_to_id(f"<|{code}|>") is not None)

    def tokenizer(self, language: str | None) -> Tokenizer:
        """The tokenizer for a language (`de`); None is English. Raises RequestRefused where the model lacks it."""
        if not self.multilingual:
            if language not in (None, "en"):
                raise RequestRefused(PROVIDER, f"this model knows English only, not {language!r}")
            return Tokenizer(self.tokens, multilingual=False)
        unknown = f"this model does not know the language {language!r}"
        if language is not None and self.tokens.token_to_id(f"<|{language}|>") is None:
            raise RequestRefused(PROVIDER, unknown)
        try:
            return Tokenizer(self.tokens, multilingual=True, task="transcribe", language=language or "en")
        except ValueError as error:  # another of the model's special tokens
            raise RequestRefused(PROVIDER, unknown) from error


def choose_device(configured: str) -> tuple[str, str]:
    """The device for `auto`, `cpu` or `cuda`, and a sentence where it is not the configured one."""
    if configured == _CPU:
        return _CPU, ""
    if ctranslate2.get_cuda_device_count() > 0:
        return _CUDA, ""
    if configured == _CUDA:
        return _CPU, (
            "CUDA was asked for, but this build of CTranslate2 sees no CUDA device: "
            "speech runs on the CPU, several times slower"
        )
    return _CPU, ""


def choose_precision(device: str, configured: str) -> str:
    """The compute type for `auto` on this device; any other as it is configured."""
    if configured != "auto":
        return configured
    return "int8_float16" if device == _CUDA else "int8"


def load(folder: Path, *, device: str, compute_type: str, plan: ThreadPlan, encoder_path: str = "auto") -> WhisperModel:
    """Open the model in this folder. Raises ModelUnavailable with what to do.

    CTranslate2 runs as many passes at the same time as the plan has workers. `encoder_path` is an EncoderPath or
    `auto`.
    """
    for name in _FILES:
        if not (folder / name).is_file():
            raise ModelUnavailable(f"the Whisper model {folder} has no {name}: fetch the model again")
    # numpy's BLAS threads would spin for a while after every spectrogram, on the cores that the models need.
    threadpool_limits(1, user_api="blas")
    device, note = choose_device(device)
    precision = choose_precision(device, compute_type)
    try:
        weights = ctranslate2.models.Whisper(
            str(folder), device=device, compute_type=precision, intra_threads=plan.threads, inter_threads=plan.workers
        )
        tokens = read_tokenizer(folder / "tokenizer.json")
    except ValueError as error:
        raise ModelUnavailable(f"the Whisper model {folder} cannot run on {device} as {precision}") from error
    # tokenizers raises bare Exception for a damaged file, and nothing more exact.
    except Exception as error:
        raise ModelUnavailable(f"the Whisper model {folder} is damaged: fetch the model again") from error
    encoder, decoder, choice = None, None, None
    if device == _CPU and weights.compute_type.startswith("int8"):
        try:
            encoder, decoder, choice = open_transformer(folder, weights, plan.graph_threads, encoder_path)
        except UnreadableCheckpoint as error:
            note = f"{note} decoding runs on CTranslate2, at a third of the speed: {error}".strip()
    filters, actual, multilingual = MelFilters(weights.n_mels), weights.compute_type, weights.is_multilingual
    if encoder is not None:
        weights.unload_model()
    bias_of = bias_maker(partial(inner_tokens, tokens), tokens.decode)
    return WhisperModel(weights, encoder, decoder, tokens, filters, device, actual, multilingual, note, bias_of, choice)
