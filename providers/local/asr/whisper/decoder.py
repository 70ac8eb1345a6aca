"""Whisper's decoder on onnxruntime: several known or drafted tokens a step.

CTranslate2 reads one token a step, known ones too, and takes three times as long for it; see docs/engine.md.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from providers.local.asr.transformer.decoder_network import DecoderNetwork
from providers.local.asr.transformer.greedy import DecoderStep, KeyValues
from providers.local.asr.whisper.checkpoint import Checkpoint


class DecoderSession(DecoderNetwork):
    """A StepDecoder that tells where its alignment heads attend."""

    def __init__(self, checkpoint: Checkpoint, config: Mapping[str, list[int]], graphs: Path, threads: int) -> None:
        """`config` is the model's `config.json`, which may list tokens to suppress."""
        super().__init__(graphs, threads)
        self.suppress = config.get("suppress_ids", [])
        self.language_tokens = config.get("lang_ids", [])
        self.suppress_begin = config.get("suppress_ids_begin", [])
        self._checkpoint = checkpoint
        self._positions = checkpoint.dequantized("decoder/position_encodings/encodings")

    @property
    def max_positions(self) -> int:
        """Tokens of a whole sequence, the prompt included."""
        return len(self._positions)

    def step(
        self, cross_kv: KeyValues, past: KeyValues, tokens: Sequence[int], position: int, rows: Sequence[int]
    ) -> DecoderStep:
        """Read new tokens, the first of them at `position`; logits after the tokens at the indexes `rows`."""
        embeddings = self._checkpoint.dequantized("decoder/embeddings/weight", np.array(tokens))
        embeddings += self._positions[position : position + len(tokens)]
        inputs = {"embeddings": embeddings[None], "rows": np.array(rows, np.int64), **cross_kv, **past}
        (logits, attention), present = self._run(inputs, ["logits", "attention"])
        return DecoderStep(logits, present, attention)
