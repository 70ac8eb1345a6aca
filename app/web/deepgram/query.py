"""Query parameters of Deepgram's `/listen`, read as its clients write them: what is unknown is passed over. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from app.domain.dialog import events as ev
from app.domain.errors import ClientError, ClientFault
from app.domain.key_terms import key_terms_in
from app.domain.language import parse_languages
from app.domain.turn_mode import MAX_SILENCE_MS, MIN_SILENCE_MS, TurnMode

ListenEncoding: TypeAlias = Literal["linear16", "linear32", "mulaw", "alaw"]
"""Of bare audio; a WAV file says the same in its head."""
LEAST_RATE, MOST_RATE = 8000, 96_000
"""Hz."""
Query: TypeAlias = Mapping[str, Sequence[str]]
"""Every value of each parameter, in order."""


@dataclass(frozen=True, slots=True)
class ListenOptions:
    """Of one stream or file."""

    encoding: ListenEncoding | None = None
    """None: the stream is a WAV file."""
    sample_rate: int = 16_000
    channels: int = 1
    language: str | None = None
    """Codes with commas between; empty: any language; None: as the server has it."""
    key_terms: tuple[str, ...] = ()
    interim_results: bool = False
    vad_events: bool = False
    utterance_end_ms: int | None = None
    endpointing_ms: int | None = None
    """Silence that ends an utterance, where it is shorter than the server's own."""
    utterances: bool = False
    """Of a file: its utterances are listed too."""
    tells_language: bool = False

    @property
    def configuration(self) -> ev.ClientConfigured:
        """What the session of a stream is set up with."""
        return ev.ClientConfigured(
            language=self.language,
            reply=False,
            words=True,
            events=True,
            turns=TurnMode.TRANSCRIBE if self.endpointing_ms is None else TurnMode.SILENCE,
            silence_ms=self.endpointing_ms,
            key_terms=self.key_terms or None,
        )


def listen_options(query: Query) -> ListenOptions:
    """Raises ClientError that names the parameter."""
    encoding = _last(query, "encoding")
    if encoding is not None and encoding not in get_args(ListenEncoding):
        known = ", ".join(get_args(ListenEncoding))
        raise _refusal("encoding", f"{encoding[:32]} is not taken here; there are {known}, and WAV without encoding")
    multichannel = _flag(query, "multichannel")
    channels = _number(query, "channels", 1, 8) or 1
    if multichannel and channels > 1:
        raise _refusal("multichannel", "channels are not transcribed apart here; they are mixed")
    spoken = _last(query, "language")
    return ListenOptions(
        encoding,  # type: ignore[arg-type]  # because it is one of the arguments
        _number(query, "sample_rate", LEAST_RATE, MOST_RATE) or (8000 if encoding in ("mulaw", "alaw") else 16_000),
        channels,
        "" if spoken == "multi" else None if spoken is None else _languages(spoken),
        key_terms_of(query),
        _flag(query, "interim_results"),
        _flag(query, "vad_events"),
        _number(query, "utterance_end_ms", 1, 60_000),
        _endpointing_ms(query),
        _flag(query, "utterances"),
        spoken == "multi" or _flag(query, "detect_language"),
    )


def key_terms_of(query: Query) -> tuple[str, ...]:
    """Of `keyterm`, and of `keywords` without the boost behind a colon. Raises ClientError where there are too many."""
    keywords = [word.partition(":")[0] for word in query.get("keywords", ())]
    try:
        return key_terms_in("\n".join([*query.get("keyterm", ()), *keywords]))
    except ClientError as error:
        raise _refusal("keyterm", str(error)) from error


def _languages(text: str) -> str:
    try:
        return parse_languages([text])
    except ClientError as error:
        raise ClientError(error.code, str(error), param="language") from error


def number_between(query: Query, name: str, least: float, most: float) -> float | None:
    """None where it is absent. Raises ClientError."""
    text = _last(query, name)
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise _refusal(name, f"{name} must be a number from {least:g} to {most:g}")
    return number


def _number(query: Query, name: str, least: int, most: int) -> int | None:
    if _last(query, name) in (None, "false", "true"):
        return None
    number = number_between(query, name, least, most)
    return None if number is None else int(number)


def _endpointing_ms(query: Query) -> int | None:
    """None where the server decides: without a number, and for less than any pause between words. Raises ClientError.

    Clients send some ten milliseconds by default, and mean "as soon as it is certain", which the server's own is.
    """
    silence_ms = _number(query, "endpointing", 0, 60_000)
    return None if silence_ms is None or silence_ms < MIN_SILENCE_MS else min(silence_ms, MAX_SILENCE_MS)


def _flag(query: Query, name: str) -> bool:
    text = (_last(query, name) or "false").lower()
    if text not in ("true", "false", "1", "0"):
        raise _refusal(name, f"{name} must be true or false")
    return text in ("true", "1")


def _last(query: Query, name: str) -> str | None:
    values = query.get(name)
    return values[-1] if values else None


def _refusal(param: str, reason: str) -> ClientError:
    return ClientError(ClientFault.BAD_MESSAGE, reason, param=param)
