"""One check of `parley doctor`, made within a limit of time: what is wrong is a result, never an exception."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

import anyio

from app.domain.errors import ParleyError

TIMEOUT_S = 20.0
"""Longest time of one check; all are made at the same time."""


Found: TypeAlias = str | tuple[str, str]
"""What a check found, with a warning where there are two texts; an empty one is none."""


class CheckMark(Enum):
    """How a result is marked."""

    OK = "ok"
    WARNING = "!"
    """It works, and probably not as it is meant."""
    WRONG = "!!"
    """The server would not start, or not do this."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The outcome of one check."""

    what: str
    detail: str
    mark: CheckMark = CheckMark.OK


@dataclass(frozen=True, slots=True)
class Check:
    """A check: what it raises is what is wrong."""

    what: str
    make: Callable[[], Awaitable[Found]]


async def run_checks(checks: Sequence[Check], *, timeout_s: float = TIMEOUT_S) -> list[CheckResult]:
    """In their order, all made at the same time."""
    results: list[CheckResult | None] = [None] * len(checks)

    async def run(at: int, check: Check) -> None:
        results[at] = await _run(check, timeout_s)

    async with anyio.create_task_group() as tasks:
        for at, check in enumerate(checks):
            tasks.start_soon(run, at, check)
    return [result for result in results if result is not None]


async def _run(check: Check, timeout_s: float) -> CheckResult:
    began = time.perf_counter()
    try:
        with anyio.fail_after(timeout_s):
            found = await check.make()
    except TimeoutError:
        return CheckResult(check.what, f"no answer within {timeout_s:g} s", CheckMark.WRONG)
    except ParleyError as error:
        return CheckResult(check.what, str(error), CheckMark.WRONG)
    except Exception as error:  # noqa: BLE001 because a defect in one check is a result, and the others are still made
        return CheckResult(check.what, f"{type(error).__name__}: {error}", CheckMark.WRONG)
    detail, warning = found if isinstance(found, tuple) else (found, "")
    took = f"{detail} ({(time.perf_counter() - began) * 1000:.0f} ms)"
    return CheckResult(
        check.what, f"{took}: {warning}" if warning else took, CheckMark.WARNING if warning else CheckMark.OK
    )
