"""Whisper's decoder on onnxruntime: greedy, several tokens a step where they are given or can be guessed.

CTranslate2 writes one token a step, given ones too, and takes three times as long for it; see docs/engine.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from providers.local.asr.transformer.checkpoint import Checkpoint, Numbers
from providers.local.asr.transformer.graph_cache import LISTENING, WRITING
from providers.local.asr.transformer.shape import cross_names, past_names, shape_of
from providers.local.asr.transformer.speculation import DraftSpeculation
from providers.local.onnx import open_network, options

Tensors = Mapping[str, Numbers]


class DecoderSession:
    """One model's decoder; any number of threads may write with it."""

    def __init__(self, checkpoint: Checkpoint, config: Mapping[str, list[int]], networks: Path, threads: int) -> None:
        """`config` is the model's, where it names tokens that are never written."""
        self.never = config.get("suppress_ids", [])
        self.not_first = config.get("suppress_ids_begin", [])
        self._shape = shape_of(checkpoint)
        self._checkpoint = checkpoint
        self._positions = checkpoint.numbers("decoder/position_encodings/encodings")
        self._listening, self._writing = (
            open_network(networks / name, options(threads)) for name in (LISTENING, WRITING)
        )
        self._cross_names = cross_names(self._shape)
        self._past_names = past_names(self._shape)
        self._outputs = ["logits", *past_names(self._shape, "next")]

    @property
    def room(self) -> int:
        """Tokens a text may have, with all that stands before it."""
        return len(self._positions)

    def listen(self, memory: Numbers) -> Tensors:
        """What the decoder will look at; `memory` is the encoder's (1, T, width)."""
        found = self._listening.run(self._cross_names, {"memory": memory})
        return dict(zip(self._cross_names, found, strict=True))

    def nothing_written(self) -> Tensors:
        empty = np.zeros((1, self._shape.heads, 0, self._shape.head), np.float32)
        return dict.fromkeys(self._past_names, empty)

    def step(
        self, heard: Tensors, past: Tensors, tokens: Sequence[int], at: int, rows: Sequence[int]
    ) -> tuple[Numbers, Tensors]:
        """Read tokens that begin at this position: logits (rows, vocabulary) behind some of them, the longer past."""
        flow = self._checkpoint.numbers("decoder/embeddings/weight", np.array(tokens))
        flow += self._positions[at : at + len(tokens)]
        given = {"tokens": flow[None], "rows": np.array(rows, np.int64), **heard, **past}
        logits, *longer = self._writing.run(self._outputs, given)
        return logits, dict(zip(self._past_names, longer, strict=True))


@dataclass(slots=True)
class GreedyDecoder:
    """A text that is being written greedily behind a start, whose last tokens may be the text's own beginning."""

    decoder: DecoderSession
    heard: Tensors
    start: Sequence[int]
    prefix: int
    """Tokens of `start` that belong to the text."""

    end: int
    """The token that ends a text."""

    silence: tuple[int, int]
    """A place in `start`, and the token that Whisper would write behind it where nobody spoke."""

    guess: DraftSpeculation = field(default_factory=DraftSpeculation)
    written: list[int] = field(default_factory=list)
    ended: bool = False
    no_speech: float = 0.0
    """Whisper's own probability that nobody spoke."""

    _likelihood: float = 0.0
    _past: Tensors = field(default_factory=dict)
    _read: int = 0

    @property
    def tokens(self) -> tuple[int, ...]:
        """The prefix and what was written behind it."""
        return (*self.start[len(self.start) - self.prefix :], *self.written)

    @property
    def log_probability(self) -> float:
        """Mean per token that was written, the end included."""
        return self._likelihood / max(1, len(self.written) + self.ended)

    def write(self, most: int) -> None:
        """Go on until the text ends or has so many tokens, its prefix included."""
        most = min(most - self.prefix, self.decoder.room - len(self.start))
        while not self.ended and len(self.written) < most:
            self._step(most - len(self.written))

    def _step(self, room: int) -> None:
        """Read what is new and what is guessed, and keep what would have been written without the guess."""
        unread = [*self.start, *self.written][self._read :]
        offered = self.guess.ahead(room - 1)
        rows = list(range(len(unread) - 1, len(unread) + len(offered)))
        begins = not self._read
        if begins:
            rows.insert(0, self.silence[0])
            self._past = self.decoder.nothing_written()
        logits, past = self.decoder.step(self.heard, self._past, [*unread, *offered], self._read, rows)
        if begins:
            self.no_speech = float(np.exp(logits[0, self.silence[1]] - _log_sum(logits[0])))
            logits = logits[1:]
        fresh: list[int] = []
        for row, foreseen in zip(logits, (*offered, None), strict=True):
            token = self._choose(row, first=not (self.prefix or self.written or fresh))
            if token == self.end:
                self.ended = True
                break
            fresh.append(token)
            if token != foreseen:
                break
        self._read += len(unread) + len(fresh) - (not self.ended)
        self._past = {name: np.ascontiguousarray(values[:, :, : self._read]) for name, values in past.items()}
        self.guess.learn(fresh, len(offered))
        self.written += fresh

    def _choose(self, row: Numbers, *, first: bool) -> int:
        row[self.decoder.never] = -np.inf
        if first:
            row[self.decoder.not_first] = -np.inf
        token = int(row.argmax())
        self._likelihood += float(row[token]) - _log_sum(row)
        return token


def _log_sum(logits: Numbers) -> float:
    top = logits.max()
    return float(top + np.log(np.exp(logits - top).sum()))
