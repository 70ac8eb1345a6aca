"""Hostile multipart forms at the worker: refused in OpenAI's shape, nothing is left, the next form is answered."""

import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import pytest

from app.domain.recording.wav import wav_header
from app.runtime.admission_queue import AdmissionQueue
from app.runtime.clock import SystemClock
from app.runtime.worker import Worker
from app.web.openai.worker import create_worker
from tests.eventually import until
from tests.fakes import ScriptedDetector, ScriptedTranscriber
from tests.leftovers import nothing_left
from tests.serving import serving

pytestmark = pytest.mark.anyio
SOUND = wav_header(16_000) + b"\1\0" * 16_000
NOISE = bytes(range(1, 256)) * 8000
"""Two megabytes: more than is kept in memory before a file is made."""
ANSWER = {"text": "hello", "usage": {"type": "duration", "seconds": 1}}
END = b"--x--\r\n"


def part(disposition: str, content: bytes, *headers: bytes) -> bytes:
    lines = (b"Content-Disposition: form-data; " + disposition.encode("latin-1"), *headers)
    return b"--x\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + content + b"\r\n"


FILE = part('name="file"; filename="a.flac"', SOUND)
LARGE = part('name="file"; filename="a.flac"', NOISE)
REFUSED = {
    "no body": b"",
    "end alone": END,
    "cut in the file": FILE[: len(FILE) // 2],
    "cut in a large file": LARGE[:-100],
    "cut in a header": FILE[:30],
    "cut before the end": FILE,
    "cut after a large file": LARGE,
    "cut in the boundary at the end": FILE + END[:3],
    "another boundary": (FILE + END).replace(b"--x", b"--y"),
    "a boundary in the middle alone": SOUND + FILE + END,
    "line feeds alone": (part('name="file"; filename="a"', b"sound") + END).replace(b"\r\n", b"\n"),
    "bytes behind a boundary": FILE.replace(b"--x\r\n", b"--xyz\r\n") + END,
    "two files": FILE + part('name="file"; filename="b.flac"', SOUND) + END,
    "two large files": LARGE + LARGE + END,
    "a file and a field of its name": FILE + part('name="file"', b"text") + END,
    "two languages": FILE + part('name="language"', b"en") + part('name="language"', b"de") + END,
    "two formats": FILE + part('name="response_format"', b"json") + part('name="response_format"', b"text") + END,
    "a language that is a file": FILE + part('name="language"; filename="a"', b"en") + END,
    "a name of a megabyte": part(f'name="{"n" * (1 << 20)}"', b"x") + FILE + END,
    "a file name of a megabyte": part(f'name="file"; filename="{"n" * (1 << 20)}"', SOUND) + END,
    "a header of a megabyte": part('name="file"; filename="a"', SOUND, b"X-Long: " + b"x" * (1 << 20)) + END,
    "a thousand headers": part('name="file"; filename="a"', SOUND, *[b"X-%d: 1" % n for n in range(1000)]) + END,
    "two thousand fields": b"".join(part(f'name="f{n}"', b"x") for n in range(2000)) + FILE + END,
    "a language of a megabyte": FILE + part('name="language"', b"e" * (1 << 20)) + END,
    "a prompt of a megabyte": FILE + part('name="prompt"', b"p" * (1 << 20)) + END,
    "a format of a megabyte": FILE + part('name="response_format"', b"j" * (1 << 20)) + END,
    "a part of two gigabytes": part('name="file"; filename="a"', SOUND, b"Content-Length: 2147483648") + END,
    "a part of a negative length": part('name="file"; filename="a"', SOUND, b"Content-Length: -1") + END,
    "a large file before Latin-1": LARGE + part('name="language"', b"fran\xe7ais") + END,
    "a large file before an unknown charset": LARGE
    + part('name="language"', b"en", b"Content-Type: text/plain; charset=klingon")
    + END,
    "a part without a name": part('filename="a"', SOUND) + END,
    "a part that is no form data": (FILE + END).replace(b"form-data", b"attachment"),
    "a language with a line break": FILE + part('name="language"', b"en\r\nx: y") + END,
    "a language with a NUL": FILE + part('name="language"', b"e\0n") + END,
    "a format with a line break": FILE + part('name="response_format"', b"json\n") + END,
    "a file name with a tab": part('name="file"; filename="a\tb"', SOUND) + END,
    "a file name with an escape": part('name="file"; filename="a\x1b[2J"', SOUND) + END,
    "a part without headers": b"--x\r\n\r\nsound\r\n" + FILE + END,
}
ANSWERED = {
    "a preamble and an epilogue": b"preamble\r\n" + FILE + END + b"epilogue",
    "fields that nobody uses, twice": part('name="timestamp_granularities[]"', b"word") * 2 + FILE + END,
    "a prompt of 64 KiB": FILE + part('name="prompt"', b"p" * (64 << 10)) + END,
    "a field that has no text": FILE + part('name="other"', b"\xff\xfe") + END,
    "an empty language": FILE + part('name="language"', b"") + END,
}


class Talk:
    """A worker with room for one request and one more, asked over a socket of its own for each request."""

    def __init__(self, address: str, worker: Worker) -> None:
        self.host, _, self.port = address.partition(":")
        self.queue, self.held = worker.queue, worker.held

    def head(self, *lines: bytes) -> bytes:
        usual = (b"POST /v1/audio/transcriptions HTTP/1.1", b"Host: localhost", b"Connection: close")
        form = b"Content-Type: multipart/form-data; boundary=x"
        return b"\r\n".join([*usual, form, *lines, b"", b""])

    async def ask(self, request: bytes, *, then: bytes = b"") -> tuple[int, dict]:
        """Status and body of the answer. What comes `then` is sent again and again until there is one."""
        answer = b""

        async def send() -> None:
            await stream.send(request)
            while then:
                await stream.send(then)

        with anyio.fail_after(30):
            async with await anyio.connect_tcp(self.host, int(self.port)) as stream, anyio.create_task_group() as tasks:
                tasks.start_soon(send)
                while not answer.endswith(b"}"):
                    answer += await stream.receive()
                tasks.cancel_scope.cancel()
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body)

    async def post(self, body: bytes) -> tuple[int, dict]:
        return await self.ask(self.head(b"Content-Length: %d" % len(body)) + body)

    async def hang_up(self, request: bytes) -> None:
        async with await anyio.connect_tcp(self.host, int(self.port)) as stream:
            await stream.send(request)


