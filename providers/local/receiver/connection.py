"""One connection to a receiver: opened, written and read, each within its time."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import anyio
from anyio.abc import SocketStream

from app.domain.errors import ProviderDown, ProviderError, ProviderMisbehaved, flatten
from providers.local.receiver.frames import missing_bytes

PROVIDER = "receiver"

_CHUNK_BYTES = 4096


@dataclass(frozen=True, slots=True)
class ReceiverTimeouts:
    """In seconds."""

    connect_s: float
    first_byte_s: float
    """From the question to the first byte of the answer; also how long a reply waits for a connection."""
    idle_s: float
    """Between two pieces of the answer; also how long the receiver may take to accept the question."""
    answer_s: float
    """From the first byte of the answer to the last, however steadily they come."""


async def connect(host: str, port: int, timeout_s: float) -> SocketStream:
    """Raises ProviderDown, whose message leaves out the address: it is for clients as well."""
    try:
        with anyio.fail_after(timeout_s):
            return await anyio.connect_tcp(host, port)
    except (OSError, UnicodeError) as error:  # TimeoutError is an OSError; no host name has a label of 64 characters
        raise ProviderDown(PROVIDER, "cannot be reached") from error


async def receiver_problem(host: str, port: int, *, timeout_s: float) -> str | None:
    """Why nobody can be asked at this address, in a sentence; None where something listens. Nothing is sent."""
    try:
        async with await connect(host, port, timeout_s):
            return None
    except ProviderError as error:
        reason = f"no answer in {timeout_s:g} s" if isinstance(error.__cause__, TimeoutError) else _reason(error)
        return (
            f"the receiver at {host}:{port} cannot be reached ({reason}): start it, or set PARLEY_RECEIVER_HOST "
            "and PARLEY_RECEIVER_PORT to where it listens"
        )


def _reason(error: ProviderError) -> BaseException:
    """The system's own words: connecting tries every address of a name, and reports them together."""
    cause = error.__cause__ or error
    return flatten(cause.__cause__ or cause)[0]


async def send(stream: SocketStream, request: bytes, *, timeout_s: float) -> None:
    """Raises ProviderDown."""
    with _limited(timeout_s):
        await stream.send(request)


async def receive_answer(stream: SocketStream, timeouts: ReceiverTimeouts) -> bytes:
    """The whole answer with its header, and never much more. Raises UnreadableAnswer or a ProviderError."""
    received = await _receive(stream, timeouts.first_byte_s)
    if not received:
        raise ProviderMisbehaved(PROVIDER, "closed the connection without an answer; its own log may say why")
    try:
        with anyio.fail_after(timeouts.answer_s):
            while missing_bytes(received):
                more = await _receive(stream, timeouts.idle_s)
                if not more:
                    raise ProviderMisbehaved(PROVIDER, "broke off its answer")
                received += more
    except TimeoutError as error:
        raise ProviderDown(PROVIDER, f"was not done after {timeouts.answer_s:g} s") from error
    return received


async def _receive(stream: SocketStream, timeout_s: float) -> bytes:
    """The bytes that come next; none where the receiver has closed. Raises ProviderDown."""
    with _limited(timeout_s):
        try:
            return await stream.receive(_CHUNK_BYTES)
        except anyio.EndOfStream:
            return b""


@contextmanager
def _limited(timeout_s: float) -> Iterator[None]:
    """One operation on a connection. Raises ProviderDown where it takes longer, or the connection is lost."""
    try:
        with anyio.fail_after(timeout_s):
            yield
    except TimeoutError as error:
        raise ProviderDown(PROVIDER, f"went silent for {timeout_s:g} s") from error
    except anyio.BrokenResourceError as error:
        raise ProviderDown(PROVIDER, "lost the connection") from error
