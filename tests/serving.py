"""A real server on a free loopback port, inside the test's event loop."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio
import uvicorn
from litestar import Litestar

from app.domain.floor import Floor, TurnRules
from app.domain.route import Place, Route
from app.runtime.archive import Archive
from app.runtime.engines import Engines, FinalRoute
from app.runtime.ingest import Scribe
from app.runtime.service import Service
from app.web.server import create_app
from tests.fakes import (
    MemoryBlobStore,
    MemorySpool,
    ScriptedDetector,
    ScriptedGenerator,
    ScriptedSynthesizer,
    ScriptedTranscriber,
)


def scripted_service(**changes) -> Service:
    """A service whose engines obey a script: speech is what has a first byte that is not zero."""
    engines = Engines(
        ScriptedDetector(),
        FinalRoute(Route("local", Place.ON_PREM), ScriptedTranscriber()),
        ScriptedTranscriber("draft"),
        ScriptedGenerator(),
        ScriptedSynthesizer(),
    )

    @asynccontextmanager
    async def session_engines() -> AsyncGenerator[Engines, None]:
        yield engines

    options = {
        "session_engines": session_engines,
        "archive": Archive(MemorySpool(), changes.pop("store", None) or MemoryBlobStore()),
        "scribe": Scribe(ScriptedDetector(), ScriptedTranscriber(), None),
        "floor": Floor(TurnRules(reply_after_ms=300)),
        "max_sessions": 4,
        "description": (("finals", "scripted"),),
    }
    return Service(**{**options, **changes})


class _Server(uvicorn.Server):
    """uvicorn that says when it listens, instead of being asked again and again."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = anyio.Event()

    async def startup(self, sockets=None) -> None:
        await super().startup(sockets)
        self.listening.set()


@asynccontextmanager
async def served(service: AbstractAsyncContextManager[Service] | Service) -> AsyncGenerator[str, None]:
    """The server's address, like `127.0.0.1:4711`."""

    @asynccontextmanager
    async def given() -> AsyncGenerator[Service, None]:
        yield service

    open_service = given if isinstance(service, Service) else (lambda: service)
    async with listening(create_app(open_service)) as address:
        yield address


@asynccontextmanager
async def listening(app: Litestar) -> AsyncGenerator[str, None]:
    """The address of any application."""
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        log_config=None,
        ws="websockets-sansio",
        timeout_graceful_shutdown=5,
    )
    server = _Server(config)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server._serve)
        with anyio.fail_after(60):
            await server.listening.wait()
        host, port = server.servers[0].sockets[0].getsockname()
        yield f"{host}:{port}"
        server.should_exit = True
