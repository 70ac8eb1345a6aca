"""Sessions with profiles: what is chosen, what the engines get of it, tools in a conversation, budgets."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest
from anyio import to_thread
from structlog.testing import capture_logs

from app.assembly.profiles import open_profiles
from app.assembly.replies import open_reply_engines
from app.config import Settings
from app.domain.dialog.state import DialogState, TurnRules
from app.domain.errors import SettingsError
from app.domain.residency import Place
from app.domain.routing.cost import Budgets
from app.domain.routing.decision import Expense
from app.domain.routing.route import Route
from app.domain.routing.rules import RoutingRules
from app.domain.tenant import Tenant, fingerprint
from app.runtime.dialog.engines import Engines
from app.runtime.service import Service
from tests.emulators.openai import OpenAIEmulator, Script, serve_openai
from tests.emulators.tool_server import ToolServer, serve_tools
from tests.eventually import until
from tests.fakes import SILENCE, SPEECH, ScriptedDetector, ScriptedSynthesizer, ScriptedTranscriber, SingleRouteFinals
from tests.integration.profile_service import emulator_settings
from tests.routes import LOCAL, scripted_routes
from tests.serving import scripted_service, served, stored_manifest
from tests.streaming_client import StreamingClient, open_session

pytestmark = pytest.mark.anyio
TURN = SPEECH * 20 + SILENCE * 30

PIZZA = """
description = "Takes orders."
instructions = "You sell pizza."
voice = "Giorgio"
languages = ["it", "en"]
key_terms = ["Margherita", "Quattro Stagioni"]
history_tokens = 100
"""
OTHER_MODEL = 'instructions = "Code."\nengine = "openai"\nmodel = "large"\n'
TOOLS = """
instructions = "Use the tools."
[[tools]]
name = "weather"
description = "The weather in a city."
url = "{url}"
private = true
timeout_s = 20
[tools.parameters]
type = "object"
"""


class NotedFinals(SingleRouteFinals):
    """Notes language and key terms of each utterance."""

    def open(self, utterance, language, residency, deadline_ms=None, key_terms=(), vocabulary=None):
        self.opened = [*getattr(self, "opened", ()), (language, tuple(key_terms))]
        return self


class NotedSynthesizer(ScriptedSynthesizer):
    """Notes the voice of each reply."""

    def synthesize(self, text, *, voice=None):
        self.voices = [*getattr(self, "voices", ()), voice]
        return super().synthesize(text, voice=voice)


@dataclass
class Site:
    """A server whose reply engine is an emulator of OpenAI."""

    address: str
    service: Service
    openai: OpenAIEmulator
    finals: NotedFinals
    voice: NotedSynthesizer
    expenses: list[Expense]

    @asynccontextmanager
    async def session(self, query: str = "", key: str | None = None) -> AsyncIterator[StreamingClient]:
        async with open_session(f"ws://{self.address}/ws/transcribe{query}", key=key) as talk:
            yield talk

    def prompts(self, number: int = -1) -> list[dict]:
        return self.openai.requests[number]["messages"]


@asynccontextmanager
async def site(tmp_path, *turns: Script, budgets: Budgets = Budgets(), tenants=None, **options) -> AsyncIterator[Site]:
    """`options` are settings; the files of `tmp_path` are the profiles."""
    async with AsyncExitStack() as stack:
        openai = stack.enter_context(serve_openai(turns=turns))
        settings = emulator_settings(openai, tmp_path, **options)
        expenses = list[Expense]()
        routes = scripted_routes(LOCAL, rules=RoutingRules(budgets=budgets)).routes
        routes.record_expense = expenses.append
        profiles = await stack.enter_async_context(open_profiles(settings))
        named = list(profiles.profiles().values())
        engines = await stack.enter_async_context(open_reply_engines(settings, ["openai"], routes, named))
        finals = NotedFinals(Route("local", Place.ON_PREM), ScriptedTranscriber())
        voice = NotedSynthesizer()

        @asynccontextmanager
        async def session_engines(session: str, tenant: Tenant) -> AsyncIterator[Engines]:
            own = engines.for_session(session, tenant)
            drafts = ScriptedTranscriber("draft")
            yield Engines(ScriptedDetector(), finals, drafts, own.generator, voice, generator_of=own.generator_of)

        service = scripted_service(
            session_engines=session_engines,
            profiles=profiles,
            initial_state=DialogState(TurnRules(reply_after_ms=300, instructions="Be brief.", language="en")),
            tenants=tenants,
        )
        address = await stack.enter_async_context(served(service))
        yield Site(address, service, openai, finals, voice, expenses)


async def answered(talk: StreamingClient, times: int = 1) -> str:
    """The text of the reply to one more turn."""
    await talk.send_audio(TURN, pace=0)
    assert await talk.wait_until(lambda t: len(t.messages("server_response")) >= times, timeout_s=20), talk.received
    return talk.messages("server_response")[-1].message["message"]


# -- choosing --------------------------------------------------------------------------------


async def test_a_session_without_a_profile_is_as_the_settings_have_it(tmp_path):
    """Nothing of the files reaches it."""
    (tmp_path / "pizza.toml").write_text(PIZZA)
    async with site(tmp_path, Script(("Yes.",))) as server, server.session() as talk:
        await answered(talk)

    assert server.prompts()[0] == {"role": "system", "content": "Be brief."}
    assert server.finals.opened == [("en", ())]
    assert server.voice.voices == [None]
    assert server.openai.requests[0]["model"] == "small"


@pytest.mark.parametrize("way", ["query", "configure", "default"])
async def test_a_profile_sets_instructions_language_key_terms_and_voice(tmp_path, way):
    """Chosen in the address, in a message, or by the setting."""
    (tmp_path / "pizza.toml").write_text(PIZZA)
    setting = {"profile": "pizza"} if way == "default" else {}
    async with (
        site(tmp_path, Script(("Yes.",)), **setting) as server,
        server.session("?profile=pizza" if way == "query" else "") as talk,
    ):
        if way == "configure":
            await talk.send_message(type="configure", profile="pizza")
        await answered(talk)

    assert server.prompts()[0] == {"role": "system", "content": "You sell pizza."}
    assert server.finals.opened == [("it,en", ("Margherita", "Quattro Stagioni"))]
    assert server.voice.voices == ["Giorgio"]


async def test_a_client_expects_key_terms_besides_its_profiles(tmp_path):
    """A list with a term that cannot be one is refused whole; the session continues."""
    (tmp_path / "pizza.toml").write_text(PIZZA)
    async with site(tmp_path, Script(("Yes.",))) as server, server.session("?profile=pizza") as talk:
        await talk.send_message(type="configure", keyTerms=["Siobhan"])
        await talk.send_message(type="configure", keyTerms=["one, two"])
        await answered(talk)

    assert server.finals.opened == [("it,en", ("Siobhan", "Margherita", "Quattro Stagioni"))]


async def test_what_the_client_sets_itself_wins_over_the_profile(tmp_path):
    """In the same message, too."""
    (tmp_path / "pizza.toml").write_text(PIZZA)
    async with site(tmp_path, Script(("Yes.",))) as server, server.session() as talk:
        await talk.send_message(type="configure", profile="pizza", language="de")
        await answered(talk)

    assert server.finals.opened[0][0] == "de"


async def test_a_second_profile_replaces_the_first(tmp_path):
    """Nothing of the first one stays."""
    (tmp_path / "pizza.toml").write_text(PIZZA)
    (tmp_path / "plain.toml").write_text("")
    async with site(tmp_path, Script(("Yes.",)), profile="pizza") as server, server.session() as talk:
        await talk.send_message(type="configure", profile="plain")
        await answered(talk)

    assert server.prompts()[0] == {"role": "system", "content": "Be brief."}
    assert server.finals.opened == [("en", ())]
    assert server.voice.voices == [None]


async def test_the_history_window_of_a_profile_is_in_tokens(tmp_path):
    """What does not fit is forgotten."""
    (tmp_path / "short.toml").write_text("history_tokens = 20")
    long = Script((f"{'word ' * 30}end.",))
    async with site(tmp_path, long) as server, server.session("?profile=short") as talk:
        await answered(talk)
        await answered(talk, 2)

    assert [message["role"] for message in server.prompts()] == ["system", "user"]


async def test_a_profile_with_its_own_model_gets_that_model(tmp_path):
    """It is billed under its own name."""
    (tmp_path / "coder.toml").write_text(OTHER_MODEL)
    async with site(tmp_path, Script(("Yes.",), usage=(30, 1))) as server, server.session("?profile=coder") as talk:
        await answered(talk)

    assert server.openai.requests[0]["model"] == "large"
    assert [(expense.route, expense.kind) for expense in server.expenses] == [("openai/large", "reply")]


async def test_an_unknown_profile_ends_the_session_with_a_code(tmp_path):
    """Where it stands in the address."""
    async with site(tmp_path) as server, server.session("?profile=unheard-of") as talk:
        assert await talk.wait_until(lambda t: t.closed, timeout_s=5) or talk.closed

    (error,) = [each.message for each in talk.messages("error")]
    assert (error["code"], error["fatal"], talk.closed[0]) == ("unknown_profile", True, 1008)
    assert "assistant, code, custom" in error["message"]


async def test_configure_with_an_unknown_profile_changes_nothing(tmp_path):
    """The message is refused whole, and the session goes on."""
    async with site(tmp_path, Script(("Yes.",))) as server, server.session() as talk:
        await talk.send_message(type="configure", profile="unheard-of", reply=False)
        text = await answered(talk)

    assert [each.message["code"] for each in talk.messages("error")] == ["unknown_profile"]
    assert text == "Yes."


async def test_a_profile_behind_the_first_audio_is_refused(tmp_path):
    """The first one stays."""
    (tmp_path / "pizza.toml").write_text(PIZZA)
    async with site(tmp_path, Script(("Yes.",))) as server, server.session() as talk:
        await answered(talk)
        await talk.send_message(type="configure", profile="pizza")
        await answered(talk, 2)

    (error,) = [each.message for each in talk.messages("error")]
    assert (error["code"], error["message"]) == ("bad_message", "profile must be set before the first audio")
    assert server.prompts()[0]["content"] == "Be brief."


async def test_profiles_are_listed_without_what_is_in_them(tmp_path):
    """Name, description and languages."""
    (tmp_path / "pizza.toml").write_text(PIZZA)
    async with site(tmp_path, profile="pizza") as server, httpx.AsyncClient() as http:
        told = await http.get(f"http://{server.address}/profiles")

    assert told.status_code == 200, told.text
    assert told.json()[-1] == {
        "name": "pizza",
        "description": "Takes orders.",
        "languages": ["it", "en"],
        "default": True,
    }
    assert [each["name"] for each in told.json()] == ["assistant", "code", "custom", "pizza"]
    assert "sell" not in told.text


async def test_a_tenant_chooses_among_its_own_profiles(tmp_path):
    """Others do not exist for it; the first of its own is its default."""
    (tmp_path / "pizza.toml").write_text(PIZZA)
    tenant = Tenant("acme", (fingerprint("acme-key"),), profiles=("pizza",))
    async with site(tmp_path, Script(("Yes.",)), tenants=lambda: (tenant,)) as server, httpx.AsyncClient() as http:
        told = await http.get(f"http://{server.address}/profiles", headers={"Authorization": "Bearer acme-key"})
        async with server.session("?profile=code", key="acme-key") as talk:
            await talk.wait_until(lambda t: t.closed, timeout_s=5)
        async with server.session(key="acme-key") as other:
            await answered(other)

    assert [each["name"] for each in told.json()] == ["pizza"]
    assert talk.messages("error")[0].message["code"] == "unknown_profile"
    assert server.prompts()[0]["content"] == "You sell pizza."


# -- start -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "settings", "words"),
    [
        ('engine = "openai"', {}, "profile mine: engine openai needs a key: set OPENAI_API_KEY"),
        (
            "",
            {"profile": "yours"},
            "PARLEY_PROFILE: there is no profile 'yours'; there are assistant, code, custom, mine",
        ),
    ],
)
async def test_what_cannot_work_is_an_error_at_start(tmp_path, profile, settings, words):
    """It says what to set."""
    (tmp_path / "mine.toml").write_text(profile)

    with pytest.raises(SettingsError, match=words):
        async with open_profiles(Settings(profiles=tmp_path, **settings)):
            pass


async def test_a_changed_file_with_an_engine_that_is_not_open_is_refused(tmp_path):
    """Engines are opened at start; the file before stays in force until then."""
    path = tmp_path / "mine.toml"
    path.write_text('instructions = "One."')
    settings = Settings(profiles=tmp_path)

    async def is_refused() -> bool:
        return any("refused" in line["event"] for line in logs)

    with capture_logs() as logs:
        async with open_profiles(settings) as profiles:
            path.write_text('instructions = "Two."\nengine = "ollama"\nmodel = "other"')
            await until(is_refused, seconds=20)
            kept = profiles.profiles()["mine"]

    (line,) = [line for line in logs if "refused" in line["event"]]
    assert line["reason"] == "PARLEY_PROFILES: ollama/other is opened at start only: restart to use it"
    assert (kept.instructions, kept.engine) == ("One.", "")


# -- tools -----------------------------------------------------------------------------------


@pytest.fixture
def tools():
    with serve_tools() as running:
        yield running


def calls(*cities: str, text: tuple[str, ...] = ()) -> Script:
    """An answer that asks for the weather of these cities, the arguments in two pieces."""
    pieces = []
    for number, city in enumerate(cities):
        arguments = json.dumps({"city": city})
        begun = {"name": "weather", "arguments": arguments[:5]}
        pieces.append(({"index": number, "id": f"c{number}", "type": "function", "function": begun},))
        pieces.append(({"index": number, "function": {"arguments": arguments[5:]}},))
    return Script(text, tool_calls=tuple(pieces), usage=(10, 2))


def with_tools(tmp_path, tools: ToolServer, path: str = "/echo", **changes: str) -> None:
    text = TOOLS.replace("{url}", tools.url(path))
    for old, new in changes.items():
        text = text.replace({"private": "private = true", "timeout": "timeout_s = 20"}[old], new)
    (tmp_path / "tools.toml").write_text(text)


ANSWER = Script(("It is ", "sunny."), usage=(20, 4))


async def test_a_tool_is_called_and_the_model_goes_on_with_its_result(tmp_path, tools):
    """Text in front of the call reaches the client; two calls in one answer; the whole reply is one text."""
    with_tools(tmp_path, tools)
    first = calls("Bonn", "Köln", text=("Let me ", "see."))
    async with site(tmp_path, first, ANSWER) as server, server.session("?profile=tools") as talk:
        text = await answered(talk)
        session = talk.messages("session")[0].message["id"]
    manifest = await stored_manifest(server.service, session)

    assert text == "Let me see. It is sunny."
    assert "".join(each.message["text"] for each in talk.messages("replyDelta")) == text
    assert server.voice.spoken == ["Let me see.", "It is sunny."]
    assert sorted(request.query["city"][0] for request in tools.requests) == ["Bonn", "Köln"]
    assert [message["role"] for message in server.prompts()] == ["system", "user", "assistant", "tool", "tool"]
    assert server.prompts()[3]["content"] == 'GET {"city": "Bonn"}'
    assert manifest["replies"][0]["text"] == text
    assert manifest["replies"][0]["tools"] == [
        {"tool": "weather", "arguments": '{"city": "Bonn"}', "result": 'GET {"city": "Bonn"}'},
        {"tool": "weather", "arguments": '{"city": "K\\u00f6ln"}', "result": 'GET {"city": "K\\u00f6ln"}'},
    ]


async def test_the_next_turn_knows_what_tools_were_called(tmp_path, tools):
    """Calls and results are part of the history."""
    with_tools(tmp_path, tools)
    async with site(tmp_path, calls("Bonn"), ANSWER) as server, server.session("?profile=tools") as talk:
        await answered(talk)
        await answered(talk, 2)

    roles = [message["role"] for message in server.prompts()]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "user"]


async def test_every_round_is_counted_in_the_budget(tmp_path, tools):
    """Each call of the model is an expense of its own."""
    with_tools(tmp_path, tools)
    async with site(tmp_path, calls("Bonn"), ANSWER) as server, server.session("?profile=tools") as talk:
        await answered(talk)

    counted = [(each.prompt_tokens, each.generated_tokens) for each in server.expenses]
    assert counted == [(10, 2), (20, 4)]
    assert [each.usd for each in server.expenses] == [pytest.approx(12), pytest.approx(24)]


async def test_a_budget_that_is_spent_between_two_rounds_ends_the_reply(tmp_path, tools):
    """The model is not asked again."""
    with_tools(tmp_path, tools)
    async with (
        site(tmp_path, calls("Bonn"), ANSWER, budgets=Budgets(session=11.0)) as server,
        server.session("?profile=tools") as talk,
    ):
        await talk.send_audio(TURN, pace=0)
        assert await talk.wait_until(lambda t: t.messages("replyCancelled"), timeout_s=20)

    assert [each.message["code"] for each in talk.messages("error")] == ["budget_exhausted"]
    assert len(server.openai.requests) == 1


@pytest.mark.parametrize(
    ("path", "changes", "told"),
    [
        ("/large", {}, "error: the answer is larger than 16384 bytes"),
        ("/slow", {"timeout": "timeout_s = 0.3"}, "error: no answer within 0.3 s"),
        ("/redirect?to=http://evil.example/", {}, "error: a redirect is not followed: evil.example is not among"),
        ("/echo", {"private": ""}, "error: 127.0.0.1 has an address that is not public"),
    ],
)
async def test_a_tool_that_fails_is_told_to_the_model_and_not_to_the_user(tmp_path, tools, path, changes, told):
    """The reply goes on."""
    with_tools(tmp_path, tools, path, **changes)
    async with site(tmp_path, calls("Bonn"), ANSWER) as server, server.session("?profile=tools") as talk:
        text = await answered(talk)

    assert server.prompts()[-1]["content"].startswith(told)
    assert text == "It is sunny."
    assert talk.messages("error") == []


@pytest.mark.parametrize("way", ["cancel", "barge-in"])
async def test_an_interrupted_reply_cancels_the_call_of_its_tool(tmp_path, tools, way):
    """The tool's connection is closed, and the reply is cut where it was."""
    with_tools(tmp_path, tools, "/slow")
    first = calls("Bonn", text=("One moment.",))
    async with site(tmp_path, first, ANSWER) as server, server.session("?profile=tools") as talk:
        await talk.send_audio(TURN, pace=0)
        assert await to_thread.run_sync(tools.arrived.wait, 10)
        if way == "cancel":
            await talk.send_message(type="cancel")
        else:
            await talk.send_audio(TURN, pace=0)
        assert await talk.wait_until(lambda t: t.messages("replyCancelled"), timeout_s=10)
        assert await to_thread.run_sync(tools.left.wait, 10)

    reason = {"cancel": "cancelled", "barge-in": "barge_in"}[way]
    assert talk.messages("replyCancelled")[0].message["reason"] == reason


async def test_tools_of_an_engine_that_cannot_call_any_are_ignored_with_a_note(tmp_path, tools):
    """Once, at start."""
    with_tools(tmp_path, tools)
    text = (tmp_path / "tools.toml").read_text()
    (tmp_path / "tools.toml").write_text(f'engine = "receiver"\n{text}')
    with capture_logs() as logs:
        async with site(tmp_path):
            pass

    notes = [line for line in logs if line["event"].startswith("tools ignored")]
    assert [(line["profile"], line["engine"]) for line in notes] == [("tools", "receiver")]
