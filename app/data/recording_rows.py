"""A manifest as rows of the recordings index."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.domain.audio import seconds
from app.domain.recording.listing import PREVIEW_LENGTH, RecordingRef, RecordingState, day_of, state_of
from app.domain.recording.manifest import Manifest
from app.domain.recording.text_search import indexed_words
from app.domain.storable_text import storable_text

MAX_TTFS_MS = (1 << 31) - 1
"""What the column takes."""


def recording_row(manifest: Manifest, written: str) -> Mapping[str, Any]:
    texts = [final.text for final in manifest.finals if final.text]
    return _storable(
        {
            "session": manifest.session,
            "day": day_of(manifest),
            "tenant": manifest.tenant,
            "person": manifest.person,
            "started": manifest.started,
            "ended": manifest.ended,
            "state": state_of(manifest),
            "samples": manifest.samples,
            "seconds": round(seconds(manifest.samples), 3),
            "utterances": len(texts),
            "languages": " ".join(sorted({final.language for final in manifest.finals if final.language})),
            "format": manifest.format,
            "text": " ".join(texts)[:PREVIEW_LENGTH],
            "words": indexed_words(texts),
            "written": written,
        }
    )


def empty_row(ref: RecordingRef, state: RecordingState, written: str) -> Mapping[str, Any]:
    """Of a recording that nothing is known of but where it is."""
    return {
        "session": ref.session,
        "day": ref.day,
        "tenant": ref.tenant,
        "person": None,
        "started": "",
        "ended": None,
        "state": state,
        "samples": 0,
        "seconds": 0.0,
        "utterances": 0,
        "languages": "",
        "format": 0,
        "text": "",
        "words": "",
        "written": written,
    }


def utterance_rows(manifest: Manifest) -> Sequence[Mapping[str, Any]]:
    return [
        _storable(
            {
                "session": manifest.session,
                "position": position,
                "start_sample": final.start,
                "end_sample": final.end,
                "text": final.text,
                "route": final.route,
                "language": final.language,
                "ttfs_ms": None if final.ttfs_ms is None else max(0, min(final.ttfs_ms, MAX_TTFS_MS)),
            }
        )
        for position, final in enumerate(manifest.finals)
        if final.text
    ]


def _storable(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without what no database has in a text: NUL, and halves of surrogate pairs."""
    return {name: storable_text(value) if isinstance(value, str) else value for name, value in row.items()}
