"""Reads audio files from Google Drive, by id or by link."""

import re
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx
import jwt
import msgspec

from app.domain.errors import (
    BlobNotFound,
    ClientError,
    ClientFault,
    ProviderBusy,
    ProviderDown,
    ProviderError,
    ProviderMisbehaved,
    ProviderRefused,
)
from app.proxies import proxy_of

API = "https://www.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/drive.readonly"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_LIFETIME_S = 3600
PIECE_BYTES = 1 << 20
_ID = re.compile(r"[A-Za-z0-9_-]{10,}")
_QUOTA = {"userRateLimitExceeded", "rateLimitExceeded", "sharingRateLimitExceeded", "dailyLimitExceeded"}


class ServiceAccount(msgspec.Struct, frozen=True):
    """A service account's key file, as Google issues it."""

    client_email: str
    private_key: str
    token_uri: str = "https://oauth2.googleapis.com/token"  # noqa: S105 because it is an address


class _Token(msgspec.Struct, frozen=True):
    access_token: str
    expires_in: int = TOKEN_LIFETIME_S


def file_id(link: str) -> str:
    """The file id in a link, or the id itself. Raises ClientError where there is none."""
    parts = urlsplit(link)
    if not parts.scheme:
        found = _ID.fullmatch(link)
    elif wanted := parse_qs(parts.query).get("id"):
        found = _ID.fullmatch(wanted[0])
    else:
        _, _, behind = parts.path.partition("/d/")
        found = _ID.fullmatch(behind.split("/", 1)[0])
    if found is None:
        raise ClientError(
            ClientFault.BAD_MESSAGE, f"{link[:200]!r} is no link to a file in Google Drive, and no id of one"
        )
    return found.group()


@dataclass(slots=True)
class GoogleDrive:
    """A RecordingSource: reads files through the Drive API v3."""

    client: httpx.AsyncClient
    account: ServiceAccount | None
    token: str
    _valid_until: float = 0.0

    async def read(self, link: str) -> AsyncGenerator[bytes, None]:
        """The file, piece by piece. Raises ClientError for no link; BlobNotFound or a ProviderError, also midway."""
        path = f"/drive/v3/files/{file_id(link)}"
        query = {"alt": "media", "supportsAllDrives": "true"}
        try:
            headers = {"authorization": f"Bearer {await self._access_token()}"}
            async with self.client.stream("GET", path, params=query, headers=headers) as response:
                if response.status_code != httpx.codes.OK:
                    raise _translate(response.status_code, await response.aread(), link)
                async for piece in response.aiter_bytes(PIECE_BYTES):
                    yield piece
        except httpx.HTTPError as error:
            raise ProviderDown("google_drive", "Drive cannot be reached, or went away") from error

    async def _access_token(self) -> str:
        """One that is valid for a while; a new one where the last expires soon."""
        if self.account is None or anyio.current_time() < self._valid_until:
            return self.token
        now = int(time.time())
        claims = {
            "iss": self.account.client_email,
            "scope": SCOPE,
            "aud": self.account.token_uri,
            "iat": now,
            "exp": now + TOKEN_LIFETIME_S,
        }
        try:
            assertion = jwt.encode(claims, self.account.private_key, algorithm="RS256")
        except (ValueError, jwt.PyJWTError) as error:
            raise ProviderRefused("google_drive", "the service account's private key cannot be read") from error
        response = await self.client.post(self.account.token_uri, data={"grant_type": GRANT, "assertion": assertion})
        if response.status_code != httpx.codes.OK:
            raise _translate(response.status_code, response.content, "a token")
        try:
            token = msgspec.json.decode(response.content, type=_Token)
        except msgspec.DecodeError as error:
            raise ProviderMisbehaved("google_drive", "the answer to the request for a token is no token") from error
        self.token, self._valid_until = token.access_token, anyio.current_time() + token.expires_in * 0.9
        return self.token


def _translate(status: int, body: bytes, link: str) -> ProviderError | BlobNotFound:
    if status == httpx.codes.NOT_FOUND:
        return BlobNotFound(link)
    over_quota = any(reason.encode() in body for reason in _QUOTA)
    if status == httpx.codes.TOO_MANY_REQUESTS or (status == httpx.codes.FORBIDDEN and over_quota):
        return ProviderBusy("google_drive", "Drive asks to slow down")
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return ProviderDown("google_drive", f"Drive answered {status}")
    return ProviderRefused("google_drive", f"Drive refused {link} with {status}")


@asynccontextmanager
async def open_google_drive(
    *, service_account: Path | None = None, token: str = "", base_url: str = API, timeout_s: float = 20.0
) -> AsyncIterator[GoogleDrive]:
    """Drive, with a service account's key file or an access token of somebody's."""
    account = None
    if service_account is not None:
        try:
            account = msgspec.json.decode(await anyio.Path(service_account).read_bytes(), type=ServiceAccount)
        except (OSError, msgspec.DecodeError) as error:
            raise ProviderRefused("google_drive", f"{service_account} is no service account's key file") from error
    elif not token:
        raise ProviderRefused("google_drive", "neither a service account nor a token is set")
    async with httpx.AsyncClient(
        base_url=base_url,
        timeout=timeout_s,
        follow_redirects=True,
        verify=httpx.create_ssl_context(),
        proxy=proxy_of(base_url),
        trust_env=False,
    ) as client:
        yield GoogleDrive(client, account, token)
