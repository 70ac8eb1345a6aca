"""ARCHITECTURE.md names only what exists."""

import re

from tests.source import PACKAGES, ROOT, modules, symbols

FOLDERS = (*PACKAGES, "docs", "frontend", "tests", "bench", "infra")
PAGE = (ROOT / "ARCHITECTURE.md").read_text("utf-8")


def test_every_path_in_the_architecture_page_exists():
    """Folders and files of the product that the page names are there."""
    paths = {path for path in re.findall(r"[\w./-]+/[\w./-]*", PAGE) if path.split("/")[0] in FOLDERS}

    assert "app/domain/dialog/" in paths
    assert {path for path in paths if not (ROOT / path).exists()} == set()


def test_every_symbol_in_the_architecture_page_exists():
    """`path.py:Name` is a class, function, method or constant of that module."""
    named = set(re.findall(r"`([\w/]+)\.py:([\w.]+)`", PAGE))

    missing = {f"{path}:{name}" for path, name in named if name not in symbols(path.replace("/", "."))}

    assert named
    assert missing == set()


def test_every_class_in_the_architecture_page_exists():
    """Events, effects and Protocols that the page names without a path are classes of the product."""
    named = set(re.findall(r"`((?:[A-Z][a-z]+){2,})(?:s|\([^`]*\))?`?", PAGE))
    defined = {name for module in modules() for name in symbols(module)}

    assert "StartFinal" in named
    assert {name for name in named if name not in defined} == set()
