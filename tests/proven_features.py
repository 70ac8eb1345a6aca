"""Features of a protocol that the tests try with each client: tests say which, and a page of the docs has the table."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T", bound=Callable[..., object])

BY_HAND = "frames by hand"
"""In place of a client: requests and frames that the test itself writes."""

PROVEN: dict[str, dict[str, set[str]]] = {}
"""Protocol to feature to clients, of the test modules that are imported."""


def proves(protocol: str, client: str, *features: str) -> Callable[[T], T]:
    """This test tries these features of the protocol with this client, whose name has its version."""

    def note(test: T) -> T:
        for feature in features:
            PROVEN.setdefault(protocol, {}).setdefault(feature, set()).add(client)
        return test

    return note


def clients_of(protocol: str) -> list[str]:
    """The clients that some test tries with it, by name."""
    return sorted({client for found in PROVEN[protocol].values() for client in found} - {BY_HAND})


def table(protocol: str) -> str:
    """Feature x client, as Markdown."""
    proven, clients = PROVEN[protocol], clients_of(protocol)
    if any(BY_HAND in found for found in proven.values()):
        clients.append(BY_HAND)
    rows = [f"| feature | {' | '.join(clients)} |", f"| --- |{' --- |' * len(clients)}"]
    for feature in sorted(proven):
        marks = ("yes" if client in proven[feature] else "" for client in clients)
        rows.append(f"| {feature} | {' | '.join(marks)} |")
    return "\n".join(rows)
