"""What every transition function returns, and how two of them are applied one after the other."""

from collections.abc import Callable
from typing import TypeAlias

from app.domain.dialog import effects as do
from app.domain.dialog.state import DialogState

Transition: TypeAlias = tuple[DialogState, tuple[do.Effect, ...]]
"""The next state, and the effects to carry out, in order."""


def chain(first: Transition, second: Callable[[DialogState], Transition]) -> Transition:
    """Apply `second` to the state that `first` leads to; the effects of both, in order."""
    state, effects = first
    state, more = second(state)
    return state, (*effects, *more)
