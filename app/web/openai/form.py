"""OpenAI's form of a transcription, read as it comes: one file and a few short fields.

The framework's reader keeps every part, and leaves the temporary file of a large one open where a later part cannot be
read. This one keeps what is used, in memory and within the limit of the body.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Literal

import msgspec
from litestar import Request
from multipart import MultipartError, MultipartSegment, PushMultipartParser

from app.domain.errors import ClientError, ClientFault
from app.web.request_body import body_of
from app.web.text_fields import refuse_control_characters

MAX_PARTS = 1000
MAX_FIELD_BYTES = 100
MAX_PROMPT_BYTES = 64 << 10
FILE = "file"
_NO_FILE = "the form needs a part `file` with a file name"

ResponseFormat = Literal["json", "text", "srt", "verbose_json", "vtt"]


class TranscriptionForm(msgspec.Struct, frozen=True):
    """The fields of OpenAI's form that this endpoint uses; it passes over the others."""

    language: str = ""
    response_format: ResponseFormat = "json"
    granularities: tuple[Literal["segment", "word"], ...] = ()
    """Of times in `verbose_json`: words have theirs only where `word` is one of these."""
    prompt: str = ""
    """Key terms between commas or line ends."""


GRANULARITIES = "timestamp_granularities[]"
"""May come several times, a value each."""
FIELDS = {"language", "response_format", "prompt", GRANULARITIES}


async def read_form(request: Request[Any, Any, Any], hold: Callable[[int], None]) -> tuple[BytesIO, TranscriptionForm]:
    """The file and the fields; `hold` is called with the length of each piece, and may raise.

    Raises ClientError, or HTTPException (413).
    """
    form, file = StreamedForm(request, hold=hold), BytesIO()
    async with aclosing(form.file()) as pieces:
        async for piece in pieces:
            file.write(piece)
    return file, form.fields()


@dataclass(slots=True)
class StreamedForm:
    """The file as it comes; the fields, which may come behind it, at its end."""

    request: Request[Any, Any, Any]
    longest: int | None = None
    """Bytes of the whole body; None: as the route limits it."""
    hold: Callable[[int], None] = lambda _: None
    """Called with the length of each piece of the body; it may raise."""
    _parts: "_Parts" = field(init=False)

    def __post_init__(self) -> None:
        self._parts = _Parts()

    async def file(self) -> AsyncGenerator[bytes, None]:
        """Pieces of the file. Raises ClientError, or HTTPException (413)."""
        kind, options = self.request.content_type
        if kind != "multipart/form-data" or not options.get("boundary"):
            raise _refusal("the body must be multipart/form-data with a boundary")
        read = 0
        try:
            with PushMultipartParser(options["boundary"].encode("latin-1"), max_segment_count=MAX_PARTS) as parser:
                async with aclosing(body_of(self.request)) as body:
                    async for piece in body:
                        self.hold(len(piece))
                        read += len(piece)
                        if self.longest is not None and read > self.longest:
                            reason = f"the form is larger than {self.longest >> 20} MB"
                            raise ClientError(ClientFault.FRAME_TOO_LARGE, reason)
                        for event in parser.parse(piece):
                            if of_file := self._parts.take(event):
                                yield of_file
        except MultipartError as error:
            raise _refusal(f"the form cannot be read: {error.args[0]}") from error
        if not self._parts.has_file:
            raise _refusal(_NO_FILE)

    def fields(self) -> TranscriptionForm:
        """Once the file has come. Raises ClientError."""
        try:
            fields = {**self._parts.fields, "granularities": self._parts.granularities}
            return msgspec.convert(fields, TranscriptionForm)
        except msgspec.ValidationError as error:
            raise _refusal(f"the form cannot be used: {error}") from error


@dataclass(slots=True)
class _Parts:
    """What is kept of the parts that have come."""

    has_file: bool = False
    fields: dict[str, str] = field(default_factory=dict)
    granularities: list[str] = field(default_factory=list)
    _name: str = ""
    """Of the part that is coming."""
    _charset: str = "utf-8"
    _text: bytearray = field(default_factory=bytearray)

    def take(self, event: MultipartSegment | bytes | bytearray | None) -> bytes:
        """The beginning of a part, a piece of it, or its end; what it adds to the file. Raises ClientError."""
        if isinstance(event, MultipartSegment):
            self._begin(event)
        elif event is None:
            self._end()
        elif self._name == FILE and self.has_file:
            return bytes(event)
        elif self._name in FIELDS:
            self._text += event
            longest = MAX_PROMPT_BYTES if self._name == "prompt" else MAX_FIELD_BYTES
            if len(self._text) > longest:
                raise _refusal(f"the field `{self._name}` is longer than {longest} bytes")
        return b""

    def _begin(self, part: MultipartSegment) -> None:
        self._name, self._charset, self._text = part.name, part.charset or "utf-8", bytearray()
        if self._name in self.fields or (self._name == FILE and self.has_file):
            raise _refusal(f"the form has two parts `{self._name}`")
        if self._name == FILE:
            if not part.filename:
                raise _refusal(_NO_FILE)
            refuse_control_characters("the file name", part.filename)
            self.has_file = True
        elif self._name in FIELDS and part.filename:
            raise _refusal(f"the part `{self._name}` must be text, not a file")

    def _end(self) -> None:
        if self._name in FIELDS:
            try:
                text = self._text.decode(self._charset)
            except (ValueError, LookupError) as error:  # an encoding that is not the text's, or that nobody knows
                raise _refusal(f"the field `{self._name}` cannot be read: it must be UTF-8") from error
            if self._name != "prompt":  # because its lines separate key terms, and no term has such a character
                refuse_control_characters(f"the field `{self._name}`", text)
            if self._name == GRANULARITIES:
                self.granularities.append(text)
            else:
                self.fields[self._name] = text


def _refusal(reason: str) -> ClientError:
    return ClientError(ClientFault.BAD_MESSAGE, reason)
