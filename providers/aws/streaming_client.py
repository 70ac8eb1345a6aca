"""Opens Transcribe streams with `amazon-transcribe`; the one module that imports it.

Its successor (`aws-sdk-transcribe-streaming`, Python 3.12 and later) replaces this file, and `http2.py` with it.
"""

from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from copy import copy
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
from app.domain.errors import ParleyError, ProviderBusy, ProviderDown, ProviderRefused, RequestRefused
from providers.aws.credentials import Credentials
from providers.aws.errors import ErrorTable, error_for_status, lookup, translate_errors
from providers.aws.http2 import Http2Client, StreamBroken, StreamingResponse
from providers.aws.results import ResultItem, TranscribeResult

PROVIDER = "aws"
_MAX_EVENT_BYTES = 32_000
"""The service takes at most 32 KB in one event."""

_MAX_UNSENT_BYTES = 5 * SAMPLE_RATE * 2
"""Audio that may wait in memory: a sender faster than the network waits,"""

_SEND_TIMEOUT_S = 5.0
"""but no longer than this."""

_ERRORS: ErrorTable = (
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


class TranscribeConnection:
    """One open stream: audio out, results in."""

    def __init__(self, stream: StartStreamTranscriptionEventStream) -> None:
        self._audio = stream.input_stream
        self._results = stream.output_stream
        self._response: StreamingResponse = stream.output_stream._raw_stream  # noqa: SLF001 because it is made by our own transport
        self._audio._input_stream = self._response.body  # noqa: SLF001 because theirs is polled in a busy loop
        self._is_ended = False

    async def send(self, pcm: bytes) -> None:
        """Queue audio of any length. Raises ProviderDown where the stream is broken or does not take any more."""
        with _translate_errors():
            for at in range(0, len(pcm), _MAX_EVENT_BYTES):
                await self._audio.send_audio_event(pcm[at : at + _MAX_EVENT_BYTES])
            with anyio.fail_after(_SEND_TIMEOUT_S):
                while self._response.body.unsent_bytes > _MAX_UNSENT_BYTES:  # noqa: ASYNC110 because awscrt does not report when it has read
                    await anyio.sleep(0.01)

    async def end(self) -> None:
        """Say that no more audio follows; the last results do, and `results` ends."""
        if not self._is_ended:
            self._is_ended = True
            with _translate_errors():
                await self._audio.end_stream()  # type: ignore[no-untyped-call]  # because the package has no type for it

    async def results(self) -> AsyncGenerator[TranscribeResult, None]:
        """Every result until the service closes the stream. Raises ProviderDown where it does so before our end."""
        with _translate_errors():
            async for event in self._results:
                for result in event.transcript.results if event is not None else ():
                    for best in (result.alternatives or ())[:1]:
                        yield _result(result, best)
            if not self._is_ended:
                raise StreamBroken("the server ended the stream before we did")

    def close(self) -> None:
        """Drop the connection, and what is still in transit."""
        self._response.close()


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
        self, *, locale: str, vocabulary: str | None, credentials: Credentials, timeout_s: float
    ) -> TranscribeConnection:
        """A stream that the service has accepted. Raises a ProviderError within the time given, or RequestRefused."""
        client = copy(self._client)  # because credentials belong to the client, and a stream must keep its own
        client._credential_resolver = StaticCredentialResolver(  # noqa: SLF001
            credentials.access_key, credentials.secret_key, credentials.token
        )
        with _translate_errors(), anyio.fail_after(timeout_s):
            stream = await client.start_stream_transcription(
                language_code=locale,
                media_sample_rate_hz=SAMPLE_RATE,
                media_encoding="pcm",
                vocabulary_name=vocabulary,
                enable_partial_results_stabilization=True,
                partial_results_stability="high",
            )
        return TranscribeConnection(stream)


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        with translate_errors(PROVIDER):
            yield
    except (vendor.SDKError, ParserError, AwsCrtError, StreamBroken) as error:
        raise _translated(error) from error


def _translated(error: Exception) -> ParleyError:
    match error:
        case vendor.BadRequestException(message=message) if "no new audio" in message:
            return ProviderDown(PROVIDER, "the service closed the stream because it received no audio")
        case vendor.BadRequestException(message=message) if "language" in message.lower():
            return RequestRefused(PROVIDER, "Transcribe does not know this language")
        case vendor.UnknownServiceException(status_code=status, error_code=code):
            return error_for_status(PROVIDER, status, str(code))
        case vendor.ServiceException() if "security token" in str(error):
            # because an exception that comes on an open stream loses its name where the package has no class for it
            return ProviderRefused(PROVIDER, "the credentials are no longer accepted")
    return lookup(PROVIDER, error, _ERRORS)


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
    )


def _samples(seconds: float | None) -> int:
    return round((seconds or 0.0) * SAMPLE_RATE)
