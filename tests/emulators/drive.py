"""Google Drive emulator: access tokens for signed assertions, and the bytes of files."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import jwt
from litestar import Litestar, Request, Response, get, post
from litestar.params import FromPath, FromQuery

from tests.serving import serving


@dataclass
class Drive:
    """Files by id. `status` fails every request for one; `public_key` checks assertions."""

    public_key: Any = None
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    status: int = 0
    body: dict[str, Any] = field(default_factory=dict)
    tokens: int = 0
    url: str = ""


@asynccontextmanager
async def serve_drive(drive: Drive) -> AsyncIterator[Drive]:
    @post("/token", status_code=200)
    async def token(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
        form = parse_qs((await request.body()).decode())
        try:
            claims = jwt.decode(
                form["assertion"][0], drive.public_key, algorithms=["RS256"], audience=f"{drive.url}/token"
            )
        except jwt.PyJWTError:
            return Response({"error": "invalid_grant"}, status_code=400)
        assert claims["scope"].endswith("drive.readonly")
        drive.tokens += 1
        return Response({"access_token": "granted", "expires_in": 3600})

    @get("/drive/v3/files/{name:str}")
    async def files(
        request: Request[Any, Any, Any], name: FromPath[str], alt: FromQuery[str | None] = None
    ) -> Response[Any]:
        if drive.status:
            return Response(drive.body, status_code=drive.status)
        if request.headers.get("authorization") != "Bearer granted":
            return Response({"error": {"code": 401}}, status_code=401)
        if name not in drive.files:
            return Response({"error": {"code": 404}}, status_code=404)
        if alt != "media":
            return Response({"error": {"code": 400}}, status_code=400)
        _, blob = drive.files[name]
        return Response(blob, media_type="audio/flac")

    async with serving(Litestar([token, files], openapi_config=None, logging_config=None)) as address:
        drive.url = f"http://{address}"
        yield drive
