"""Limits of connections of `parley serve` and `parley worker`, from the settings."""

from typing import Any

from app.config import LimitSettings
from app.domain.trusted_proxies import parse_networks
from app.web.open_connections import LOOPBACK


def connection_limits(settings: LimitSettings) -> dict[str, Any]:
    """As GracefulServer takes them: twice the limits of sessions, because HTTP has connections, too."""
    return {
        "max_connections": 2 * settings.max_connections,
        "max_connections_per_address": 2 * settings.max_connections_per_address,
        "uncounted": (*LOOPBACK, *parse_networks(settings.trusted_proxies)),
    }
