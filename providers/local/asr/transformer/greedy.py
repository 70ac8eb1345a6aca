"""Greedy decoding, several known or drafted tokens a step, with a bias for key terms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from providers.local.asr.transformer.key_terms import KeyTermBias
from providers.local.asr.transformer.quantization import Floats
from providers.local.asr.transformer.speculation import DraftSpeculation
from providers.local.asr.transformer.term_guard import MAX_REJECTED, TermGuard

_PLAIN_EXTRA = 4
"""Tokens that a misspelt term may have more than the term."""

KeyValues = Mapping[str, Floats]
"""Attention keys and values, by the names of the graphs' inputs."""


class DecoderStep(NamedTuple):
    """What one step over new tokens returns."""

    logits: Floats
    """(rows, vocabulary)."""

    kv_cache: KeyValues
    """Of past and new tokens."""

    attention: Floats | None = None
    """(alignment heads, new tokens, T), where the decoder tells."""


class StepDecoder(Protocol):
    """A decoder that reads several tokens a step."""

    @property
    def max_positions(self) -> int:
        """Tokens of a whole sequence, the prompt included."""
        ...

    def empty_kv_cache(self) -> KeyValues:
        """Self-attention keys and values of no tokens."""
        ...

    def step(
        self, cross_kv: KeyValues, past: KeyValues, tokens: Sequence[int], position: int, rows: Sequence[int]
    ) -> DecoderStep:
        """Read new tokens, the first of them at `position`; logits after the tokens at the indexes `rows`."""
        ...


