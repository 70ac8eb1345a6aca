"""Load balancer and NGINX forward the routes that the code serves to the world, in one spelling, and nothing else."""

import json
import os
import re

import pytest
from litestar.routes import HTTPRoute

from app.domain.telephony import TwilioAccount
from app.web.page_files import page_paths
from app.web.public_routes import operator_paths, public_paths
from app.web.server import create_app
from tests.infra.conftest import TERRAFORM
from tests.infra.nginx import TEMPLATE
from tests.serving import scripted_service

ROUTES = TERRAFORM / "modules" / "gateway" / "public_routes.json"
BEGIN, END = "    # routes: written by tests/infra/test_public_routes.py\n", "    # end of routes\n"
EXAMPLES = {"str": "a1b2", "int": "7", "path": "a1/b2"}


@pytest.fixture(scope="module")
def app():
    """With every route that a setting may add."""
    return create_app(scripted_service(telephony=TwilioAccount("k" * 32, "https://voice.example.org", "default")))


def example(path: str) -> str:
    return re.sub(r"\{\w+:(\w+)\}", lambda found: EXAMPLES[found[1]], path)


def spellings(path: str) -> set[str]:
    """The same path as clients, and those who try, may write it."""
    first = path[1:2]
    encoded = "".join(f"%{ord(each):02x}" for each in path[1:])
    return {
        path,
        f"{path}/",
        f"/{path}",
        f"{path}//",
        f"/.{path}",
        f"/x/..{path}",
        f"/health/..{path}",
        f"/recordings/..{path}",
        f"/v1/models/..{path}",
        f"/v1/models/%2e%2e{path}",
        f"/recordings/%2E%2E{path}/audio",
        f"/%{ord(first):02x}{path[2:]}",
        f"/{encoded}",
        f"/{path[1:].replace('/', '%2f')}",
        path.upper(),
        f"{path};x=1",
        f"{path}%00",
        f"{path}.",
        f"{path}\\",
    }


def is_public(path: str, expressions) -> bool:
    return any(re.search(each, path) for each in expressions)


def test_the_shipped_lists_are_those_of_the_code(app):
    """PARLEY_WRITE_DOCS=1 writes both anew."""
    expressions = public_paths(app)
    head, rest = TEMPLATE.read_text().split(BEGIN)
    written, tail = rest.split(END)
    block = "".join(f'    "~{each}" 1;\n' for each in expressions)
    if os.environ.get("PARLEY_WRITE_DOCS"):
        TEMPLATE.write_text(head + BEGIN + block + END + tail)
        ROUTES.write_text(json.dumps(expressions, indent=2) + "\n")
        return

    assert written == block
    assert json.loads(ROUTES.read_text()) == list(expressions)


def test_every_route_is_public_or_an_operators(app):
    """Nothing is left out, and no expression is of both kinds; every file of the page is public."""
    expressions, operators = public_paths(app), operator_paths(app)
    routes = {route.path for route in app.routes} - {"/{file_path:path}"}

    assert {path for path in routes if not is_public(example(path), expressions)} == set(operators)
    assert {each.split("/")[1] for each in operators} == {"admin", "metrics", "policy"}
    assert all(is_public(path, expressions) for path in page_paths())
    assert all(len(each) <= 128 for each in expressions)  # as long as the load balancer takes


def test_no_spelling_of_an_operators_path_is_forwarded(app):
    """Whatever the router behind the proxy makes of it."""
    expressions = public_paths(app)
    forwarded = {each for path in operator_paths(app) for each in spellings(example(path))}

    assert {each for each in forwarded if is_public(each, expressions)} == set()


def test_a_forwarded_path_never_reaches_an_operators_handler(app):
    """Also where a parameter of a public route holds slashes and dots in another spelling."""
    operators = operator_paths(app)
    expressions = public_paths(app)
    public = {route.path for route in app.routes if isinstance(route, HTTPRoute)} - {*operators, "/{file_path:path}"}
    tried = set()
    for path in public:
        for parameter in re.findall(r"\{\w+:str\}|\{\w+:path\}", path):
            for target in operators:
                steps = "..%2f" * path.count("/")
                tried.add(example(path.replace(parameter, f"a%2f{steps}{example(target)[1:].replace('/', '%2f')}")))
    assert tried
    for sent in tried:
        assert is_public(sent, expressions), sent
        decoded = sent.replace("%2f", "/")
        assert ".." in decoded
        assert not any(re.fullmatch(re.sub(r"\{\w+:\w+\}", "[^/]+", each), decoded) for each in operators)
