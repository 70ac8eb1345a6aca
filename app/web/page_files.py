"""The files of the web page, which need no build: where they are, and which of them are served."""

from pathlib import Path

_HERE = Path(__file__).parent
FOLDER = next(folder for folder in (_HERE / "frontend", _HERE.parents[1] / "frontend") if folder.is_dir())
"""In an installed wheel the page lies beside this module; in a checkout, at the root."""

_SUFFIXES = frozenset({".css", ".html", ".js", ".svg"})
_NOT_SERVED = frozenset({"tests", "node_modules"})


def page_paths(folder: Path = FOLDER) -> frozenset[str]:
    """The paths that are served, like `/main.js`: what a page is made of, and no tests, package file or hidden file."""
    files = (file.relative_to(folder) for file in folder.rglob("*") if file.suffix in _SUFFIXES)
    return frozenset(f"/{file.as_posix()}" for file in files if not _is_hidden(file)) | {"/"}


def _is_hidden(file: Path) -> bool:
    return any(part.startswith(".") or part in _NOT_SERVED for part in file.parts)
