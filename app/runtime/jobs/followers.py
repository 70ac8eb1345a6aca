"""Followers: who follows the events of jobs, so that no tenant and no address takes the places of all others."""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from app.domain.errors import ProviderBusy

MAX_FOLLOWERS, PER_TENANT, PER_NETWORK = 100, 50, 20


@dataclass(slots=True)
class Followers:
    """Of one process."""

    most: int = MAX_FOLLOWERS
    per_tenant: int = PER_TENANT
    per_network: int = PER_NETWORK
    """From one address, as limits per address count it."""
    count: int = 0
    _of_tenant: Counter[str] = field(default_factory=Counter)
    _of_network: Counter[str] = field(default_factory=Counter)

    def require_place(self, tenant: str, network: str) -> None:
        """Raises ProviderBusy where one more of this tenant, from this network, is too many; empty: it has no limit."""
        if (
            self.count >= self.most
            or self._of_tenant[tenant] >= self.per_tenant
            or (network and self._of_network[network] >= self.per_network)
        ):
            raise ProviderBusy("jobs", "too many clients follow jobs already; ask for GET /jobs/ID now and then")

    @contextmanager
    def place(self, tenant: str, network: str) -> Generator[None, None, None]:
        """A place for the lifetime of the context. Raises as require_place() does."""
        self.require_place(tenant, network)
        self._add(tenant, network, 1)
        try:
            yield
        finally:
            self._add(tenant, network, -1)

    def _add(self, tenant: str, network: str, change: int) -> None:
        self.count += change
        self._change(self._of_tenant, tenant, change)
        if network:
            self._change(self._of_network, network, change)

    @staticmethod
    def _change(counts: Counter[str], name: str, change: int) -> None:
        counts[name] += change
        if not counts[name]:
            del counts[name]  # else every address that ever came would stay
