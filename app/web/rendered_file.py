"""What was rendered for one response lies in a temporary file: its client may read slowly, and memory is scarce."""

import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

from anyio import CapacityLimiter, to_thread
from litestar.response import Stream

from app.domain.disk_errors import translate_disk_errors
from app.runtime.service import Service

READ_BYTES = 1 << 16


@contextmanager
def rendered_file(service: Service, tenant: str) -> Generator[BinaryIO, None, None]:
    """A file to write into; it is closed where the context fails, and by the response that is made of it otherwise.

    Raises ProviderBusy where too many are being sent, of this tenant or in all, and for a full disk.
    """
    with ExitStack() as resources, translate_disk_errors("recordings"):
        file = resources.enter_context(tempfile.TemporaryFile(dir=service.uploads.blobs.scratch))
        service.limits.track_rendered_file(file, tenant)
        yield file
        resources.pop_all()  # the response closes it


async def file_response(file: BinaryIO, threads: CapacityLimiter, media_type: str, headers: dict[str, str]) -> Stream:
    """The whole file; it is closed before its last piece is sent, so that whoever has it all counts no more."""
    size = await to_thread.run_sync(file.tell, limiter=threads)
    await to_thread.run_sync(file.seek, 0, limiter=threads)
    return Stream(_pieces(file, size, threads), media_type=media_type, headers={"content-length": str(size), **headers})


async def _pieces(file: BinaryIO, left: int, threads: CapacityLimiter) -> AsyncGenerator[bytes, None]:
    try:
        while piece := await to_thread.run_sync(file.read, READ_BYTES, limiter=threads):
            left -= len(piece)
            if left <= 0:
                file.close()
                yield piece
                return
            yield piece
    finally:
        file.close()
