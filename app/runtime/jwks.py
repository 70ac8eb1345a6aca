"""The public keys of an outside issuer of JWTs (RFC 7517), fetched when they are needed and cached."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import httpx
import jwt
import msgspec

from app.domain.errors import ProviderDown, ProviderError, ProviderMisbehaved
from app.json_input import decode_json
from app.proxies import proxy_of

ALGORITHMS = ("RS256", "ES256")
"""What a token may be signed with; nothing symmetric, and not `none`."""

MAX_AGE_S = 3600.0
"""After which the keys are fetched again."""
MAX_STALE_S = 24 * 3600.0
"""How long known keys are used while the issuer does not answer."""
MIN_INTERVAL_S = 10.0
"""Between two requests, whatever key ids the tokens name."""
MAX_BYTES = 1 << 20
TIMEOUT_S = 5.0


class _KeySet(msgspec.Struct, frozen=True):
    keys: tuple[dict[str, object], ...]


@dataclass(slots=True)
class JwksCache:
    fetch: Callable[[], Awaitable[bytes]]
    """The key set as it is served. Raises a ProviderError."""
    now: Callable[[], float] = anyio.current_time
    _keys: Mapping[str, jwt.PyJWK] = field(default_factory=dict)
    _fetched_at: float = float("-inf")
    _tried_at: float = float("-inf")
    _failure: ProviderError | None = None
    """Of the newest request."""
    _lock: anyio.Lock = field(default_factory=anyio.Lock)

    async def key(self, kid: str) -> jwt.PyJWK | None:
        """The key with this id; None where the issuer has none. Raises a ProviderError where it does not answer.

        An unknown id makes it fetch the keys again, because issuers rotate them, but not more often than every
        MIN_INTERVAL_S.
        """
        if kid in self._keys and self.now() - self._fetched_at < MAX_AGE_S:
            return self._keys[kid]
        async with self._lock:
            if kid not in self._keys or self.now() - self._fetched_at >= MAX_AGE_S:
                await self._refresh()
        if kid in self._keys and self.now() - self._fetched_at < MAX_STALE_S:
            return self._keys[kid]
        if self._failure is not None:
            raise self._failure
        return None

    async def _refresh(self) -> None:
        if self.now() - self._tried_at < MIN_INTERVAL_S:
            return
        self._tried_at = self.now()
        try:
            keys = _parse(await self.fetch())
        except ProviderError as error:
            self._failure = error
        else:
            self._keys, self._fetched_at, self._failure = keys, self.now(), None


def _parse(body: bytes) -> Mapping[str, jwt.PyJWK]:
    """The keys that may verify a token, by id. What else the set has is left out. Raises ProviderMisbehaved."""
    try:
        key_set = decode_json(body, msgspec.json.Decoder(_KeySet))
    except msgspec.DecodeError as error:
        raise ProviderMisbehaved("jwks", "the issuer's answer is no set of keys") from error
    keys = dict[str, jwt.PyJWK]()
    for each in key_set.keys:
        try:
            key = jwt.PyJWK(each)
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            continue  # a kind of key that tokens of ours are not signed with
        if key.algorithm_name in ALGORITHMS and each.get("use", "sig") == "sig" and isinstance(key.key_id, str):
            keys[key.key_id] = key
    return keys


@asynccontextmanager
async def open_jwks(url: str) -> AsyncIterator[JwksCache]:
    """The key set at this address. Nothing is fetched before the first token comes."""
    async with httpx.AsyncClient(
        timeout=TIMEOUT_S, verify=httpx.create_ssl_context(), proxy=proxy_of(url), trust_env=False
    ) as client:

        async def fetch() -> bytes:
            body = bytearray()
            try:
                async with client.stream("GET", url) as response:
                    if response.status_code != httpx.codes.OK:
                        raise ProviderDown("jwks", f"the issuer's keys cannot be fetched: HTTP {response.status_code}")
                    async for piece in response.aiter_bytes():
                        body += piece
                        if len(body) > MAX_BYTES:
                            raise ProviderMisbehaved("jwks", "the issuer's set of keys is too large")
            except httpx.HTTPError as error:
                raise ProviderDown("jwks", "the issuer's keys cannot be fetched") from error
            return bytes(body)

        yield JwksCache(fetch)
