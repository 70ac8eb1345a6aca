"""One-shot reference: the same model on the whole clip at once, as a bound for the WER of streaming."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.clips import Clip, samples


class OneShot:
    """Whole clips through faster-whisper, padded to its thirty seconds; results are kept in a file."""

    def __init__(self, model: Path, *, beam_size: int, kept_in: Path) -> None:
        self._model, self._beam_size, self._file = model, beam_size, kept_in / "one-shot.json"
        self._key = f"{model.name} beam {beam_size} int8"

    def transcribe(self, clips: Sequence[Clip]) -> dict[str, str]:
        """What each clip says, by name."""
        kept: dict[str, dict[str, str]] = {}
        if self._file.is_file():
            kept = msgspec.json.decode(self._file.read_bytes(), type=dict[str, dict[str, str]])
        known = kept.setdefault(self._key, {})
        if missing := [clip for clip in clips if clip.name not in known]:
            known |= self._write(missing)
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_bytes(msgspec.json.format(msgspec.json.encode(kept)))
        return {clip.name: known[clip.name] for clip in clips}

    def _write(self, clips: Sequence[Clip]) -> dict[str, str]:
        from faster_whisper import WhisperModel  # noqa: PLC0415 because it takes seconds to import

        model = WhisperModel(str(self._model), device="cpu", compute_type="int8")
        written: dict[str, str] = {}
        for clip in clips:
            segments, _ = model.transcribe(
                samples(clip.pcm), language="en", beam_size=self._beam_size, condition_on_previous_text=False
            )
            written[clip.name] = " ".join(segment.text.strip() for segment in segments)
        return written
