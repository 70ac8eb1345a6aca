"""The product's source code as syntax trees, for tests of names and structure; nothing of it is imported."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("app", "providers", "storage")
CLIENT = "app.client.parley_client"
"""The Python client, which is imported as `parley_client`."""


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the product by its dotted name."""
    return {_dotted(path): ast.parse(path.read_text("utf-8")) for path in _files()}


@cache
def symbols(module: str) -> frozenset[str]:
    """Classes, functions and assigned names of a module, and the members of its classes as `Class.member`."""
    found: set[str] = set()
    for node in modules()[module].body:
        found.update(_names(node))
        if isinstance(node, ast.ClassDef):
            found.update(f"{node.name}.{name}" for member in ast.walk(node) for name in _names(member))
    return frozenset(found)


def classes() -> Iterator[tuple[str, ast.ClassDef]]:
    """Every class of the product with the module it is defined in."""
    for module, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                yield module, node


def identifiers() -> Iterator[tuple[str, str]]:
    """Every name the product gives: modules, classes, functions, arguments, attributes, constants and variables."""
    for module, tree in modules().items():
        yield module, module.rpartition(".")[2]
        for node in ast.walk(tree):
            yield from ((module, name) for name in _names(node))
            if isinstance(node, ast.arg):
                yield module, node.arg
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                yield module, node.attr
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield module, node.id
            elif isinstance(node, ast.MatchAs | ast.MatchStar) and node.name is not None:
                yield module, node.name


def words(identifier: str) -> list[str]:
    """The lower-case words of an identifier, split at underscores and capitals: `HedgedRequest` is hedged, request."""
    return [part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", identifier)]


def _names(node: ast.AST) -> list[str]:
    match node:
        case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
            return [node.name]
        case ast.Assign():
            return [target.id for target in node.targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name() as target):
            return [target.id]
        case _:
            return []


def _files() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def _dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
