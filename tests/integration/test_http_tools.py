"""Calls of tools over HTTP, to a real server: what is sent, what the model is told, where no call goes."""

import json
from dataclasses import replace

import anyio
import pytest
from anyio import to_thread
from structlog.testing import capture_logs

from app.domain.tools import BAD_ARGUMENTS, Tool, ToolCall
from app.runtime.tools.http_tools import open_http_tools
from tests.emulators.tool_server import ToolServer, serve_tools

pytestmark = pytest.mark.anyio


@pytest.fixture
def server():
    with serve_tools() as running:
        yield running


def tool(server: ToolServer, path: str, **options) -> Tool:
    """One that may be called at private addresses."""
    hosts = frozenset({"127.0.0.1", "localhost"})
    return replace(Tool("probe", "Test.", server.url(path), hosts=hosts, private=True, timeout_s=5), **options)


async def called(wanted: Tool, **arguments) -> str:
    async with open_http_tools() as http:
        return await http.call(wanted, ToolCall("1", wanted.name, json.dumps(arguments)))


async def test_a_get_sends_its_arguments_in_the_query(server):
    """With the tool's headers, and the host's name."""
    told = await called(tool(server, "/echo", headers={"Authorization": "Bearer s3cret"}), city="São Paulo", days=2)

    (request,) = server.requests
    assert told == 'GET {"city": "S\\u00e3o Paulo", "days": "2"}'
    assert (request.method, request.query) == ("GET", {"city": ["São Paulo"], "days": ["2"]})
    assert request.headers["authorization"] == "Bearer s3cret"
    assert request.headers["host"] == f"127.0.0.1:{server.port}"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_a_post_sends_its_arguments_as_json(server, method):
    """As the one body."""
    told = await called(tool(server, "/echo", method=method), size="large")

    (request,) = server.requests
    assert told == f'{method} {{"size": "large"}}'
    assert json.loads(request.body) == {"size": "large"}
    assert request.headers["content-type"] == "application/json"


async def test_a_host_whose_first_address_does_not_answer_is_called_at_the_next(server):
    """`localhost` is ::1 first on many machines."""
    assert await called(tool(server, "/echo", url=server.url("/echo", "localhost")), a=1) == 'GET {"a": "1"}'


@pytest.mark.parametrize(
    ("path", "options", "told"),
    [
        ("/slow", {"timeout_s": 0.2}, "error: no answer within 0.2 s"),
        ("/drip", {"timeout_s": 0.2}, "error: no answer within 0.2 s"),
        ("/drip", {"max_bytes": 3}, "error: the answer is larger than 3 bytes"),
        ("/large", {}, "error: the answer is larger than 16384 bytes"),
        ("/packed", {}, "error: the answer is compressed"),
        ("/broken", {}, "error: HTTP 500: the database is away"),
        ("/around", {}, "error: it redirects without end"),
        ("/redirect?to=http://evil.example/", {}, "error: a redirect is not followed: evil.example is not among"),
        ("/redirect?to=ftp://127.0.0.1/", {}, "error: a redirect is not followed: it is no http or https URL"),
        ("/redirect?to=/echo", {"method": "POST"}, "error: a redirect of POST is not followed"),
        ("/empty", {}, "(an empty answer)"),
    ],
)
async def test_what_goes_wrong_is_told_to_the_model(server, path, options, told):
    """As a sentence in place of the answer."""
    assert (await called(tool(server, path, **options))).startswith(told)


async def test_a_server_that_is_away_is_told_to_the_model(server):
    """Nothing is raised."""
    unknown = replace(tool(server, "/"), url="http://unknown.invalid/", hosts=frozenset({"unknown.invalid"}))

    assert await called(tool(server, "/", url="http://127.0.0.1:9/")) == "error: the tool cannot be reached"
    assert await called(unknown) == "error: the tool cannot be reached"


async def test_arguments_that_are_no_object_are_told_to_the_model(server):
    """Nothing is sent."""
    async with open_http_tools() as http:
        assert await http.call(tool(server, "/echo"), ToolCall("1", "probe", '{"city": "Bo')) == BAD_ARGUMENTS

    assert server.requests == []


async def test_a_redirect_within_the_hosts_is_followed(server):
    """To another host of the list, with the tool's headers."""
    to = server.url("/echo?a=1", "localhost")

    told = await called(tool(server, f"/redirect?to={to}", headers={"X-Key": "k"}))

    assert told == 'GET {"a": "1"}'
    assert [request.headers["x-key"] for request in server.requests] == ["k", "k"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_private_address_is_refused(server, host):
    """By number and by name; nothing is sent."""
    told = await called(tool(server, "/", url=server.url("/echo", host), private=False))

    assert told == f"error: {host} has an address that is not public"
    assert server.requests == []


async def test_a_cancelled_call_closes_its_connection(server):
    """The server sees that nobody waits."""
    async with open_http_tools() as http, anyio.create_task_group() as tasks:
        tasks.start_soon(http.call, tool(server, "/slow", timeout_s=60), ToolCall("1", "probe", "{}"))
        assert await to_thread.run_sync(server.arrived.wait, 10)
        tasks.cancel_scope.cancel()

    assert await to_thread.run_sync(server.left.wait, 10)


async def test_neither_headers_nor_answers_are_logged(server):
    """One line with the tool's name and its time."""
    with capture_logs() as logs:
        await called(tool(server, "/broken", headers={"X-Key": "s3cret"}), city="Bonn")

    (line,) = [each for each in logs if each["event"] == "tool called"]
    assert (line["tool"], line["error"]) == ("probe", "HTTP 500")
    assert not any(word in str(logs) for word in ("s3cret", "Bonn", "database"))
