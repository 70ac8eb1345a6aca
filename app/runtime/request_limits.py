"""RequestLimits: what requests to the archive may occupy at once, so that none of them delays a session."""

from dataclasses import dataclass, field

from app.runtime.admission_queue import AdmissionQueue
from app.runtime.clock import SystemClock

RENDERINGS, WAITING_RENDERINGS = 4, 64
READS, WAITING_READS = 16, 128
LISTINGS, WAITING_LISTINGS = 2, 16
UPLOADS = 32


def _queue(concurrency: int, max_waiting: int) -> AdmissionQueue:
    return AdmissionQueue("archive", SystemClock(), concurrency, max_waiting)


@dataclass(slots=True)
class RequestLimits:
    """One queue for each kind of request. Beyond it a request is refused at once with ProviderBusy (503)."""

    renderings: AdmissionQueue = field(default_factory=lambda: _queue(RENDERINGS, WAITING_RENDERINGS))
    """Recordings encoded as FLAC or MP3."""
    reads: AdmissionQueue = field(default_factory=lambda: _queue(READS, WAITING_READS))
    """Manifests of one recording."""
    listings: AdmissionQueue = field(default_factory=lambda: _queue(LISTINGS, WAITING_LISTINGS))
    """Pages of the list of recordings; each reads a whole index."""
    uploads: AdmissionQueue = field(default_factory=lambda: _queue(UPLOADS, 0))
    """Files whose bytes are being received."""
