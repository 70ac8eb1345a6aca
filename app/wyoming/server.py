"""Accepts Wyoming clients on a TCP port: without TLS and without keys, so only for those who need none."""

from collections.abc import Callable
from contextlib import nullcontext, suppress

import anyio
import structlog
from anyio.abc import SocketAttribute, SocketStream

from app.domain.errors import ProviderError
from app.domain.principal import Principal
from app.runtime.authentication import STRANGER_SCOPES, UNKNOWN_PEER, Peer
from app.runtime.service import Service
from app.runtime.supervision import report_defect
from app.wyoming.announcement import announced
from app.wyoming.connection import WyomingConnection
from app.wyoming.frames import WyomingEvent, encoded

MAX_CONNECTIONS = 64
"""More are closed at once."""
NO_KEY = "this server asks for a key, which this protocol cannot send; see PARLEY_WYOMING_TENANT"

_log = structlog.get_logger("parley.wyoming")


async def serve_wyoming(
    service: Service,
    host: str,
    port: int,
    *,
    tenant: str = "",
    is_announced: bool = False,
    on_listening: Callable[[int], None] = lambda _: None,
) -> None:
    """For ever; `on_listening` is called with the port.

    Clients are of this tenant, without a key; where it is empty, they are whoever presents no key.
    """
    listener = await anyio.create_tcp_listener(local_host=host, local_port=port)
    places = anyio.CapacityLimiter(MAX_CONNECTIONS)
    own_port: int = listener.extra(SocketAttribute.local_port)  # noqa: S610 because it is anyio's
    if is_announced and not await _is_open(service, tenant):
        _log.warning("wyoming is not announced", reason=NO_KEY)
        is_announced = False
    async with listener, announced(host, own_port) if is_announced else nullcontext():
        on_listening(own_port)

        async def serve(stream: SocketStream) -> None:
            async with stream:
                with suppress(anyio.WouldBlock, anyio.BrokenResourceError, OSError):
                    places.acquire_on_behalf_of_nowait(stream)
                    try:
                        await _serve(service, stream, tenant)
                    finally:
                        places.release_on_behalf_of(stream)

        await listener.serve(serve)


async def _is_open(service: Service, tenant: str) -> bool:
    """Whether clients of other machines are served without a key: else Home Assistant would find what refuses it."""
    return bool(tenant) or await service.authenticator.authenticate(None, UNKNOWN_PEER) is not None


async def _serve(service: Service, stream: SocketStream, tenant: str) -> None:
    peer = Peer(str(stream.extra(SocketAttribute.remote_address)[0]))  # noqa: S610 because it is anyio's
    try:
        principal = (
            Principal(service.tenant(tenant), STRANGER_SCOPES, name="Wyoming")
            if tenant
            else await service.authenticator.authenticate(None, peer)
        )
        if principal is None:
            await stream.send(encoded(WyomingEvent("error", {"text": NO_KEY, "code": "unauthorized"})))
            return
        await WyomingConnection(service, stream, principal, peer).serve()
    except ProviderError as error:
        _log.warning("wyoming client refused", message=str(error))
    except Exception as error:  # noqa: BLE001 because one connection's defect must not reach the others
        report_defect("wyoming", error)
