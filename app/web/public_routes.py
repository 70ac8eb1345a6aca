"""Which paths a proxy in front of the server forwards: the routes that are not for operators alone, one spelling each.

A path is compared as it was sent, before anything is decoded, and everything else is answered with 404 by the proxy:
whatever a spelling means to the router behind it, an operator's route is reached by the private listener alone.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from litestar import Litestar
from litestar.routes import HTTPRoute, WebSocketRoute

from app.domain.principal import Scope
from app.web.page_files import page_paths

_PARAMETER = re.compile(r"\{\w+:(\w+)\}")
_SEGMENT = "[^/.%][^/]*"  # no dot segment, in neither spelling
_PARAMETERS = {"str": _SEGMENT, "int": "[0-9]+", "path": f"{_SEGMENT}(/{_SEGMENT})*"}
"""A regular expression for each kind of parameter."""


def public_paths(app: Litestar) -> tuple[str, ...]:
    """Regular expressions, each for a whole path, that together match every route that is not for operators."""
    routes = {route.path for route in app.routes if not _is_for_operators(route)} - {"/{file_path:path}"}
    return (*sorted({_expression(path) for path in routes}), *sorted(set(_page_expressions(page_paths()))))


def operator_paths(app: Litestar) -> tuple[str, ...]:
    """The paths of the routes that only the scope `admin` opens, with their parameters in braces."""
    return tuple(sorted(route.path for route in app.routes if _is_for_operators(route)))


def _is_for_operators(route: object) -> bool:
    """Also where some of its methods are for others: an address is public as a whole or not at all."""
    if isinstance(route, WebSocketRoute):
        return bool(route.route_handler.opt.get("access") == Scope.ADMIN)
    if isinstance(route, HTTPRoute):
        return any(handler.opt.get("access") == Scope.ADMIN for handler in route.route_handlers)
    return True


def _expression(path: str) -> str:
    parts = _PARAMETER.split(path)
    text = "".join(_PARAMETERS[part] if i % 2 else re.escape(part) for i, part in enumerate(parts))
    return f"^{text}$".replace(r"\-", "-")


def _page_expressions(paths: Iterable[str]) -> Iterator[str]:
    """One for each folder and kind of file, so that a file that is added needs no new proxy."""
    for path in map(PurePosixPath, paths):
        if path.suffix:
            yield f"^{path.parent.as_posix().rstrip('/')}/[0-9a-z-]+\\{path.suffix}$"
