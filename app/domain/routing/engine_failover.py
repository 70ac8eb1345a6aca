"""Which reply engine or voice is asked for a reply, and which one after a failure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from app.domain.errors import AnswerWithheld, ParleyError, ProviderBusy, ProviderDown
from app.domain.routing.circuit_breaker import BreakerState

RETRY_AFTER_S = 0.2
LONGEST_RETRY_AFTER_S = 1.0
"""An engine that failed later than this, or asks for a longer pause, is not asked again: nobody waits that long."""


@dataclass(frozen=True, slots=True)
class EngineCandidate:
    """An engine as it is now."""

    name: str
    is_free: bool
    breaker_state: BreakerState = BreakerState.CLOSED
    is_reserve: bool = False
    """It serves only once a budget is spent."""


@dataclass(frozen=True, slots=True)
class FailedCall:
    """An engine that gave an error in place of a reply, or of a sentence's audio."""

    engine: str
    error: ParleyError
    seconds: float
    """From the call to the error."""


@dataclass(frozen=True, slots=True)
class NextCall:
    engine: str
    after_s: float = 0.0


def engine_order(candidates: Sequence[EngineCandidate], *, is_budget_spent: bool) -> tuple[str, ...]:
    """The engines that may serve, in the configured order; those with an open breaker last. Empty: none may.

    Once a budget is spent only those that cost nothing may.
    """
    usable = [each for each in candidates if (each.is_free if is_budget_spent else not each.is_reserve)]
    preference = (BreakerState.CLOSED, BreakerState.HALF_OPEN, BreakerState.OPEN)
    return tuple(each.name for each in sorted(usable, key=lambda each: preference.index(each.breaker_state)))


def next_call(
    order: Sequence[str], failed: Sequence[FailedCall], *, never_repeat: Collection[str] = ()
) -> NextCall | None:
    """The call to make after these, none of which gave anything; None: the last error is the answer.

    Each engine is asked once. The only one there is, is asked a second time where it failed soon, and of a cause that
    may pass, unless it may have acted on the first call (`never_repeat`). What an engine withheld on purpose is not
    asked of another.
    """
    if failed and isinstance(failed[-1].error, AnswerWithheld):
        return None
    asked = {call.engine for call in failed}
    if untried := next((name for name in order if name not in asked), None):
        return NextCall(untried)
    if len(failed) == 1 and failed[0].engine not in never_repeat and (pause_s := _retry_after_s(failed[0])) is not None:
        return NextCall(failed[0].engine, pause_s)
    return None


def _retry_after_s(call: FailedCall) -> float | None:
    match call.error:
        case ProviderBusy(retry_after_s=int(asked_s)):
            pause_s = float(asked_s)
        case ProviderBusy() | ProviderDown():
            pause_s = RETRY_AFTER_S
        case _:
            return None
    return pause_s if max(pause_s, call.seconds) <= LONGEST_RETRY_AFTER_S else None
