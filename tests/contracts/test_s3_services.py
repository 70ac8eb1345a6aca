"""S3 at other services than AWS, and in the region that is set."""

from urllib.parse import parse_qs, urlsplit

import anyio
import pytest

from app.assembly.archive import open_store
from app.config import Settings
from storage.s3 import open_s3

pytestmark = pytest.mark.anyio
OCTETS = "application/octet-stream"


async def test_a_service_that_speaks_s3_gets_no_checksum_headers(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    heads: list[str] = []

    async def answer(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            request = b""
            while b"\r\n\r\n" not in request:
                request += await stream.receive()
            heads.append(request.partition(b"\r\n\r\n")[0].decode().lower())
            if "100-continue" in heads[-1]:
                await stream.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                await stream.receive()
            await stream.send(b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, answer)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with open_s3(bucket="b", endpoint_url=f"http://127.0.0.1:{port}", region="us-east-1") as store:
            await store.put("key", b"content", content_type=OCTETS)
            await store.get("key")
        tasks.cancel_scope.cancel()

    assert [head.split()[0] for head in heads] == ["put", "get"]
    assert not [head for head in heads if "x-amz-checksum" in head or "x-amz-sdk-checksum" in head]


async def test_links_are_signed_for_the_region_that_is_set(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    settings = Settings(blob_store="s3", s3_bucket="b", aws_region="eu-central-1")

    async with open_store(settings, writes=False) as store:
        link = await store.url("sessions/x")

    assert link is not None
    assert "/eu-central-1/s3/" in parse_qs(urlsplit(link).query)["X-Amz-Credential"][0]