@dataclass(slots=True)
class GreedyDecoder:
    """One text decoded greedily; the last tokens of its prompt may be the text's own prefix."""

    decoder: StepDecoder
    cross_kv: KeyValues
    prompt: Sequence[int]
    prefix_length: int
    """Tokens at the end of `prompt` that belong to the text."""

    end_token: int
    suppress: Sequence[int] = ()
    """Tokens that are never written."""
    suppress_begin: Sequence[int] = ()
    """Tokens that do not begin a text."""
    no_speech: tuple[int, int] | None = None
    """An index in `prompt`, and the token whose probability after it is that of no speech; None: there is none."""
    key_terms: KeyTermBias = field(default_factory=KeyTermBias)
    speculation: DraftSpeculation = field(default_factory=DraftSpeculation)
    written: list[int] = field(default_factory=list)
    """The tokens decoded after the prompt."""

    log_probs: list[float] = field(default_factory=list)
    """Of each of them, without the bias; and of the end token."""
    deficits: list[float] = field(default_factory=list)
    """How much likelier the plain token was, of each of them and of the end token: a difference of logits."""
    attention: list[Floats] = field(default_factory=list)
    """Where the decoder tells: (heads, tokens, T) of the tokens read, step by step."""

    ended: bool = False
    no_speech_prob: float = 0.0
    """The model's own probability that there is no speech; known after the first step."""

    _past: KeyValues = field(default_factory=dict)
    _read: int = 0
    _settled: set[int] = field(default_factory=set)
    """Indexes of the text at which a key term begins that may stand."""
    _barred: set[int] = field(default_factory=set)
    """Indexes of the text at which no key term is expected any more."""
    _rejected: int = 0

    @property
    def tokens(self) -> tuple[int, ...]:
        """The text: its prefix and what was decoded behind it."""
        return (*self.prompt[len(self.prompt) - self.prefix_length :], *self.written)

    @property
    def avg_logprob(self) -> float:
        """Mean log-probability of the decoded tokens, the end token included."""
        return sum(self.log_probs) / max(1, len(self.log_probs))

    def decode(self, max_tokens: int) -> None:
        """Continue until the text ends or has `max_tokens`, its prefix included."""
        limit = min(max_tokens - self.prefix_length, self.decoder.max_positions - len(self.prompt))
        while not self.ended and len(self.written) < limit:
            self._step(limit - len(self.written))
            self._check_terms(is_over=self.ended or len(self.written) >= limit)

    def _step(self, limit: int) -> None:
        """Read unread and draft tokens in one step, and keep those that greedy decoding would have written."""
        unread = [*self.prompt, *self.written][self._read :]
        draft = self.speculation.propose(limit - 1)
        rows = list(range(len(unread) - 1, len(unread) + len(draft)))
        probe = self.no_speech if not self._read else None
        if probe is not None:
            rows.insert(0, probe[0])
        past = self._past if self._read else self.decoder.empty_kv_cache()
        logits, present, attention = self.decoder.step(self.cross_kv, past, [*unread, *draft], self._read, rows)
        if probe is not None:
            self.no_speech_prob = float(np.exp(logits[0, probe[1]] - _log_sum_exp(logits[0])))
            logits = logits[1:]
        accepted: list[int] = []
        for row, drafted in zip(logits, (*draft, None), strict=True):
            token = self._choose(row, accepted)
            if token == self.end_token:
                self.ended = True
                break
            accepted.append(token)
            if token != drafted:
                break
        read = len(unread) + len(accepted) - (not self.ended)
        self._read += read
        self._past = _until(present, self._read)
        if attention is not None:
            self.attention.append(attention[:, :read])
        self.speculation.accept(accepted, len(draft))
        self.written += accepted

    def _choose(self, logits: Floats, accepted: Sequence[int]) -> int:
        """The next token behind what was written and, in this step, accepted."""
        text = (*self.tokens, *accepted)
        logits = self._allowed(logits, text)
        token, deficit = self.key_terms.best(logits, text, self._barred)
        self.log_probs.append(float(logits[token]) - _log_sum_exp(logits))
        self.deficits.append(deficit)
        return token

    def _allowed(self, logits: Floats, text: Sequence[int]) -> Floats:
        """The same array, with what may not be written behind this text at -inf."""
        logits[list(self.suppress)] = -np.inf
        if not text:
            logits[list(self.suppress_begin)] = -np.inf
        return logits

    def _check_terms(self, *, is_over: bool) -> None:
        """Take back a key term that only the bias has written, where what is written without it sounds otherwise."""
        if not any(self.deficits):  # as always without key terms
            return
        guard, text = TermGuard(self.key_terms), self.tokens
        deficits = [0.0] * self.prefix_length + self.deficits[: len(self.written)]
        while span := guard.doubtful(text, deficits, self._settled, ended=is_over):
            start, end = span
            if end is not None:
                plain = self._plain(max(0, start - self.prefix_length), end - start + _PLAIN_EXTRA)
                term = self.key_terms.text_of(text[start:end])
                if guard.may_stand(term, self.key_terms.text_of(plain), sum(deficits[start:end])):
                    self._settled.add(start)
                    continue
            self._go_back(start)
            return

    def _plain(self, written: int, count: int) -> list[int]:
        """The next tokens behind the first `written` ones, without a bias."""
        tokens = [*self.prompt, *self.written[:written]]
        read = len(tokens) - 1
        past = _until(self._past, read) if read else self.decoder.empty_kv_cache()
        text = list(self.tokens[: self.prefix_length + written])
        plain: list[int] = []
        while len(plain) < count and read < self.decoder.max_positions:
            step = self.decoder.step(self.cross_kv, past, tokens[read:], read, [0])
            token = int(self._allowed(step.logits[0], text).argmax())
            if token == self.end_token:
                break
            read, past = read + 1, step.kv_cache
            tokens.append(token)
            text.append(token)
            plain.append(token)
        return plain

    def _go_back(self, start: int) -> None:
        """Before this index of the text, and expect no term there."""
        self._rejected += 1
        if self._rejected > MAX_REJECTED:
            self.key_terms = KeyTermBias()
        self._barred = {index for index in self._barred if index < start} | {start}
        self._settled = {index for index in self._settled if index < start}
        # A term may have begun in the prefix, which is not decoded again.
        kept = max(0, start - self.prefix_length)
        for decoded in (self.written, self.log_probs, self.deficits):
            del decoded[kept:]
        self.ended = False
        # The last token is read again, because what it said about the next one is lost.
        self._read = min(self._read, len(self.prompt) + kept - 1)
        self._past = _until(self._past, self._read)
        if self.attention:
            self.attention = [np.concatenate(self.attention, axis=1)[:, : self._read]]
        self.speculation = DraftSpeculation(self.speculation.draft_tokens)
        self.speculation.accept(self.tokens, 0)


def _until(kv_cache: KeyValues, tokens: int) -> KeyValues:
    """The keys and values of the first tokens."""
    return {name: np.ascontiguousarray(values[:, :, :tokens]) for name, values in kv_cache.items()}


def _log_sum_exp(logits: Floats) -> float:
    top = logits.max()
    return float(top + np.log(np.exp(logits - top).sum()))
