"""Manifests made up for tests, without audio behind them."""

from datetime import UTC, datetime, timedelta

from app.domain.audio import SAMPLE_RATE
from app.domain.recording.manifest import ArchivedFinal, Manifest, tile

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def session_at(moment: datetime, number: int = 0) -> str:
    """The id of a session that began then: a UUID of version 7."""
    return f"{round(moment.timestamp() * 1000):012x}7{number:03x}8{number:015x}"


def manifest(*texts: str, at: datetime = NOON, number: int = 0, route: str | None = "local", **fields) -> Manifest:
    """A recording of two seconds for each text; ended, where `ended` does not say otherwise."""
    finals = [
        ArchivedFinal(
            2 * index * SAMPLE_RATE,
            2 * (index + 1) * SAMPLE_RATE,
            text,
            turn=1,
            utterance=index + 1,
            route=route,
            language="en",
            ttfs_ms=250,
        )
        for index, text in enumerate(texts)
    ]
    samples = 2 * len(texts) * SAMPLE_RATE
    given = {
        "started": at.isoformat(timespec="milliseconds"),
        "ended": (at + timedelta(minutes=1)).isoformat(timespec="milliseconds"),
        "samples": samples,
        "finals": tile(finals, samples),
    }
    return Manifest(session_at(at, number), **{**given, **fields})
