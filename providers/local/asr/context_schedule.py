"""How much the encoder is given: what was said and a margin of silence, not thirty seconds.

The numbers come from the sweep in `bench/context_sweep.py`; its table is in docs/engine.md.
"""

FULL = 3000
"""Columns of the context Whisper was trained with: 30 s."""

MARGIN = 200
"""Columns of silence behind a final."""

DRAFT_MARGIN = 100
"""Columns of silence behind a draft, which may be wrong for half a second."""

_WIDER = 500
_BUCKET = 50
_LONG = 2400


def context_schedule(columns: int, margin: int = MARGIN) -> tuple[int, ...]:
    """The contexts to try for so many columns of sound: the first is fast, the last is certain."""
    if columns >= _LONG:
        return (FULL,)
    tries = (_rounded(columns + margin), _rounded(columns + margin + _WIDER), FULL)
    return tuple(sorted(set(tries)))


def _rounded(columns: int) -> int:
    return min(FULL, -(-columns // _BUCKET) * _BUCKET)
