"""One llama.cpp model and its one context: a conversation in, the pieces of an answer out. Blocking.

What two prompts share is computed once: the context keeps the last prompt and answer, and only
what follows their common beginning is evaluated. In a conversation that is the newest message.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from cyllama.llama import llama_cpp

from app.domain.dialog.conversation import Message, Role
from app.domain.errors import ModelUnavailable, ProviderMisbehaved, ProviderRefused

PROVIDER = "embedded"

_BATCH = 512
_DROPPED_TOGETHER = 8
"""Old messages leave in groups: between two groups the prompt keeps its beginning, and need not be evaluated anew."""

_HALF_A_LETTER = "\N{REPLACEMENT CHARACTER}"
_SENTENCE_ENDS = (".", "!", "?", "\n", "。", "！", "？")  # noqa: RUF001 because these are Chinese signs


def find_weights(model: Path) -> Path:
    """The .gguf file itself, or the one in this folder."""
    found = [model] if model.is_file() else sorted(model.glob("*.gguf"))
    if len(found) != 1:
        raise ModelUnavailable(f"{model} should be a .gguf file or a folder with exactly one")
    return found[0]


class Llama:
    """Owned by one thread at a time; `stop` may be called from any."""

    def __init__(
        self, model: Path, *, max_tokens: int, temperature: float, context_tokens: int, threads: int, seed: int | None
    ) -> None:
        self.max_tokens = max_tokens
        self._temperature = temperature
        self._seed = 0xFFFFFFFF if seed is None else seed  # llama.cpp's word for "draw one"
        weights = find_weights(model)
        llama_cpp.disable_logging()
        llama_cpp.ggml_backend_load_all()
        settings = llama_cpp.LlamaContextParams()
        settings.n_ctx = context_tokens
        settings.n_batch = _BATCH
        settings.n_threads = settings.n_threads_batch = threads
        settings.no_perf = True
        try:
            self._model = llama_cpp.LlamaModel(str(weights), llama_cpp.LlamaModelParams())
            self._context = llama_cpp.LlamaContext(self._model, settings)
        except (ValueError, RuntimeError, OSError) as error:
            raise ModelUnavailable(f"{weights} cannot be loaded; is it a whole GGUF file?") from error
        self._context.install_cancel_callback()
        self._vocabulary = self._model.get_vocab()
        self._template = self._model.get_default_chat_template()
        self._room = context_tokens - max_tokens
        self._held: list[int] = []

    def close(self) -> None:
        self._context.close()
        self._model.close()

    def may_run(self) -> None:
        """Take back an earlier `stop`."""
        self._context.cancel = False

    def stop(self) -> None:
        """End the computation under way, within milliseconds."""
        self._context.cancel = True

    def warm(self) -> None:
        """Compute a first word, so that the first answer does not wait for pages and threads."""
        try:
            self._evaluate(self._prompt((Message(Role.USER, "Hello"),)))
            next(self._tokens(), None)
        except (ValueError, RuntimeError) as error:
            raise ModelUnavailable("the model cannot chat: it has no template that llama.cpp knows") from error

    def answer(self, conversation: Sequence[Message]) -> Iterator[str]:
        """Write until the model ends, or its limit: near that, the end of a sentence is the end."""
        said = ""
        written: list[int] = []
        prompt = self._prompt(conversation)
        try:
            self._evaluate(prompt)
            for token in self._tokens():
                written.append(token)
                text: str = self._vocabulary.detokenize(written)
                if not text.endswith(_HALF_A_LETTER):
                    yield text[len(said) :]
                    said = text
                    if len(written) >= self.max_tokens * 3 // 4 and text.endswith(_SENTENCE_ENDS):
                        return
        except InterruptedError:
            return
        if not said.strip():
            raise ProviderMisbehaved(PROVIDER, "answered with nothing")

    def _tokens(self) -> Iterator[int]:
        sampler = self._sampler()
        for _ in range(self.max_tokens):
            token: int = sampler.sample(self._context, -1)
            if self._vocabulary.is_eog(token):
                return
            yield token
            self._decode([token])

    def _prompt(self, conversation: Sequence[Message]) -> list[int]:
        """The conversation as tokens, without its oldest messages where all would not fit."""
        system = [message for message in conversation if message.role is Role.SYSTEM]
        spoken = [message for message in conversation if message.role is not Role.SYSTEM]
        while True:
            tokens = self._tokenize([*system, *spoken])
            if len(tokens) <= self._room:
                return tokens
            if len(spoken) <= 1:
                raise ProviderRefused(
                    "embedded", f"the prompt has {len(tokens)} tokens, there is room for {self._room}"
                )
            spoken = spoken[min(_DROPPED_TOGETHER, len(spoken) - 1) :]

    def _tokenize(self, messages: Sequence[Message]) -> list[int]:
        # A message must not speak the template's own signs: they would make it someone else's message.
        chat = [llama_cpp.LlamaChatMessage(str(each.role), each.text.replace("<|", "< |")) for each in messages]
        prompt = self._model.chat_apply_template(self._template, chat, True)
        tokens: list[int] = self._vocabulary.tokenize(prompt, add_special=True, parse_special=True)
        return tokens

    def _evaluate(self, prompt: list[int]) -> None:
        shared = 0
        for held, wanted in zip(self._held, prompt[:-1], strict=False):
            if held != wanted:
                break
            shared += 1
        if not self._context.memory_seq_rm(0, shared, -1):
            self._context.kv_cache_clear()
            shared = 0
        del self._held[shared:]
        for start in range(shared, len(prompt), _BATCH):
            self._decode(prompt[start : start + _BATCH])

    def _decode(self, tokens: list[int]) -> None:
        self._context.decode(llama_cpp.llama_batch_get_one(tokens, len(self._held)))
        self._held += tokens

    def _sampler(self) -> "llama_cpp.LlamaSampler":
        settings = llama_cpp.LlamaSamplerChainParams()
        settings.no_perf = True
        sampler = llama_cpp.LlamaSampler(settings)
        sampler.add_penalties(64, 1.1, 0.0, 0.0)  # because small models turn in circles
        if self._temperature == 0:
            sampler.add_greedy()
        else:
            sampler.add_min_p(0.05, 1)
            sampler.add_temp(self._temperature)
            sampler.add_dist(self._seed)
        return sampler
