"""What Parley says of itself to a Wyoming client. Pure."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

NAME = "parley"
"""Of every program: Home Assistant knows the entities by it, so it never changes."""
_ATTRIBUTION = {"name": "Parley", "url": "https://github.com/"}


def program_info(*, languages: Sequence[str], speaks: bool, replies: bool) -> dict[str, Any]:
    """The data of `info`; every list is there."""
    common = {
        "name": NAME,
        "attribution": _ATTRIBUTION,
        "installed": True,
        "description": "Parley",
        "version": version("parley-voice"),
    }
    model = {**common, "languages": list(languages)}
    return {
        "asr": [{**common, "models": [model], "supports_transcript_streaming": True, "requires_external_vad": True}],
        "tts": [{**common, "voices": [model], "supports_synthesize_streaming": True}] if speaks else [],
        "handle": [{**common, "models": [model], "supports_handled_streaming": False}] if replies else [],
        "intent": [],
        "wake": [],
        "mic": [],
        "snd": [],
    }
