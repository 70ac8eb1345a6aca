"""Admission control: which sessions have a place, and whether one more may begin."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from app.domain.errors import Draining, NoCapacity
from app.domain.tenant import Tenant


@dataclass(slots=True)
class Admission:
    """Counts the places that are taken against the limit of the process and the limit of each tenant.

    A session takes a place when it begins. It may release it while it sends no audio, and takes one again with the
    next audio.
    """

    max_sessions: int
    archive_has_space: Callable[[], bool] = lambda: True
    """False while the disk under the archive is full: then no session begins."""
    sessions: dict[str, str] = field(default_factory=dict)
    """Sessions with a place: id to the name of the tenant."""
    is_draining: bool = False
    """No session begins any more; those that run go on, and keep or take their places."""

    @property
    def is_full(self) -> bool:
        """Whether no session of any tenant may begin now."""
        return len(self.sessions) >= self.max_sessions or not self.archive_has_space()

    def refusal(self, tenant: Tenant) -> str | None:
        """Why this tenant cannot have one more place now, as a sentence; None where it can."""
        if self.is_full:
            return "every place is taken; try again in a moment"
        open_sessions = sum(name == tenant.name for name in self.sessions.values())
        if tenant.max_sessions is not None and open_sessions >= tenant.max_sessions:
            return f"every one of your {tenant.max_sessions} places is taken; end a session first"
        return None

    def take(self, session: str, tenant: Tenant) -> None:
        """Give this session a place, where it has none. Raises NoCapacity."""
        if session in self.sessions:
            return
        if refusal := self.refusal(tenant):
            raise NoCapacity(refusal)
        self.sessions[session] = tenant.name

    def release(self, session: str) -> None:
        """Free the place of this session, where it has one."""
        self.sessions.pop(session, None)

    @contextmanager
    def admitted(self, session: str, tenant: Tenant) -> Generator[None, None, None]:
        """A place for a new session, at most for the lifetime of the context. Raises NoCapacity or Draining."""
        if self.is_draining:
            raise Draining("this server takes no new sessions, because it is about to stop; connect again")
        self.take(session, tenant)
        try:
            yield
        finally:
            self.release(session)
