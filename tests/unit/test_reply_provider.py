"""Which engine replies where the settings leave it open."""

import subprocess
import sys
from contextlib import aclosing

import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError
from structlog.testing import capture_logs

from app.assembly.replies import open_reply_engines, reply_providers, server_problem
from app.config import Settings
from app.domain.dialog.conversation import Message, Role
from app.domain.errors import SettingsError
from app.domain.tenant import Tenant
from tests.emulators.openai import Script, serve_openai
from tests.eventually import until
from tests.routes import LOCAL, scripted_routes

pytestmark = pytest.mark.anyio

QUESTION = (Message(Role.USER, "When?"),)
NOBODY = "http://127.0.0.1:9/v1"


async def test_auto_takes_openai_where_a_key_is_set():
    """Nothing is asked before the first reply."""
    assert await reply_providers(Settings(openai_api_key="sk-test", openai_base_url=NOBODY)) == ["openai"]


async def test_auto_takes_ollama_only_where_it_has_the_model():
    """One that lacks it could answer nobody."""
    with serve_openai(models=("llama3.2:latest",)) as server:
        has_it = await reply_providers(Settings(ollama_base_url=server.base_url, ollama_model="llama3.2"))
        lacks_it = await reply_providers(Settings(ollama_base_url=server.base_url, ollama_model="qwen3"))

    assert (has_it, lacks_it) == (["ollama"], ["embedded"])


async def test_auto_takes_the_embedded_model_where_no_ollama_answers():
    """As on a laptop without either."""
    assert await reply_providers(Settings(ollama_base_url=NOBODY)) == ["embedded"]


def test_auto_takes_the_embedded_model_where_the_openai_extra_is_missing():
    """A local installation starts without it."""
    program = (
        "import sys, anyio; sys.modules['openai'] = None\n"
        "from app.assembly.replies import reply_providers; from app.config import Settings\n"
        "print(anyio.run(reply_providers, Settings()))"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("['embedded']\n", "")


async def test_openai_without_a_key_is_a_settings_error():
    """The sentence names both variables."""
    with pytest.raises(SettingsError, match="PARLEY_REPLY_PROVIDER names openai, and OPENAI_API_KEY is not set"):
        await reply_providers(Settings(reply_provider="openai"))


async def test_several_engines_are_asked_in_the_order_of_the_setting():
    """`none` and `auto` are no part of an order, and no engine is in it twice."""
    assert await reply_providers(Settings(reply_provider="ollama, embedded")) == ["ollama", "embedded"]
    assert await reply_providers(Settings(reply_provider="none")) == []
    for wrong in ("ollama,none", "auto,embedded", "ollama,ollama", "ollama,robot", ","):
        with pytest.raises(ValidationError):
            Settings(reply_provider=wrong)


async def test_openai_in_an_order_needs_its_key():
    with pytest.raises(SettingsError, match="OPENAI_API_KEY is not set"):
        await reply_providers(Settings(reply_provider="ollama,openai"))


@pytest.mark.parametrize(
    ("path", "models", "sentence"),
    [
        ("/v1", ("qwen3:latest",), "has no model 'llama3.2': run `ollama pull llama3.2`"),
        ("/v1", (), "has no model 'llama3.2': run `ollama pull llama3.2`"),
        ("", ("llama3.2:latest",), "the address lacks /v1; try http://127.0.0.1:PORT/v1"),
        ("/", ("llama3.2:latest",), "the address lacks /v1; try http://127.0.0.1:PORT/v1"),
        ("/api/v1", ("llama3.2:latest",), "is the address right?"),
        ("/v1", ("llama3.2:latest",), None),
    ],
)
async def test_what_is_wrong_with_ollama_is_said_with_what_to_do(path, models, sentence):
    """A model that is not pulled, and an address that is not the one of OpenAI's API."""
    with serve_openai(models=models) as server:
        settings = Settings(ollama_base_url=f"http://127.0.0.1:{server.port}{path}")
        problem = await server_problem(settings, "ollama")

    assert (problem is None) == (sentence is None)
    assert sentence is None or sentence.replace("PORT", str(server.port)) in problem


async def test_a_server_without_the_model_is_named_at_the_start():
    """The service starts all the same: the model may be pulled while it runs."""
    routes = scripted_routes(LOCAL).routes
    with serve_openai(models=("qwen3:latest",)) as server, capture_logs() as lines:

        async def is_logged() -> bool:
            return bool(lines)

        settings = Settings(ollama_base_url=server.base_url, speech_provider="none")
        async with open_reply_engines(settings, ["ollama"], routes):
            await until(is_logged)

    (line,) = lines
    assert (line["log_level"], line["engine"]) == ("warning", "ollama")
    assert "run `ollama pull llama3.2`" in line["problem"]


async def test_the_second_server_replies_where_the_first_is_down():
    """As the settings say, over real HTTP; the first one's breaker and the record know of it."""
    expenses = []
    routes = scripted_routes(LOCAL).routes
    routes.record_expense = expenses.append
    with serve_openai(script=Script(status=503)) as dead, serve_openai(script=Script(("Hi.",), usage=(5, 2))) as alive:
        settings = Settings(
            openai_api_key="sk-test",
            openai_base_url=dead.base_url,
            ollama_base_url=alive.base_url,
            speech_provider="none",
        )
        async with open_reply_engines(settings, ["openai", "ollama"], routes) as engines:
            for _ in range(4):
                async with aclosing(engines.for_session("s", Tenant("t")).generator.reply(QUESTION)) as texts:
                    assert [text async for text in texts] == ["Hi."]
            registry = CollectorRegistry()
            engines.register_metrics(registry)
            resting = {
                name: registry.get_sample_value("parley_reply_engine_resting", {"engine": name})
                for name in ("openai", "ollama")
            }

    assert resting == {"openai": 1, "ollama": 0}
    assert len([request for request in dead.requests if "messages" in request]) == 3
    assert [(e.route, e.kind, e.prompt_tokens, e.generated_tokens) for e in expenses] == [("ollama", "reply", 5, 2)] * 4
