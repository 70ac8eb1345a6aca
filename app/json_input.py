"""JSON of unknown origin: whatever cannot be decoded is one kind of error."""

from typing import TypeVar

import msgspec

T = TypeVar("T")


def decode_json(data: bytes | str, decoder: msgspec.json.Decoder[T]) -> T:
    """The value. Raises msgspec.DecodeError, also for what is nested too deep and for what is not valid Unicode."""
    try:
        return decoder.decode(data)
    except UnicodeError as error:
        raise msgspec.DecodeError("it is not valid Unicode") from error
    except RecursionError as error:
        raise msgspec.DecodeError("it is nested too deep") from error
