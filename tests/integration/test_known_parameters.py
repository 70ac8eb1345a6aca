"""Query parameters that a route does not have are refused by their names, on Parley's own routes alone."""

import pytest

from tests.integration.whole_service import open_site

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def http(tmp_path_factory):
    async with open_site(tmp_path_factory.mktemp("parameters")) as site:
        yield site.http


@pytest.mark.parametrize(
    ("method", "at", "known"),
    [
        ("GET", "/recordings?tennant=acme", ": before, kind, limit, person, route, since, tenant, text, until"),
        ("GET", "/policy/decisions?tennant=acme", "there are: limit, place, route, session, since, tenant, until"),
        ("GET", "/jobs?tennant=acme&limit=2", "there are: before, limit, state, tenant"),
        ("GET", "/jobs?only=running&tennant=acme", None),
        ("POST", "/recordings?keyterms=Parley", "there are: keyTerms, language, person, profile, source, wait"),
        ("DELETE", "/admin/keys/nope?force=true", "this route has none"),
        ("GET", "/metrics?format=json", "this route has none"),
        ("GET", "/conversations?tennant=acme", "there are: before, limit, person, tenant, text"),
    ],
)
async def test_unknown_parameter_is_refused_by_its_name(http, method, at, known):
    answer = await http.request(method, at, content=b"" if method == "POST" else None)
    name = at.partition("?")[2].partition("=")[0]

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert answer.json()["message"].startswith(f"there is no query parameter {name!r}; ")
    assert known is None or answer.json()["message"].endswith(known)


async def test_who_has_no_key_learns_of_no_parameter(http):
    answer = await http.get("/recordings?tennant=acme", headers={"authorization": ""})

    assert answer.status_code == 401


@pytest.mark.parametrize("at", ["/health?from=balancer", "/schema?v=2", "/?utm_source=mail", "/v1/models?after=x"])
async def test_public_and_vendors_routes_take_any_parameter(http, at):
    assert (await http.get(at)).status_code == 200


async def test_responses_api_is_an_error_of_openais_shape_that_names_what_is_here(http):
    answer = await http.post("/v1/responses", json={"model": "gpt-5", "input": "Will it rain?"})

    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert "/v1/chat/completions" in answer.json()["error"]["message"]


@pytest.mark.parametrize("title", ["two\nlines", "\nbegins", "ends\r\n", "line\u2028separator"])
async def test_title_of_a_conversation_is_one_line(http, title):
    begun = await http.post("/conversations", json={"title": "Weather"})
    answers = [
        await http.post("/conversations", json={"title": title}),
        await http.patch(begun.headers["location"], json={"title": title}),
    ]

    assert [(each.status_code, each.json()["code"]) for each in answers] == [(400, "bad_message")] * 2
    assert (await http.get(begun.headers["location"])).json()["title"] == "Weather"
