"""Rewrites a stored manifest without losing what a later version has written into it."""

from collections.abc import Hashable, Mapping
from typing import Any


def keep_unknown_fields(stored: Any, rewritten: Any) -> Any:
    """`rewritten`, as JSON, with the fields of `stored` that it does not have, at every depth.

    Every field that this version knows is in `rewritten`, so what it lacks is unknown. Elements of lists are the same
    where their key is, or where they begin at the same sample, or else by their place.
    """
    if isinstance(stored, dict) and isinstance(rewritten, dict):
        known = {name: keep_unknown_fields(stored.get(name), value) for name, value in rewritten.items()}
        return known | {name: value for name, value in stored.items() if name not in rewritten}
    if isinstance(stored, list) and isinstance(rewritten, list):
        before = {_identity(place, element): element for place, element in enumerate(stored)}
        return [
            keep_unknown_fields(before.get(_identity(place, element)), element)
            for place, element in enumerate(rewritten)
        ]
    return rewritten


def _identity(place: int, element: Any) -> Hashable:
    if isinstance(element, Mapping):
        for name in ("key", "start"):
            if isinstance(value := element.get(name), str | int):
                return name, value
    return place
