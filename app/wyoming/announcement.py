"""Announces the Wyoming port by multicast DNS (zeroconf), so that Home Assistant finds it; needs an extra."""

import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import structlog

from app.domain.loopback import is_loopback

SERVICE_TYPE = "_wyoming._tcp.local."
WITHDRAW_TIMEOUT_S = 3.0
_ANY = frozenset({"0.0.0.0", "::"})  # noqa: S104 because this compares
_MULTICAST = ("224.0.0.251", 5353)

_log = structlog.get_logger("parley.wyoming")


def can_be_found(host: str) -> bool:
    """Whether other machines reach what listens on this host."""
    return not is_loopback(host)


def instance_name(host_name: str) -> str:
    """One label of DNS. Home Assistant knows the server by it, so it is the same after every start."""
    label = re.sub(r"[^a-z0-9]+", "-", host_name.lower())[:48].strip("-")
    return f"parley-{label}".rstrip("-")


@asynccontextmanager
async def announced(host: str, port: int) -> AsyncIterator[None]:
    """The port is announced meanwhile, and withdrawn after it.

    Where it cannot be announced, the log says why, and nothing else changes.
    """
    try:
        from zeroconf import Error  # noqa: PLC0415 because it needs an extra
        from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf  # noqa: PLC0415 because it needs an extra
    except ImportError:
        _log.info("wyoming is not announced", reason='it needs an extra: pip install "parley-voice[wyoming]"')
        yield
        return
    name = instance_name(socket.gethostname())
    responder = None
    try:
        try:
            address = await anyio.to_thread.run_sync(_address, host)
            responder = AsyncZeroconf(interfaces=[address])
            info = AsyncServiceInfo(
                SERVICE_TYPE,
                f"{name}.{SERVICE_TYPE}",
                port=port,
                server=f"{name}.local.",
                parsed_addresses=[address],
            )
            await (await responder.async_register_service(info))
            _log.info("wyoming is announced", name=name, address=address, port=port)
        except (Error, OSError) as error:
            _log.warning("wyoming is not announced", name=name, reason=f"{type(error).__name__}: {error}")
        yield
    finally:
        if responder is not None:
            with anyio.move_on_after(WITHDRAW_TIMEOUT_S, shield=True):
                await responder.async_unregister_all_services()
                await responder.async_close()


def _address(host: str) -> str:
    """The IPv4 address of the host; where it is every one, that of the interface of multicasts. Raises OSError."""
    if host not in _ANY:
        return socket.gethostbyname(host)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(_MULTICAST)  # sends nothing
        address: str = probe.getsockname()[0]
        return address
