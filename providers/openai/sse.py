"""Server-sent events, from bytes of any size (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

import re
from collections.abc import Iterator

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_OTHER_FIELDS = frozenset({b"", b"event", b"id", b"retry"})
"""The first is that of a comment."""


class EventDecoder:
    """Bytes in, the data of each event out. Comments, other fields and events without data are skipped."""

    def __init__(self) -> None:
        self.has_foreign_lines = False
        """Something came that is no field of an event stream, such as a page of HTML."""
        self._pending = b""
        self._is_first_line = True
        self._data: list[str] = []

    def push(self, chunk: bytes) -> Iterator[str]:
        """The data of every event that is complete. Raises UnicodeDecodeError."""
        *lines, self._pending = _split(self._pending + chunk)
        for line in lines:
            yield from self._accept(line)

    def finish(self) -> Iterator[str]:
        """The data of a last event without a blank line behind it, which some servers leave out."""
        for line in (*_LINE_END.split(self._pending), b""):
            yield from self._accept(line)
        self._pending = b""

    def _accept(self, line: bytes) -> Iterator[str]:
        if self._is_first_line:
            line = line.removeprefix(_BYTE_ORDER_MARK)
            self._is_first_line = False
        if not line:
            data, self._data = "\n".join(self._data), []
            if data.strip():
                yield data
            return
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" ").decode())
        elif name not in _OTHER_FIELDS:
            self.has_foreign_lines = True


def _split(data: bytes) -> list[bytes]:
    """Lines, and behind them what is no whole line yet: a carriage return may be the first half of a line end."""
    if data.endswith(b"\r"):
        *lines, last = _LINE_END.split(data[:-1])
        return [*lines, last + b"\r"]
    return _LINE_END.split(data)
