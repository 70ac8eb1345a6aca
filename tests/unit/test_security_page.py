"""SECURITY.md names only tests that exist, one at least for each threat."""

import ast
import re

import pytest

from tests.source import ROOT

PAGE = (ROOT / "SECURITY.md").read_text("utf-8")
THREATS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(("| who |", "| ---"))]


@pytest.mark.parametrize("threat", THREATS, ids=lambda line: line.split("|")[1].strip())
def test_every_threat_names_tests_that_exist(threat):
    *_, shown, _ = threat.split("|")
    named = re.findall(r"`(tests/[\w/]+\.py)(?::(\w+))?`", shown)

    assert named
    for path, function in named:
        tree = ast.parse((ROOT / path).read_text("utf-8"))
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert not function or function in functions, f"{path}:{function}"


def test_every_setting_on_the_page_is_one():
    settings = (ROOT / ".env.example").read_text("utf-8")

    named = set(re.findall(r"PARLEY_[A-Z_]+", PAGE))

    assert named
    assert {name for name in named if name not in settings} == set()
