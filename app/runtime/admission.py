"""Admission control: which sessions are open, and whether one more may begin."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from app.domain.errors import NoCapacity
from app.domain.tenant import Tenant


@dataclass(slots=True)
class Admission:
    """Counts open sessions against the limit of the process and the limit of each tenant."""

    max_sessions: int
    archive_has_space: Callable[[], bool] = lambda: True
    """False while the disk under the archive is full: then no session begins."""
    sessions: dict[str, str] = field(default_factory=dict)
    """Open sessions: id to the name of the tenant."""

    @property
    def is_full(self) -> bool:
        """Whether no session of any tenant may begin now."""
        return len(self.sessions) >= self.max_sessions or not self.archive_has_space()

    def refusal(self, tenant: Tenant) -> str | None:
        """Why this tenant cannot begin one more session now, as a sentence; None where it can."""
        if self.is_full:
            return "every place is taken; try again in a moment"
        open_sessions = sum(name == tenant.name for name in self.sessions.values())
        if tenant.max_sessions is not None and open_sessions >= tenant.max_sessions:
            return f"every one of your {tenant.max_sessions} places is taken; end a session first"
        return None

    @contextmanager
    def admitted(self, session: str, tenant: Tenant) -> Generator[None, None, None]:
        """Count this session for the lifetime of the context. Raises NoCapacity where it may not begin."""
        if refusal := self.refusal(tenant):
            raise NoCapacity(refusal)
        self.sessions[session] = tenant.name
        try:
            yield
        finally:
            del self.sessions[session]
