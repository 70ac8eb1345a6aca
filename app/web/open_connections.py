"""The open connections of one server: how many there may be, and which of them gives way to a new one."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from app.domain.loopback import is_loopback
from app.domain.trusted_proxies import Network, is_in, parse_networks
from app.runtime.authentication import Peer

LOOPBACK = parse_networks("127.0.0.0/8, ::1/128")
SPARE_CONNECTIONS = 256
"""Above the limit, or as many as the limit if that is less: connections that wait, or that are answered with 503."""

C = TypeVar("C")


@dataclass(slots=True)
class OpenConnections(Generic[C]):
    """Connections of any kind, HTTP and WebSocket, each with the address of its peer; 0 is no limit."""

    maximum: int = 0
    """That are served at once, each a request or a WebSocket."""
    per_address: int = 0
    """Of one IPv4 address, or one /64 network of IPv6."""
    uncounted: Sequence[Network] = LOOPBACK
    """Peers that no limit per address concerns: this machine, and proxies, which bring the clients of many."""
    _network: dict[C, str] = field(default_factory=dict)
    _of_network: Counter[str] = field(default_factory=Counter)
    _waiting: dict[C, None] = field(default_factory=dict)
    """For a request, or for the rest of its head: the one that has waited longest is first."""

    def add(self, connection: C, host: str) -> bool:
        """Whether this new connection may stay. It waits for its first request."""
        network = "" if is_in(host, self.uncounted) else Peer(host).network
        if network and 0 < self.per_address <= self._of_network[network]:
            return False
        is_own = is_loopback(host)  # because the check of health comes from there, and must be answered
        if 0 < self._most <= len(self._network) and not self._waiting and not is_own:
            return False
        self._network[connection] = network
        self._of_network[network] += 1
        self._waiting[connection] = None
        return True

    def remove(self, connection: C) -> None:
        """One that is not there is none."""
        self._waiting.pop(connection, None)
        network = self._network.pop(connection, None)
        if network is not None:
            self._of_network[network] -= 1
            if not self._of_network[network]:
                del self._of_network[network]

    def begin_request(self, connection: C) -> None:
        """It no longer waits."""
        self._waiting.pop(connection, None)

    def await_request(self, connection: C) -> None:
        """It waits from now on."""
        if connection in self._network:
            self._waiting[connection] = None

    def make_room(self, newest: C) -> C | None:
        """Where there are too many, removes and returns the one that has waited longest, unless it is the newest."""
        oldest = next(iter(self._waiting), None)
        if not 0 < self._most < len(self._network) or oldest is None or oldest is newest:
            return None
        self.remove(oldest)
        return oldest

    @property
    def is_full(self) -> bool:
        """Whether more than the maximum are being served, so that requests are refused. Who waits takes no place."""
        return 0 < self.maximum < len(self._network) - len(self._waiting)

    @property
    def _most(self) -> int:
        return self.maximum + min(self.maximum, SPARE_CONNECTIONS)
