import anyio
import pytest
import structlog

from app.domain.errors import flatten
from app.runtime import supervision
from app.runtime.supervision import defects, run_in_background, supervise

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(supervision, "FIRST_PAUSE_S", 0.001)


async def test_a_background_task_that_raises_is_restarted_logged_and_counted():
    runs = []
    done = anyio.Event()

    async def task() -> None:
        runs.append(len(runs))
        if len(runs) < 3:
            raise KeyError("unforeseen")
        done.set()

    before = defects["flaky"]
    with structlog.testing.capture_logs() as lines:
        async with run_in_background({"flaky": task}):
            with anyio.fail_after(5):
                await done.wait()

    assert len(runs) == 3
    assert defects["flaky"] == before + 2
    assert [(line["where"], type(line["exc_info"])) for line in lines] == [("flaky", KeyError)] * 2


async def test_a_background_task_that_raises_never_cancels_its_host():
    async def task() -> None:
        raise PermissionError("no such luck")

    async with run_in_background({"broken": task}):
        await anyio.sleep(0.02)

    assert defects["broken"] >= 1


async def test_supervised_work_that_returns_is_not_started_again():
    runs = []

    async def task() -> None:
        runs.append(1)

    await supervise("once", task)

    assert runs == [1]


async def test_exception_of_the_body_is_raised_without_a_group():
    with pytest.raises(ValueError, match="mine"):
        async with run_in_background({"idle": anyio.sleep_forever}):
            raise ValueError("mine")


def test_flatten_reaches_exceptions_inside_nested_groups():
    inner = ExceptionGroup("inner", [KeyError("a"), OSError("b")])

    assert [str(e) for e in flatten(ExceptionGroup("outer", [inner, ValueError("c")]))] == ["'a'", "b", "c"]
    assert flatten(ValueError("alone"))[0].args == ("alone",)
