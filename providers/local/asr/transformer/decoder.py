"""Whisper's decoder on onnxruntime: greedy decoding, several known or drafted tokens a step.

CTranslate2 reads one token a step, known ones too, and takes three times as long for it; see docs/engine.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from providers.local.asr.transformer.checkpoint import Checkpoint, Floats
from providers.local.asr.transformer.graph_cache import CROSS_KV, DECODER
from providers.local.asr.transformer.shape import cross_names, self_names, shape_of
from providers.local.asr.transformer.speculation import DraftSpeculation
from providers.local.onnx import open_network, session_options

KeyValues = Mapping[str, Floats]
"""Attention keys and values, by the names of the graphs' inputs."""


class DecoderSession:
    """One model's decoder; any number of threads may use it."""

    def __init__(self, checkpoint: Checkpoint, config: Mapping[str, list[int]], graphs: Path, threads: int) -> None:
        """`config` is the model's `config.json`, which may list tokens to suppress."""
        self.suppress = config.get("suppress_ids", [])
        self.suppress_begin = config.get("suppress_ids_begin", [])
        self._shape = shape_of(checkpoint)
        self._checkpoint = checkpoint
        self._positions = checkpoint.dequantized("decoder/position_encodings/encodings")
        self._cross_kv, self._decoder = (
            open_network(graphs / name, session_options(threads)) for name in (CROSS_KV, DECODER)
        )
        self._cross_names = cross_names(self._shape)
        self._past_names = self_names(self._shape)
        self._outputs = ["logits", *self_names(self._shape, "present")]

    @property
    def max_positions(self) -> int:
        """Tokens of a whole sequence, the prompt included."""
        return len(self._positions)

    def cross_attention_kv(self, memory: Floats) -> KeyValues:
        """Cross-attention keys and values per layer; `memory` is the encoder's output (1, T, width)."""
        outputs = self._cross_kv.run(self._cross_names, {"memory": memory})
        return dict(zip(self._cross_names, outputs, strict=True))

    def empty_kv_cache(self) -> KeyValues:
        """Self-attention keys and values of no tokens."""
        empty = np.zeros((1, self._shape.heads, 0, self._shape.head_dim), np.float32)
        return dict.fromkeys(self._past_names, empty)

    def step(
        self, cross_kv: KeyValues, past: KeyValues, tokens: Sequence[int], position: int, rows: Sequence[int]
    ) -> tuple[Floats, KeyValues]:
        """Read new tokens, the first of them at `position`.

        Returns the logits (len(rows), vocabulary) after the tokens at the indexes `rows`, and the key/value cache with
        the new tokens.
        """
        embeddings = self._checkpoint.dequantized("decoder/embeddings/weight", np.array(tokens))
        embeddings += self._positions[position : position + len(tokens)]
        inputs = {"embeddings": embeddings[None], "rows": np.array(rows, np.int64), **cross_kv, **past}
        logits, *present = self._decoder.run(self._outputs, inputs)
        return logits, dict(zip(self._past_names, present, strict=True))


@dataclass(slots=True)
class GreedyDecoder:
    """One text decoded greedily; the last tokens of its prompt may be the text's own prefix."""

    decoder: DecoderSession
    cross_kv: KeyValues
    prompt: Sequence[int]
    prefix_length: int
    """Tokens at the end of `prompt` that belong to the text."""

    end_token: int
    no_speech: tuple[int, int]
    """An index in `prompt`, and the token whose probability after it is that of no speech."""

    speculation: DraftSpeculation = field(default_factory=DraftSpeculation)
    written: list[int] = field(default_factory=list)
    """The tokens decoded after the prompt."""

    ended: bool = False
    no_speech_prob: float = 0.0
    """Whisper's own probability that there is no speech; known after the first step."""

    _log_prob_sum: float = 0.0
    _past: KeyValues = field(default_factory=dict)
    _read: int = 0

    @property
    def tokens(self) -> tuple[int, ...]:
        """The text: its prefix and what was decoded behind it."""
        return (*self.prompt[len(self.prompt) - self.prefix_length :], *self.written)

    @property
    def avg_logprob(self) -> float:
        """Mean log-probability of the decoded tokens, the end token included."""
        return self._log_prob_sum / max(1, len(self.written) + self.ended)

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
        is_first = not self._read
        if is_first:
            rows.insert(0, self.no_speech[0])
            self._past = self.decoder.empty_kv_cache()
        logits, present = self.decoder.step(self.cross_kv, self._past, [*unread, *draft], self._read, rows)
        if is_first:
            self.no_speech_prob = float(np.exp(logits[0, self.no_speech[1]] - _log_sum_exp(logits[0])))
            logits = logits[1:]
        accepted: list[int] = []
        for row, drafted in zip(logits, (*draft, None), strict=True):
            token = self._choose(row, begins_text=not (self.prefix_length or self.written or accepted))
            if token == self.end_token:
                self.ended = True
                break
            accepted.append(token)
            if token != drafted:
                break
        self._read += len(unread) + len(accepted) - (not self.ended)
        self._past = {name: np.ascontiguousarray(values[:, :, : self._read]) for name, values in present.items()}
        self.speculation.accept(accepted, len(draft))
        self.written += accepted

    def _choose(self, logits: Floats, *, begins_text: bool) -> int:
        logits[self.decoder.suppress] = -np.inf
        if begins_text:
            logits[self.decoder.suppress_begin] = -np.inf
        token = int(logits.argmax())
        self._log_prob_sum += float(logits[token]) - _log_sum_exp(logits)
        return token


def _log_sum_exp(logits: Floats) -> float:
    top = logits.max()
    return float(top + np.log(np.exp(logits - top).sum()))
