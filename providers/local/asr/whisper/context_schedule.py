"""How many frames the encoder is given: the audio and a margin of silence instead of Whisper's thirty seconds.

The numbers come from the sweep in `bench/context_sweep.py`; its table is in docs/engine.md.
"""

FULL_CONTEXT = 3000
"""Frames of the context Whisper was trained with: 30 s."""

FINAL_MARGIN = 200
"""Frames of silence behind a final."""

DRAFT_MARGIN = 100
"""Frames of silence behind a draft, which may be wrong for half a second."""

_WIDER_MARGIN = 500
_ROUND_TO = 50
_FULL_FROM = 2400


def context_schedule(frames: int, margin: int = FINAL_MARGIN) -> tuple[int, ...]:
    """The context lengths to try for so many frames of audio, ascending: the first is fast, the last is complete."""
    if frames >= _FULL_FROM:
        return (FULL_CONTEXT,)
    return tuple(sorted({_rounded(frames + margin), _rounded(frames + margin + _WIDER_MARGIN), FULL_CONTEXT}))


def _rounded(frames: int) -> int:
    return min(FULL_CONTEXT, -(-frames // _ROUND_TO) * _ROUND_TO)
