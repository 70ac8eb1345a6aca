"""Greedy decoding, several known or drafted tokens a step, with a bias for key terms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from providers.local.asr.transformer.key_terms import KeyTermBias
from providers.local.asr.transformer.quantization import Floats
from providers.local.asr.transformer.speculation import DraftSpeculation

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
    attention: list[Floats] = field(default_factory=list)
    """Where the decoder tells: (heads, tokens, T) of the tokens read, step by step."""

    ended: bool = False
    no_speech_prob: float = 0.0
    """The model's own probability that there is no speech; known after the first step."""

    _past: KeyValues = field(default_factory=dict)
    _read: int = 0

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
        self._past = {name: np.ascontiguousarray(values[:, :, : self._read]) for name, values in present.items()}
        if attention is not None:
            self.attention.append(attention[:, :read])
        self.speculation.accept(accepted, len(draft))
        self.written += accepted

    def _choose(self, logits: Floats, accepted: Sequence[int]) -> int:
        """The next token behind what was written and, in this step, accepted."""
        logits[list(self.suppress)] = -np.inf
        text = (*self.tokens, *accepted)
        if not text:
            logits[list(self.suppress_begin)] = -np.inf
        token = self.key_terms.best(logits, text)
        self.log_probs.append(float(logits[token]) - _log_sum_exp(logits))
        return token


def _log_sum_exp(logits: Floats) -> float:
    top = logits.max()
    return float(top + np.log(np.exp(logits - top).sum()))
