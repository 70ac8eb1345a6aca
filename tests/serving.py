"""A real server on a free loopback port, inside the test's event loop."""

import threading
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import msgspec
from litestar import Litestar

from app.data.database import open_database
from app.data.leases import LeaseTable
from app.data.recording_index import RecordingIndexTable
from app.domain.dialog.state import DialogState, TurnRules
from app.domain.residency import Place
from app.domain.routing.route import Route
from app.domain.tenant import Tenant
from app.runtime.admission import Admission
from app.runtime.authentication import TenantKeys
from app.runtime.dialog.engines import Engines
from app.runtime.jobs.batch_transcription import BatchTranscriber
from app.runtime.jobs.file_blobs import FileBlobs
from app.runtime.jobs.file_uploads import LEASE_S, FileUploads
from app.runtime.recording.uploader import Uploader
from app.runtime.service import Service
from app.web.listener import GracefulServer, bound_socket
from app.web.server import create_app
from tests.fakes import (
    MemoryBlobStore,
    MemoryJobs,
    MemorySessionLog,
    ScriptedDetector,
    ScriptedGenerator,
    ScriptedSynthesizer,
    ScriptedTranscriber,
    SingleRouteFinals,
)


def scripted_service(**changes) -> Service:
    """A service whose engines obey a script: speech is what has a first byte that is not zero."""
    engines = Engines(
        ScriptedDetector(),
        SingleRouteFinals(Route("local", Place.ON_PREM), ScriptedTranscriber()),
        ScriptedTranscriber("draft"),
        ScriptedGenerator(),
        ScriptedSynthesizer(),
    )

    @asynccontextmanager
    async def session_engines(session: str, tenant: Tenant) -> AsyncGenerator[Engines, None]:
        yield engines

    store = changes.pop("store", None) or MemoryBlobStore()
    uploader = changes.pop("uploader", None) or Uploader(MemorySessionLog(), store)
    jobs = changes.pop("jobs", None) or MemoryJobs()
    files = FileUploads(jobs, FileBlobs(uploader.store), uploader, lease_s=changes.pop("lease_s", LEASE_S))
    options = {
        "session_engines": session_engines,
        "uploader": uploader,
        "uploads": files,
        "admission": Admission(changes.pop("max_sessions", 4), lambda: uploader.has_space),
        "batch_transcriber": BatchTranscriber(ScriptedDetector(), ScriptedTranscriber(), None),
        "initial_state": DialogState(TurnRules(reply_after_ms=300, language="en")),
        "components": (("finals", "scripted"),),
    }
    service = Service(**{**options, **changes})
    if service.tenants is not None and "authenticator" not in changes:
        service.authenticator = TenantKeys(lambda: service.tenants())  # noqa: PLW0108 because tests exchange them
    return service


@asynccontextmanager
async def served(service: Service, **options: Any) -> AsyncGenerator[str, None]:
    """The server's address, like `127.0.0.1:4711`; options as GracefulServer has them.

    A service without a recordings index gets one, in a database of its own.
    """
    async with AsyncExitStack() as stack:
        if service.uploader.index is None:
            folder = stack.enter_context(TemporaryDirectory())
            await index_in(f"sqlite+aiosqlite:///{folder}/parley.db", service.uploader, stack)
        await stack.enter_async_context(service.running())
        yield await stack.enter_async_context(serving(create_app(service), **options))


async def index_in(url: str, uploader: Uploader, stack: AsyncExitStack) -> None:
    """Give the uploader a recordings index in the database at this URL, which stays open as long as the stack."""
    database = await stack.enter_async_context(open_database(url))
    uploader.index, uploader.leases = RecordingIndexTable(database), LeaseTable(database)


class ServerOfThread(GracefulServer):
    """In a thread of its own, beside a test that blocks: signals are the main thread's."""

    def capture_signals(self) -> AbstractContextManager[None]:
        return nullcontext()


@asynccontextmanager
async def serving(app: Litestar, **options: Any) -> AsyncGenerator[str, None]:
    """The address of any application."""
    with bound_socket("127.0.0.1", 0) as listening:
        server = GracefulServer if threading.current_thread() is threading.main_thread() else ServerOfThread
        listener = server(app, **{"turn_seconds": 0, "drain_seconds": 5, **options})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, [listening])
            with anyio.fail_after(60):
                await listener.listening.wait()
            host, port = listening.getsockname()
            yield f"{host}:{port}"
            listener.should_exit = True


async def stored_manifest(service: Service, session: str) -> dict:
    """The session's manifest, once it is complete."""
    with anyio.fail_after(10):
        while True:
            for key, blob in list(service.store.blobs.items()):
                if session in key and key.endswith("manifest.json"):
                    manifest = msgspec.json.decode(blob)
                    if manifest["ended"]:
                        return manifest
            await anyio.sleep(0.02)
