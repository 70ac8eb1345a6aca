"""RequestLimits: what requests to the archive may occupy at once, so that none of them delays a session."""

from dataclasses import dataclass, field
from typing import BinaryIO
from weakref import WeakKeyDictionary

from app.domain.errors import ProviderBusy
from app.runtime.admission_queue import AdmissionQueue
from app.runtime.clock import SystemClock
from app.runtime.held_bytes import HeldBytes
from app.runtime.jobs.followers import Followers

RENDERINGS, WAITING_RENDERINGS = 4, 64
READS, WAITING_READS = 16, 128
LISTINGS, WAITING_LISTINGS = 2, 16
PERSON_SEARCHES, WAITING_PERSON_SEARCHES = 2, 4
UPLOADS = 32
RENDERED_FILES, RENDERED_FILES_PER_TENANT = 64, 32
EXPORTS, WAITING_EXPORTS = 2, 16
HELD_BYTES = 256 << 20


def _queue(concurrency: int, max_waiting: int) -> AdmissionQueue:
    return AdmissionQueue("archive", SystemClock(), concurrency, max_waiting)


@dataclass(slots=True)
class RequestLimits:
    """One queue for each kind of request. Beyond it a request is refused at once with ProviderBusy (503)."""

    renderings: AdmissionQueue = field(default_factory=lambda: _queue(RENDERINGS, WAITING_RENDERINGS))
    """Recordings encoded as FLAC or MP3."""
    rendered_files: WeakKeyDictionary[BinaryIO, str] = field(default_factory=WeakKeyDictionary)
    """Temporary files that are being sent, as slowly as their clients read, by tenant; closed ones do not count."""
    reads: AdmissionQueue = field(default_factory=lambda: _queue(READS, WAITING_READS))
    """Manifests of one recording."""
    listings: AdmissionQueue = field(default_factory=lambda: _queue(LISTINGS, WAITING_LISTINGS))
    """Pages of the list of recordings; each reads a whole index."""
    exports: AdmissionQueue = field(default_factory=lambda: _queue(EXPORTS, WAITING_EXPORTS))
    """Conversations that are made a file of; each is in memory as a whole for so long."""
    person_searches: AdmissionQueue = field(default_factory=lambda: _queue(PERSON_SEARCHES, WAITING_PERSON_SEARCHES))
    """Exports of a person that are looking for its recordings; each reads every manifest of a tenant."""
    uploads: AdmissionQueue = field(default_factory=lambda: _queue(UPLOADS, 0))
    """Files whose bytes are being received."""
    held: HeldBytes = field(default_factory=lambda: HeldBytes("recordings", HELD_BYTES))
    """Of files that messages are spoken in."""
    followers: Followers = field(default_factory=Followers)
    """Clients that follow the events of jobs."""

    def track_rendered_file(self, file: BinaryIO, tenant: str) -> None:
        """Count this file until it is closed. Raises ProviderBusy where too many are being sent, in all or to it."""
        owners = [owner for other, owner in self.rendered_files.items() if not other.closed]
        if len(owners) >= RENDERED_FILES or owners.count(tenant) >= RENDERED_FILES_PER_TENANT:
            raise ProviderBusy("archive", "too many files are being downloaded; try again in a moment")
        self.rendered_files[file] = tenant
