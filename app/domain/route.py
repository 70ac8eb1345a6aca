"""Who makes finals, and where."""

from dataclasses import dataclass
from enum import StrEnum


class Place(StrEnum):
    """Where the user's voice goes."""

    ON_PREM = "on_prem"
    CLOUD = "cloud"


@dataclass(frozen=True, slots=True)
class Route:
    """A configured engine for finals."""

    name: str
    place: Place
