"""One llama.cpp model with one context: a conversation in, text deltas of a reply out. Blocking.

The KV cache is reused: the context keeps the last prompt and reply, and only the tokens behind the common prefix with
the next prompt are evaluated. In a conversation that is the newest message.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from cyllama.llama import llama_cpp

from app.domain.dialog.conversation import Message, Role, alternating
from app.domain.errors import ModelUnavailable, ProviderMisbehaved, RequestRefused
from app.domain.spending import TokenUsage

PROVIDER = "embedded"

_BATCH_TOKENS = 512
_DROPPED_TOGETHER = 8
"""Messages dropped at a time from a long prompt: between two times it keeps its prefix, which stays cached."""

_RANDOM_SEED = 0xFFFFFFFF
"""llama.cpp draws a seed of its own for this one."""

_INCOMPLETE_CHARACTER = "\N{REPLACEMENT CHARACTER}"
_SENTENCE_ENDS = (".", "!", "?", "\n", "。", "！", "？")  # noqa: RUF001 because these are Chinese signs


def find_weights(model: Path) -> Path:
    """The .gguf file itself, or the only one in this folder. Raises ModelUnavailable."""
    found = [model] if model.is_file() else sorted(model.glob("*.gguf"))
    if len(found) != 1:
        raise ModelUnavailable(f"{model} should be a .gguf file or a folder with exactly one")
    return found[0]


class Llama:
    """Used by one thread at a time; `stop` may be called from any."""

    def __init__(self, model: Path, *, max_tokens: int, temperature: float, context_tokens: int) -> None:
        self.max_tokens = max_tokens
        self._temperature = temperature
        weights = find_weights(model)
        llama_cpp.disable_logging()
        llama_cpp.ggml_backend_load_all()
        settings = llama_cpp.LlamaContextParams()
        settings.n_ctx = context_tokens
        settings.n_batch = _BATCH_TOKENS
        settings.n_threads = settings.n_threads_batch = 1  # the other cores belong to speech
        settings.no_perf = True
        try:
            self._model = llama_cpp.LlamaModel(str(weights), llama_cpp.LlamaModelParams())
            self._context = llama_cpp.LlamaContext(self._model, settings)
        except (ValueError, RuntimeError, OSError) as error:
            raise ModelUnavailable(f"{weights} cannot be loaded; is it a whole GGUF file?") from error
        self._context.install_cancel_callback()
        self._vocabulary = self._model.get_vocab()
        self._template = self._model.get_default_chat_template()
        self._max_prompt_tokens = context_tokens - max_tokens
        self._cached_tokens: list[int] = []
        self.usage = TokenUsage(0, 0)
        """Of the newest reply, so far."""

    def close(self) -> None:
        self._context.close()
        self._model.close()

    def clear_stop(self) -> None:
        """Undo an earlier `stop`."""
        self._context.cancel = False

    def stop(self) -> None:
        """Abort the computation under way, within milliseconds."""
        self._context.cancel = True

    def warm(self) -> None:
        """Compute a first word, so that the first answer does not wait for pages and threads."""
        try:
            self._evaluate(self._prompt((Message(Role.USER, "Hello"),)))
            next(self._tokens(), None)
        except (ValueError, RuntimeError) as error:
            raise ModelUnavailable("the model cannot chat: it has no template that llama.cpp knows") from error

    def generate(self, conversation: Sequence[Message]) -> Iterator[str]:
        """Text deltas up to the model's end of text, `max_tokens`, or a sentence that ends in their last quarter.

        Raises RequestRefused where the newest message does not fit, ProviderMisbehaved where nothing was generated.
        """
        yielded = ""
        generated: list[int] = []
        prompt = self._prompt(conversation)
        try:
            self._evaluate(prompt)
            for token in self._tokens():
                generated.append(token)
                self.usage = TokenUsage(len(prompt), len(generated))
                text: str = self._vocabulary.detokenize(generated)
                if not text.endswith(_INCOMPLETE_CHARACTER):
                    yield text[len(yielded) :]
                    yielded = text
                    if len(generated) >= self.max_tokens * 3 // 4 and text.endswith(_SENTENCE_ENDS):
                        return
        except InterruptedError:
            return
        if not yielded.strip():
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
        """The conversation as tokens, without its oldest messages where they would not all fit."""
        turns = alternating(conversation)
        system = [message for message in turns if message.role is Role.SYSTEM]
        dialog = [message for message in turns if message.role is not Role.SYSTEM]
        while True:
            tokens = self._tokenize([*system, *dialog])
            if len(tokens) <= self._max_prompt_tokens:
                return tokens
            if len(dialog) <= 1:
                raise RequestRefused(
                    PROVIDER, f"the prompt has {len(tokens)} tokens, there is room for {self._max_prompt_tokens}"
                )
            dialog = dialog[min(_DROPPED_TOGETHER, len(dialog) - 1) :]

    def _tokenize(self, messages: Sequence[Message]) -> list[int]:
        # A message must not contain the template's control tokens: they would begin a message of another role.
        chat = [llama_cpp.LlamaChatMessage(str(each.role), each.text.replace("<|", "< |")) for each in messages]
        prompt = self._model.chat_apply_template(self._template, chat, True)
        tokens: list[int] = self._vocabulary.tokenize(prompt, add_special=True, parse_special=True)
        return tokens

    def _evaluate(self, prompt: list[int]) -> None:
        shared = 0
        for cached, wanted in zip(self._cached_tokens, prompt[:-1], strict=False):
            if cached != wanted:
                break
            shared += 1
        if not self._context.memory_seq_rm(0, shared, -1):
            self._context.kv_cache_clear()
            shared = 0
        del self._cached_tokens[shared:]
        for start in range(shared, len(prompt), _BATCH_TOKENS):
            self._decode(prompt[start : start + _BATCH_TOKENS])

    def _decode(self, tokens: list[int]) -> None:
        self._context.decode(llama_cpp.llama_batch_get_one(tokens, len(self._cached_tokens)))
        self._cached_tokens += tokens

    def _sampler(self) -> "llama_cpp.LlamaSampler":
        settings = llama_cpp.LlamaSamplerChainParams()
        settings.no_perf = True
        sampler = llama_cpp.LlamaSampler(settings)
        sampler.add_penalties(64, 1.1, 0.0, 0.0)  # repetition: small models loop
        if self._temperature == 0:
            sampler.add_greedy()
        else:
            sampler.add_min_p(0.05, 1)
            sampler.add_temp(self._temperature)
            sampler.add_dist(_RANDOM_SEED)
        return sampler
