"""The language of a Piper voice, from the JSON file beside its network."""

from contextlib import suppress
from pathlib import Path

import msgspec

from app.domain.errors import ClientError
from app.domain.language import parse_language


def voice_language(model: Path) -> str | None:
    """The code of the language that the voice in this folder or file speaks; None where nothing says it."""
    network = model if model.is_file() else next(iter(sorted(model.glob("*.onnx"))), model)
    with suppress(OSError, msgspec.DecodeError, ClientError):  # the engine itself says what is wrong with the file
        match msgspec.json.decode(Path(f"{network}.json").read_bytes()):
            case {"language": {"code": str(tag)}} | {"espeak": {"voice": str(tag)}}:
                return parse_language(tag)
    return None
