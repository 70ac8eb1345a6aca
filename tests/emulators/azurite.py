"""Azurite, Microsoft's own emulator of Blob Storage, as a process on a free loopback port."""

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.strict import missing

NODE_MODULES = Path(os.environ.get("PARLEY_NODE_MODULES", Path(__file__).parents[2] / "node_modules"))
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # the documented one
UP_WITHIN_S = 30


@dataclass(frozen=True, slots=True)
class Azurite:
    port: int

    @property
    def account_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/{ACCOUNT}"

    @property
    def connection_string(self) -> str:
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={self.account_url};"


@contextmanager
def serve_azurite(folder: Path, *, in_memory: bool = True) -> Iterator[Azurite]:
    """Azurite until the block ends; the test is skipped, or fails under PARLEY_STRICT=1, where it is not installed."""
    program, node = NODE_MODULES / "azurite/dist/src/blob/main.js", shutil.which("node")
    if node is None or not program.is_file():
        missing(f"Azurite at {program}, or node (npm install --no-save azurite)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    keeping = ["--inMemoryPersistence"] if in_memory else ["--location", str(folder)]
    where = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--disableTelemetry", "--skipApiVersionCheck"]
    with subprocess.Popen(
        [node, str(program), *where, "--silent", *keeping],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as azurite:
        try:
            _wait_for(f"http://127.0.0.1:{port}/{ACCOUNT}?comp=list", azurite)
            yield Azurite(port)
        finally:
            azurite.terminate()


def _wait_for(url: str, azurite: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + UP_WITHIN_S
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError as refused:
            refused.close()
            return  # it answers: it is up
        except OSError:
            if azurite.poll() is not None:
                raise RuntimeError(azurite.communicate()[1].decode()) from None
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
