"""OpenAI's form of a transcription, read as it comes: one file and a few short fields.

The framework's reader keeps every part, and leaves the temporary file of a large one open where a later part cannot be
read. This one keeps what is used, in memory and within the limit of the body.
"""

import re
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from io import BytesIO
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request
from multipart import MultipartError, MultipartSegment, PushMultipartParser

from app.domain.errors import ClientError, ClientFault
from app.domain.key_terms import key_terms_in
from app.domain.language import parse_languages
from app.web.request_body import body_of
from app.web.text_fields import refuse_control_characters

MAX_PARTS = 1000
MAX_FIELD_BYTES = 100
MAX_PROMPT_BYTES = 64 << 10
_OTHER_FIELDS = 64 << 10
"""Bytes of a form besides its file."""
FILE = "file"
_NO_FILE = "the form needs a part `file` with a file name"

ResponseFormat = Literal["json", "text", "srt", "verbose_json", "vtt", "diarized_json"]
Granularity = Literal["segment", "word"]
Temperature = Annotated[float, msgspec.Meta(ge=0, le=1)]


class TranscriptionForm(msgspec.Struct, frozen=True):
    """The fields of OpenAI's form that this endpoint uses; it passes over the others."""

    model: str = ""
    """Any name: there is one model."""
    language: str = ""
    languages: tuple[str, ...] = ()
    response_format: ResponseFormat = "json"
    timestamp_granularities: tuple[Granularity, ...] = ()
    """Of times in `verbose_json`: words have theirs only where `word` is one of these."""
    prompt: str = ""
    """Key terms between commas or line ends."""
    keywords: tuple[str, ...] = ()
    temperature: Temperature = 0.0
    include: tuple[str, ...] = ()
    stream: bool = False

    @property
    def allowed_languages(self) -> str | None:
        """Codes with commas between, of both fields; None: every language. Raises ClientError."""
        try:
            return parse_languages((*self.language.split(","), *self.languages)) or None
        except ClientError as error:
            raise ClientError(error.code, str(error), param="language") from error

    @property
    def key_terms(self) -> tuple[str, ...]:
        """Of both fields; what is too long is no term. Raises ClientError where there are too many."""
        try:
            return key_terms_in("\n".join((self.prompt, *self.keywords)))
        except ClientError as error:
            raise ClientError(error.code, str(error), param="prompt") from error


LISTS = frozenset({"languages", "timestamp_granularities", "keywords", "include"})
"""May come several times, a value each, with `[]` behind the name or without."""
FIELDS = frozenset(TranscriptionForm.__struct_fields__)
_FIELD_AT_FAULT = re.compile(r"`\$\.([a-z_]+)")


async def read_form(
    request: Request[Any, Any, Any], hold: Callable[[int], None], longest: int
) -> tuple[BytesIO, TranscriptionForm]:
    """The file, of so many bytes at most, and the fields; `hold` is called with the length of each piece.

    Raises ClientError, or HTTPException (413).
    """
    form, file = StreamedForm(request, longest=longest + _OTHER_FIELDS, hold=hold), BytesIO()
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
            raise _refusal(_NO_FILE, FILE)

    def fields(self) -> TranscriptionForm:
        """Once the file has come. Raises ClientError."""
        return form_of({**self._parts.fields, **self._parts.lists})


def form_of(fields: Mapping[str, Any]) -> TranscriptionForm:
    """Of fields as text, or as JSON has them. Raises ClientError that names the one at fault."""
    try:
        return msgspec.convert(fields, TranscriptionForm, strict=False)
    except msgspec.ValidationError as error:
        found = _FIELD_AT_FAULT.search(str(error))
        raise _refusal(f"the form cannot be used: {error}", found.group(1) if found else None) from error


@dataclass(slots=True)
class _Parts:
    """What is kept of the parts that have come."""

    has_file: bool = False
    fields: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
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
                raise _refusal(f"the field `{self._name}` is longer than {longest} bytes", self._name)
        return b""

    def _begin(self, part: MultipartSegment) -> None:
        self._name, self._charset, self._text = part.name.removesuffix("[]"), part.charset or "utf-8", bytearray()
        if self._name in self.fields or (self._name == FILE and self.has_file):
            raise _refusal(f"the form has two parts `{self._name}`", self._name)
        if self._name == FILE:
            if not part.filename:
                raise _refusal(_NO_FILE, FILE)
            refuse_control_characters("the file name", part.filename)
            self.has_file = True
        elif self._name in FIELDS and part.filename:
            raise _refusal(f"the part `{self._name}` must be text, not a file", self._name)

    def _end(self) -> None:
        if self._name in FIELDS:
            try:
                text = self._text.decode(self._charset)
            except (ValueError, LookupError) as error:  # an encoding that is not the text's, or that nobody knows
                raise _refusal(f"the field `{self._name}` cannot be read: it must be UTF-8", self._name) from error
            if self._name != "prompt":  # because lines separate key terms, and no term has such a character
                refuse_control_characters(f"the field `{self._name}`", text)
            if self._name in LISTS:
                self.lists[self._name].append(text)
            else:
                self.fields[self._name] = text


def _refusal(reason: str, param: str | None = None) -> ClientError:
    return ClientError(ClientFault.BAD_MESSAGE, reason, param=param)
