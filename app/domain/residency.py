"""Where a session's audio may be processed, and where an engine processes it."""

from enum import StrEnum


class Residency(StrEnum):
    """Where a session's audio may be processed. Nothing crosses it: no failover, no hedge, no probe."""

    ON_PREM_ONLY = "on_prem_only"
    CLOUD_OK = "cloud_ok"


class Place(StrEnum):
    """Where an engine processes audio."""

    ON_PREM = "on_prem"
    CLOUD = "cloud"