@asynccontextmanager
async def open_worker(**options: Any) -> AsyncGenerator[Talk, None]:
    engine, queue = ScriptedTranscriber(), AdmissionQueue("worker", SystemClock(), 1, 1)
    ready = Worker("tiny", engine, engine, ScriptedDetector(), queue, "en")
    async with serving(create_worker(ready), **options) as address:
        yield Talk(address, ready)


@pytest.fixture
async def worker():
    async with open_worker() as talk:
        yield talk


@pytest.mark.parametrize("name", REFUSED)
async def test_hostile_form_is_refused_and_leaves_nothing(worker, name, tmp_path):
    async with nothing_left(tmp_path):
        status, answer = await worker.post(REFUSED[name])
        good = await worker.post(FILE + END)

    assert status == 400
    assert answer["error"].keys() == {"message", "type", "code", "param"}
    assert (answer["error"]["type"], answer["error"]["code"]) == ("invalid_request_error", "bad_message")
    assert len(answer["error"]["message"]) < 300
    assert good == (200, ANSWER)
    assert worker.queue.pending == 0


@pytest.mark.parametrize("name", ANSWERED)
async def test_unusual_form_is_answered(worker, name, tmp_path):
    async with nothing_left(tmp_path):
        answer = await worker.post(ANSWERED[name])

    assert answer == (200, ANSWER)


@pytest.mark.parametrize("declared", [2 << 30, 1 << 62])
async def test_body_of_two_gigabytes_is_refused_before_it_comes(worker, declared, tmp_path):
    async with nothing_left(tmp_path):
        status, answer = await worker.ask(worker.head(b"Content-Length: %d" % declared) + FILE)
        good = await worker.post(FILE + END)

    assert (status, answer["error"]["code"]) == (413, "request_too_large")
    assert good == (200, ANSWER)


async def test_body_without_a_length_is_cut_off_at_the_limit(worker, tmp_path):
    megabyte = b"100000\r\n" + bytes(1 << 20) + b"\r\n"

    async with nothing_left(tmp_path):
        head = worker.head(b"Transfer-Encoding: chunked")
        lasting = head.replace(b"Connection: close", b"Connection: keep-alive")  # else the answer may be lost with it
        beginning = lasting + b"%x\r\n" % (len(FILE) - 2) + FILE[:-2] + b"\r\n"
        status, answer = await worker.ask(beginning, then=megabyte)
        good = await worker.post(FILE + END)

    assert (status, answer["error"]["code"]) == (413, "frame_too_large")
    assert good == (200, ANSWER)


async def test_body_that_comes_too_slowly_is_refused(tmp_path):
    async with open_worker(body_timeout_s=0.5) as worker, nothing_left(tmp_path):
        status, answer = await worker.ask(worker.head(b"Content-Length: 20000000") + LARGE[:1000])
        good = await worker.post(FILE + END)

    assert (status, answer["error"]["code"]) == (408, "body_too_slow")
    assert good == (200, ANSWER)


async def test_full_queue_refuses_a_form_before_it_comes():
    async with open_worker() as worker, worker.queue.slot(), anyio.create_task_group() as tasks:
        tasks.start_soon(worker.post, FILE + END)

        async def is_full() -> bool:
            return worker.queue.is_full

        await until(is_full)
        status, answer = await worker.ask(worker.head(b"Content-Length: 20000000") + FILE)
        tasks.cancel_scope.cancel()

    assert (status, answer["error"]["code"]) == (503, "provider_busy")


@pytest.mark.parametrize("sent", [b"", FILE[:30], FILE[:5000], LARGE, FILE + END[:4]], ids=len)
async def test_client_that_hangs_up_in_the_middle_of_its_form_leaves_nothing(worker, sent, tmp_path):
    async with nothing_left(tmp_path):
        await worker.hang_up(worker.head(b"Content-Length: 20000000") + sent)

        async def is_over() -> bool:
            return worker.queue.pending == 0

        await until(is_over)
        good = await worker.post(FILE + END)

    assert good == (200, ANSWER)


async def test_files_above_the_memory_for_them_are_refused_until_some_of_it_is_free(worker):
    """Three of 2 MB where there is memory for two; what has come counts, and no longer than its request takes."""
    worker.held.most = 5 << 20
    body = LARGE + END
    async with AsyncExitStack() as stack:
        for _ in range(2):
            stream = await stack.enter_async_context(await anyio.connect_tcp(worker.host, int(worker.port)))
            await stream.send(worker.head(b"Content-Length: %d" % len(body)) + body[:-1])
        await until(holds_two_files(worker))
        refused, answer = await worker.post(body)
    await until(holds_nothing(worker))
    good = await worker.post(FILE + END)

    assert (refused, answer["error"]["code"], good[0]) == (503, "provider_busy", 200)


def holds_two_files(worker: Talk):
    async def check() -> bool:
        return worker.held.total >= 2 * (len(LARGE + END) - 1)

    return check


def holds_nothing(worker: Talk):
    async def check() -> bool:
        return worker.held.total == 0

    return check
