"""The log of a command: lines that people read, and lines that programs read."""

import json

import pytest
import structlog

from app.cli.log import set_up_log


@pytest.fixture(autouse=True)
def as_before():
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def logged(capsys, log_format: str) -> list[str]:
    """Two events, the second with a traceback."""
    set_up_log("info", log_format)
    log = structlog.get_logger("parley.test")
    log.debug("not at this level")
    log.info("turn over", session="s1", turn=3, ttfs_ms=400)
    try:
        int("a defect")
    except ValueError:
        log.exception("unexpected error", where="here")
    return capsys.readouterr().err.splitlines()


def test_json_is_one_object_a_line(capsys):
    """With the time, the level, the fields, and a traceback in one field."""
    turn, defect = (json.loads(line) for line in logged(capsys, "json"))

    assert {"event": "turn over", "session": "s1", "turn": 3, "ttfs_ms": 400, "level": "info"}.items() <= turn.items()
    assert turn["timestamp"].endswith("Z")
    assert defect["exception"].startswith("Traceback")
    assert "ValueError: invalid literal" in defect["exception"]


@pytest.mark.parametrize("log_format", ["text", "auto"])
def test_text_is_one_line_an_event(capsys, log_format):
    """Where nobody watches, without colours."""
    turn, defect = logged(capsys, log_format)

    assert 'event="turn over"' in turn
    assert "session=s1" in turn
    assert "ValueError: invalid literal" in defect
    assert "\x1b" not in turn
