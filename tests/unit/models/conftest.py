"""Small models, the wheels that carry them, and a hub on the loopback interface."""

import hashlib
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from app.models.catalogue import Hub, Model, ModelFile, Source, Wheel

WEIGHTS = bytes(range(256)) * 1200
CONFIG = b'{"heads": 2}'


def file_of(name: str, content: bytes) -> ModelFile:
    return ModelFile(name, len(content), hashlib.sha256(content).hexdigest())


@dataclass
class LoopbackHub:
    """Serves `files` by path. `cuts` are bytes to send before hanging up, one for each request that has one left."""

    files: dict[str, bytes] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    stall_after: int | None = None
    released: threading.Event = field(default_factory=threading.Event)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    address: str = ""

    @property
    def ranges_asked(self) -> list[str | None]:
        return [asked for _, asked in self.requests]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range")
        self.requests.append((handler.path, asked))
        content = self.files.get(handler.path)
        if content is None:
            handler.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.ranges else 0
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        body = content[start:]
        if self.stall_after is not None:
            handler.wfile.write(body[: self.stall_after])
            self.released.wait(60)
        elif self.cuts:
            handler.wfile.write(body[: self.cuts.pop(0)])
        else:
            handler.wfile.write(body)


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    served = LoopbackHub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.answer(self)

        def log_message(self, *_: Any) -> None:
            """Stay quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.block_on_close = False
        served.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield served
        served.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """pip looks at a local folder only, and loopback needs no proxy."""
    (tmp_path / "index").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def model(hub: LoopbackHub) -> Model:
    """Two files that the loopback hub serves."""
    hub.files = {"/some/echo/resolve/main/config.json": CONFIG, "/some/echo/resolve/main/model.bin": WEIGHTS}
    files = (file_of("config.json", CONFIG), file_of("model.bin", WEIGHTS))
    return Model("echo", "draft", "ctranslate2", "MIT", files, (Hub("some/echo", "main"),))


@pytest.fixture
def from_sources(model: Model) -> Callable[..., Model]:
    """The same model with other sources."""

    def change(*sources: Source) -> Model:
        return replace(model, sources=sources)

    return change


@pytest.fixture
def make_wheel(tmp_path: Path) -> Callable[[str, dict[str, bytes]], Wheel]:
    """Puts a wheel with these members where pip finds it. Its code would fail if anyone imported it."""

    def make(name: str, members: dict[str, bytes], *, version: str = "1.0") -> Wheel:
        stem = f"{name.replace('-', '_')}-{version}"
        path = tmp_path / "index" / f"{stem}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
            wheel.writestr(f"{name.replace('-', '_')}/__init__.py", "raise SystemExit('imported')")
            for member, content in members.items():
                wheel.writestr(member, content)
            wheel.writestr(f"{stem}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            tag = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            wheel.writestr(f"{stem}.dist-info/WHEEL", tag)
            wheel.writestr(f"{stem}.dist-info/RECORD", "")
        packed = path.read_bytes()
        return Wheel(f"{name}=={version}", len(packed), hashlib.sha256(packed).hexdigest())

    return make
