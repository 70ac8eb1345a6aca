"""Pictures of the web page, kept as small WebP files where PARLEY_PICTURES names a folder."""

import io
import os
from pathlib import Path

import av

from tests.browser import Page

SETTLE_MS = 350
"""Colours fade in."""
QUALITY = "60"


async def keep_picture(page: Page, name: str, *, scale: float = 1.0) -> None:
    """The page as it is shown now; nothing where no folder is named."""
    if folder := os.environ.get("PARLEY_PICTURES"):
        await page.wait_for_timeout(SETTLE_MS)
        _write(Path(folder) / f"{name}.webp", _webp(await page.screenshot(), scale))


def _write(path: Path, picture: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture)


def _webp(png: bytes, scale: float) -> bytes:
    with av.open(io.BytesIO(png)) as container:
        frame = next(container.decode(video=0))
    width, height = (int(side * scale) // 2 * 2 for side in (frame.width, frame.height))
    frame = frame.reformat(width=width, height=height, format="bgra", interpolation="LANCZOS")
    out = io.BytesIO()
    with av.open(out, "w", format="webp") as file:
        stream = file.add_stream("libwebp", options={"quality": QUALITY, "preset": "text"})
        stream.width, stream.height, stream.pix_fmt = width, height, "bgra"
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()
