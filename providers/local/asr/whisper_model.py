"""A Whisper model on this machine's disk, opened."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import ctranslate2
import tokenizers
from faster_whisper.tokenizer import _LANGUAGE_CODES, Tokenizer
from threadpoolctl import threadpool_limits

from app.domain.errors import ModelUnavailable, ProviderBusy, ProviderMisbehaved, ProviderRefused
from providers.local.asr.tokens import read_tokens
from providers.local.asr.transformer.checkpoint import UnreadableCheckpoint
from providers.local.asr.transformer.decoder import DecoderSession
from providers.local.asr.transformer.encoder import EncoderSession
from providers.local.asr.transformer.opening import open_transformer
from providers.local.mel import MelFilters
from providers.local.onnx import FAILURES

PROVIDER = "local"

_NEEDED = ("model.bin", "config.json", "tokenizer.json")
_CPU, _CUDA = "cpu", "cuda"

_MOST_THREADS = 4
"""A network's; those that other passes leave idle help, and nobody spins."""

_FAILURES: tuple[type[Exception], ...] = (RuntimeError, *FAILURES)

_NO_MEMORY = ("out of memory", "alloc")
"""In the words of CUDA ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED") and MKL ("failed to allocate memory")."""


@dataclass(frozen=True, slots=True)
class WhisperModel:
    """Weights, words and ears of one model."""

    ct2: ctranslate2.models.Whisper
    """Not in memory before `weights` is asked for, where onnxruntime does most of the work."""

    encoder: EncoderSession | None
    """Encodes in CTranslate2's place, on processors that can."""

    decoder: DecoderSession | None
    """Writes the text in CTranslate2's place, where the device is a CPU and the weights are integers."""

    tokens: tokenizers.Tokenizer
    filters: MelFilters
    device: str
    compute_type: str
    multilingual: bool
    note: str
    """What an operator should know about the device; empty when all is as wished."""

    @property
    def weights(self) -> ctranslate2.models.Whisper:
        """The model in CTranslate2, in memory from the first time on."""
        self.ct2.load_model()
        return self.ct2

    def tokenizer(self, language: str | None) -> Tokenizer:
        """The tokenizer for one language. Raises ProviderRefused where the model cannot speak it."""
        if not self.multilingual:
            if language not in (None, "en"):
                raise ProviderRefused(PROVIDER, f"this model knows English only, not {language!r}")
            return Tokenizer(self.tokens, multilingual=False)
        if language is not None and language not in _LANGUAGE_CODES:
            raise ProviderRefused(PROVIDER, f"this model does not know the language {language!r}")
        return Tokenizer(self.tokens, multilingual=True, task="transcribe", language=language or "en")


def choose_device(wished: str) -> tuple[str, str]:
    """The device to use, and a sentence when it is not what was wished for."""
    if wished == _CPU:
        return _CPU, ""
    if ctranslate2.get_cuda_device_count() > 0:
        return _CUDA, ""
    if wished == _CUDA:
        return _CPU, (
            "CUDA was asked for, but this build of CTranslate2 sees no CUDA device: "
            "speech runs on the CPU, several times slower"
        )
    return _CPU, ""


def load(folder: Path, *, device: str, compute_type: str, threads: int, workers: int = 1) -> WhisperModel:
    """Open the model. Raises ModelUnavailable with what to do where it cannot be opened."""
    for name in _NEEDED:
        if not (folder / name).is_file():
            raise ModelUnavailable(f"the Whisper model {folder} has no {name}: fetch the model again")
    # numpy's threads would spin for a while after every spectrogram, on the cores that the models need.
    threadpool_limits(1, user_api="blas")
    device, note = choose_device(device)
    wanted = compute_type if compute_type != "auto" else ("int8_float16" if device == _CUDA else "int8")
    try:
        weights = ctranslate2.models.Whisper(
            str(folder), device=device, compute_type=wanted, intra_threads=threads, inter_threads=workers
        )
        tokens = read_tokens(folder / "tokenizer.json")
    except ValueError as error:
        raise ModelUnavailable(f"the Whisper model {folder} cannot run on {device} as {wanted}") from error
    # tokenizers raises bare Exception for a damaged file, and nothing more exact.
    except Exception as error:
        raise ModelUnavailable(f"the Whisper model {folder} is damaged: fetch the model again") from error
    encoder, decoder = None, None
    if device == _CPU and weights.compute_type.startswith("int8"):
        try:
            encoder, decoder = open_transformer(folder, min(_MOST_THREADS, threads * workers))
        except UnreadableCheckpoint as error:
            note = f"{note} text is written by CTranslate2, at a third of the speed: {error}".strip()
    filters, precision, multilingual = MelFilters(weights.n_mels), weights.compute_type, weights.is_multilingual
    if encoder is not None:
        weights.unload_model()
    return WhisperModel(weights, encoder, decoder, tokens, filters, device, precision, multilingual, note)


@contextmanager
def translated() -> Iterator[None]:
    """What CTranslate2 and onnxruntime raise, in our words."""
    try:
        with within_memory():
            yield
    except _FAILURES as error:
        if any(sign in str(error).lower() for sign in _NO_MEMORY):
            raise ProviderBusy(PROVIDER, "the device has no memory left for the model") from error
        raise ProviderMisbehaved(PROVIDER, "the model failed on this audio") from error


@contextmanager
def within_memory() -> Iterator[None]:
    """Where memory ends, the engine is busy: there may be some again when other sessions are done."""
    try:
        yield
    except MemoryError as error:
        raise ProviderBusy(PROVIDER, "this machine has no memory left for the model") from error
