"""Refuses query parameters that a route does not have: a filter that is misspelled would otherwise filter nothing.

Public routes take what balancers and browsers append; the vendors' routes below `/v1` take what newer clients send.
"""

from dataclasses import fields
from typing import Any

from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.exceptions import ClientException
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter

from app.web.auth.middleware import ANYONE
from app.web.errors import is_openai

QUERY = "query"
"""Key in `opt` of the dataclass whose fields a handler reads from the query by itself."""


async def refuse_unknown_parameters(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A guard of every route. Raises ClientException, which names the parameter and those that there are.

    Asynchronous, because a guard that is not would wait for a thread.
    """
    is_rest = str(connection.scope["type"]) == ScopeType.HTTP and "access" in handler.opt
    if not is_rest or handler.opt["access"] == ANYONE["access"] or is_openai(connection.scope["path"]):
        return
    if not connection.query_params:
        return
    known = _parameters_of(handler)
    unknown = next((name for name in connection.query_params if name not in known), None)
    if unknown is not None:
        choice = f"there are: {', '.join(sorted(known))}" if known else "this route has none"
        raise ClientException(f"there is no query parameter {unknown[:64]!r}; {choice}")


def _parameters_of(handler: BaseRouteHandler) -> set[str]:
    declared = {
        parameter.kwarg_definition.name or name
        for name, parameter in handler.parsed_fn_signature.parameters.items()
        if isinstance(parameter.kwarg_definition, QueryParameter)
    }
    query = handler.opt.get(QUERY)
    return declared if query is None else {each.name for each in fields(query)}
