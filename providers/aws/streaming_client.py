"""Amazon's streaming client behind our own words: the one file that knows `amazon-transcribe`.

Its successor (`aws-sdk-transcribe-streaming`, Python 3.12 and later) replaces this file, and `http2.py` with it.
"""

from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from pathlib import Path

import anyio
from amazon_transcribe import exceptions as vendor
from amazon_transcribe.auth import StaticCredentialResolver
from amazon_transcribe.client import TranscribeStreamingClient
from amazon_transcribe.endpoints import StaticEndpointResolver
from amazon_transcribe.eventstream import ParserError
from amazon_transcribe.model import Alternative, StartStreamTranscriptionEventStream
from amazon_transcribe.model import Item as VendorItem
from amazon_transcribe.model import Result as VendorResult
from awscrt.exceptions import AwsCrtError

from app.domain.audio import SAMPLE_RATE
from app.domain.errors import ProviderBusy, ProviderDown, ProviderError, ProviderRefused
from providers.aws.credentials import Credentials
from providers.aws.errors import Meanings, by_status, in_our_words, meaning
from providers.aws.http2 import Http2Client, StreamBroken, StreamingResponse
from providers.aws.results import ResultItem, TranscribeResult

PROVIDER = "aws"
_MOST_BYTES = 32_000
"""The service takes at most 32 KB in one event."""

_MOST_UNSENT_BYTES = 5 * SAMPLE_RATE * 2
"""Audio that may wait in memory: whoever sends faster than the network takes it is made to wait,"""

_TAKES_WITHIN_S = 5.0
"""but no longer than this."""


_MEANINGS: Meanings = (
    ((vendor.LimitExceededException,), ProviderBusy, "the account's limit is reached"),
    ((vendor.BadRequestException,), ProviderRefused, "the request was refused"),
    ((vendor.CredentialsException,), ProviderRefused, "there are no usable AWS credentials"),
    (
        (vendor.InternalFailureException, vendor.ServiceUnavailableException),
        ProviderDown,
        "the service failed",
    ),
    (
        (AwsCrtError, StreamBroken, vendor.HTTPException),
        ProviderDown,
        "the service cannot be reached or went away",
    ),
)


@dataclass(frozen=True, slots=True)
class Recognition:
    """What to ask of the service besides the words; a stream keeps what it was opened with."""

    vocabulary: str | None = None
    """Name of a custom vocabulary of the account."""

    vocabulary_filter: str | None = None
    language_model: str | None = None
    speaker_labels: bool = False


class TranscribeConnection:
    """One open stream: audio out, results in."""

    def __init__(self, stream: StartStreamTranscriptionEventStream) -> None:
        self._audio = stream.input_stream
        self._results = stream.output_stream
        self._answer: StreamingResponse = stream.output_stream._raw_stream  # noqa: SLF001 because it is our own transport's
        self._audio._input_stream = self._answer.body  # noqa: SLF001 because theirs is polled
        self._said_end = False

    async def send(self, pcm: bytes) -> None:
        """Queue audio of any length. Raises ProviderDown where the stream is broken or does not take any more."""
        with _in_our_words():
            for at in range(0, len(pcm), _MOST_BYTES):
                await self._audio.send_audio_event(pcm[at : at + _MOST_BYTES])
            with anyio.fail_after(_TAKES_WITHIN_S):
                while self._answer.body.unsent_bytes > _MOST_UNSENT_BYTES:  # noqa: ASYNC110 because the CRT does not say when it has read
                    await anyio.sleep(0.01)

    async def end(self) -> None:
        """Say that nothing more comes; the last results follow, and `results` ends."""
        if not self._said_end:
            self._said_end = True
            with _in_our_words():
                await self._audio.end_stream()  # type: ignore[no-untyped-call]  # because the package forgot

    async def results(self) -> AsyncGenerator[TranscribeResult, None]:
        """Every result until the server has said everything. Raises ProviderDown where it stops before our end."""
        with _in_our_words():
            async for event in self._results:
                for result in event.transcript.results if event is not None else ():
                    for best in (result.alternatives or ())[:1]:
                        yield _result(result, best)
            if not self._said_end:
                raise StreamBroken("the server ended the stream before we did")

    def close(self) -> None:
        """Drop the connection, whatever is still on its way."""
        self._answer.close()


class TranscribeClient:
    """Opens streams."""

    def __init__(self, *, region: str, endpoint_url: str | None, ca_file: Path | None) -> None:
        """Reads the trusted certificates from disk, so not for the event loop."""
        self._client = TranscribeStreamingClient(
            region=region,
            endpoint_resolver=StaticEndpointResolver(endpoint_url) if endpoint_url else None,  # type: ignore[no-untyped-call]
            credential_resolver=StaticCredentialResolver("", ""),
        )
        self._client._session_manager = Http2Client(ca_file)  # type: ignore[assignment]  # noqa: SLF001 because the package takes no transport

    async def open(
        self, *, locale: str, recognition: Recognition, credentials: Credentials, within_s: float
    ) -> TranscribeConnection:
        """A stream that the service has accepted. Raises one of our errors, within the time given."""
        client = copy(self._client)  # because credentials belong to the client, and a stream must keep its own
        client._credential_resolver = StaticCredentialResolver(  # noqa: SLF001
            credentials.access_key, credentials.secret_key, credentials.token
        )
        with _in_our_words(), anyio.fail_after(within_s):
            stream = await client.start_stream_transcription(
                language_code=locale,
                media_sample_rate_hz=SAMPLE_RATE,
                media_encoding="pcm",
                vocabulary_name=recognition.vocabulary,
                vocab_filter_name=recognition.vocabulary_filter,
                language_model_name=recognition.language_model,
                show_speaker_label=recognition.speaker_labels or None,
                enable_partial_results_stabilization=True,
                partial_results_stability="high",
            )
        return TranscribeConnection(stream)


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        with in_our_words(PROVIDER):
            yield
    except (vendor.SDKError, ParserError, AwsCrtError, StreamBroken) as error:
        raise _translated(error) from error


def _translated(error: Exception) -> ProviderError:
    match error:
        case vendor.BadRequestException(message=message) if "no new audio" in message:
            return ProviderDown(PROVIDER, "the stream was closed because it heard nothing")
        case vendor.UnknownServiceException(status_code=status, error_code=code):
            return by_status(PROVIDER, status, str(code))
        case vendor.ServiceException() if "security token" in str(error):
            # because an exception that comes on an open stream loses its name where the package has no class for it
            return ProviderRefused(PROVIDER, "the credentials are no longer accepted")
    return meaning(PROVIDER, error, _MEANINGS)


def _result(result: VendorResult, best: Alternative) -> TranscribeResult:
    return TranscribeResult(
        id=result.result_id or "",
        end=_samples(result.end_time),
        is_partial=bool(result.is_partial),
        text=best.transcript or "",
        items=tuple(map(_item, best.items or ())),
    )


def _item(item: VendorItem) -> ResultItem:
    return ResultItem(
        text=item.content or "",
        start=_samples(item.start_time),
        end=_samples(item.end_time),
        is_punctuation=item.item_type == "punctuation",
        is_stable=bool(item.stable),
        confidence=item.confidence,
        speaker=item.speaker,
    )


def _samples(seconds: float | None) -> int:
    return round((seconds or 0.0) * SAMPLE_RATE)
