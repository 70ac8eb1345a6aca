"""What travels to a receiver and back: a length of 8 bytes, big-endian, and so many bytes of body. No I/O.

The receivers of the earlier deployments speak pickle, and a pickle is a program: whoever loads one runs what its sender
wrote. So none is loaded here. Of an answer the operations are listed, not performed, and it has to be one string.
"""

import json
import pickle
import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import TypeAlias

HEADER_BYTES = 8
MAX_ANSWER_BYTES = 1 << 16
"""More than an hour of speech; a longer one is no answer, but something that is not this protocol."""

_PICKLE_PROTOCOL = 4
"""The newest that every Python 3 since 3.4 reads."""
_STRINGS = frozenset({"BINUNICODE", "BINUNICODE8", "SHORT_BINUNICODE", "UNICODE"})
_AROUND_A_STRING = frozenset({"BINPUT", "FRAME", "LONG_BINPUT", "MEMOIZE", "PROTO", "PUT", "STOP"})
"""What pickling one string writes besides it, in all protocols."""

Items: TypeAlias = list[dict[str, str]]


class UnreadableAnswer(ValueError):
    """It is no answer of a receiver. The message says why, and repeats nothing of it."""


@dataclass(frozen=True, slots=True)
class Framing:
    """How bodies are written and read."""

    encode: Callable[[Items], bytes]
    decode: Callable[[bytes], object]
    """Raises ValueError, or RecursionError for nesting that is too deep."""


def request(framing: Framing, text: str, now: datetime) -> bytes:
    """One turn of the user. The earlier senders sent every draft of it; the last of a list has always had all words."""
    body = framing.encode([{"text": text, "timestamp": now.strftime("%H:%M:%S.%f")[:-3]}])
    return len(body).to_bytes(HEADER_BYTES, "big") + body


def missing_bytes(received: bytes) -> int:
    """Bytes to come until the header, or the answer behind it, is whole; 0 where it is. Raises UnreadableAnswer."""
    if len(received) < HEADER_BYTES:
        return HEADER_BYTES - len(received)
    size = int.from_bytes(received[:HEADER_BYTES], "big")
    if size > MAX_ANSWER_BYTES:
        raise UnreadableAnswer(f"announced {size} bytes, and {MAX_ANSWER_BYTES} are allowed")
    return max(0, HEADER_BYTES + size - len(received))


def answer(framing: Framing, received: bytes) -> str:
    """The text of an answer that is whole. Raises UnreadableAnswer."""
    body = received[HEADER_BYTES : HEADER_BYTES + int.from_bytes(received[:HEADER_BYTES], "big")]
    try:
        text = framing.decode(body)
        if isinstance(text, str):
            text.encode()  # raises for half a surrogate pair, which no client could be sent
            return text
    except (ValueError, RecursionError) as error:
        raise UnreadableAnswer("sent something that is no text") from error
    raise UnreadableAnswer("sent something that is no text")


def _pickled_string(body: bytes) -> object:
    """The string of which this is the pickle; None where it is the pickle of anything else, or of a subclass."""
    strings = []
    for operation, argument, _ in pickletools.genops(body):
        if operation.name in _STRINGS:
            strings.append(argument)
        elif operation.name not in _AROUND_A_STRING:
            return None
    return strings[0] if len(strings) == 1 else None


FRAMINGS: Mapping[str, Framing] = MappingProxyType(
    {
        "json": Framing(lambda items: json.dumps(items, ensure_ascii=False).encode(), json.loads),
        "pickle": Framing(lambda items: pickle.dumps(items, protocol=_PICKLE_PROTOCOL), _pickled_string),
    }
)
