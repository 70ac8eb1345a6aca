"""Checks of `parley doctor`: made at once, each within its time."""

import anyio
import pytest

from app.assembly.voices import voice_problem
from app.cli.checks.result import Check, CheckMark, run_checks
from app.config import Settings
from app.domain.errors import SettingsError

pytestmark = pytest.mark.anyio


async def test_checks_are_made_at_once_and_reported_in_their_order():
    """The first waits for what the second does."""
    second_has_run = anyio.Event()

    async def first():
        await second_has_run.wait()
        return "first"

    async def second():
        second_has_run.set()
        return "second", ""

    results = await run_checks([Check("a", first), Check("b", second)])

    assert [(result.what, result.detail.split()[0], result.mark) for result in results] == [
        ("a", "first", CheckMark.OK),
        ("b", "second", CheckMark.OK),
    ]


async def test_every_end_of_a_check_is_a_result():
    async def silent():
        await anyio.sleep_forever()
        raise AssertionError

    async def wrong():
        raise SettingsError("PORT: no number")

    async def defect():
        return str(1 / 0)

    async def doubtful():
        return "cpu", "CUDA was asked for"

    checks = [Check("silent", silent), Check("wrong", wrong), Check("defect", defect), Check("doubtful", doubtful)]
    results = await run_checks(checks, timeout_s=0.05)

    assert [(result.mark, result.detail) for result in results[:3]] == [
        (CheckMark.WRONG, "no answer within 0.05 s"),
        (CheckMark.WRONG, "PORT: no number"),
        (CheckMark.WRONG, "ZeroDivisionError: division by zero"),
    ]
    assert results[3].mark is CheckMark.WARNING
    assert results[3].detail.endswith("CUDA was asked for")


@pytest.mark.parametrize(
    ("described", "language", "sentence"),
    [
        ('{"language": {"code": "en_US"}}', "en", None),
        ('{"language": {"code": "en_US"}}', "", None),
        ('{"language": {"code": "de_DE"}}', "de", None),
        ('{"espeak": {"voice": "en-us"}}', "de", "a voice for English, and PARLEY_LANGUAGE allows German:"),
        ('{"language": {"code": "de_DE"}}', "de,fr,es", "a voice for German, and PARLEY_LANGUAGE allows French and "),
        ("{}", "de", None),
        ("no JSON", "de", None),
    ],
)
def test_a_voice_of_another_language_is_named(tmp_path, described, language, sentence):
    (tmp_path / "voice.onnx").touch()
    (tmp_path / "voice.onnx.json").write_text(described)

    problem = voice_problem(Settings(voice_model_id=str(tmp_path), language=language))

    assert sentence in problem if sentence else problem is None
