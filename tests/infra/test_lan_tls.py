"""TLS for phones on the same network: infra/lan/nginx.conf in front of the real server."""

import ssl
from subprocess import DEVNULL
from urllib.error import URLError
from urllib.request import urlopen

import anyio
import msgspec
import pytest
from anyio import to_thread
from websockets.asyncio.client import connect

from tests.eventually import until
from tests.fakes import SILENCE, SPEECH
from tests.infra.nginx import ROOT, free_port, nginx_command
from tests.serving import scripted_service, served

pytestmark = pytest.mark.anyio


async def test_a_phone_talks_over_tls_with_a_certificate_of_ones_own(tmp_path):
    """The page, and a spoken conversation over wss."""
    script, port = ROOT / "infra" / "docker" / "certificate.sh", free_port()
    await anyio.run_process([str(script), "127.0.0.1", str(tmp_path / "certificates")])
    shipped = (ROOT / "infra" / "lan" / "nginx.conf").read_text("utf-8")
    async with served(scripted_service()) as upstream:
        text = shipped.replace("8443", f"127.0.0.1:{port}").replace("127.0.0.1:8000", upstream)
        (tmp_path / "nginx.conf").write_text(text.replace("/tmp/parley-nginx", f"{tmp_path}/nginx"))
        trusted = ssl.create_default_context(cafile=tmp_path / "certificates" / "fullchain.pem")
        async with await anyio.open_process(nginx_command(tmp_path), stdout=DEVNULL, stderr=DEVNULL) as front:
            try:
                page = await read_page(f"https://127.0.0.1:{port}/", trusted)
                kinds = await speak(f"wss://127.0.0.1:{port}/ws/raw", f"https://127.0.0.1:{port}", trusted)
            finally:
                front.terminate()

    assert "<title>" in page
    assert (kinds[0], kinds[-1]) == ("session", "server_response")


async def read_page(url: str, trusted: ssl.SSLContext) -> str:
    """As soon as somebody listens there."""
    pages = list[str]()

    def read() -> bool:
        try:
            with urlopen(url, context=trusted, timeout=5) as answer:
                pages.append(answer.read().decode())
        except URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError):
                raise
        return bool(pages)

    await until(lambda: to_thread.run_sync(read), seconds=10)
    return pages[0]


async def speak(url: str, origin: str, trusted: ssl.SSLContext) -> list[str]:
    """The types of what the server sends, until it has replied."""
    kinds = list[str]()
    async with connect(url, ssl=trusted, proxy=None, origin=origin) as socket:
        await socket.send(SPEECH * 20 + SILENCE * 30)
        with anyio.fail_after(10):
            while "server_response" not in kinds:
                if isinstance(message := await socket.recv(), str):
                    kinds.append(msgspec.json.decode(message)["type"])
    return kinds
