"""Interruption modes: what stops a reply."""

from enum import StrEnum


class InterruptionMode(StrEnum):
    """As a client, a profile and the settings name it."""

    AUTO = "auto"
    """Speech that is classified as an interruption."""
    ANY = "any"
    """Any speech, at once."""
    OFF = "off"
    """No speech: the client's `cancel`, `say` and `text` alone."""
