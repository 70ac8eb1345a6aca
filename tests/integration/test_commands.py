"""The command line, as people type it."""

import json
import os
import signal
import subprocess
import sys
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import anyio
import pytest
from anyio import to_thread
from websockets.asyncio.server import ServerConnection, serve

from app.domain.tenant import Tenant, fingerprint
from tests.clips import COUNTRY, HANDS, HOUR, silence, word_error_rate
from tests.emulators.openai import serve_openai
from tests.emulators.receiver import serve_receiver
from tests.models import MODELS_DIR, model
from tests.serving import scripted_service, served
from tests.source import ROOT
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio


PORTAUDIO = ROOT / "tests" / "portaudio"
"""Has a `sounddevice` with a microphone that speaks."""


def parley(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PARLEY_MODELS_DIR": str(MODELS_DIR), "COLUMNS": "200", **variables}
    return subprocess.run(
        [sys.executable, "-m", "app", *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_help_names_every_command():
    """A newcomer sees what there is."""
    said = parley("--help").stdout

    assert all(command in said for command in ("serve", "talk", "transcribe", "models", "doctor", "tenants"))


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"PARLEY_PORT": "eighty"}, "PORT"),
        ({"PARLEY_PORT": "1", "PARLEY_HOST": "192.0.2.1"}, "HOST: cannot listen on 192.0.2.1:1"),
        ({"PARLEY_HOST": "0.0.0.0"}, "parley keys create NAME"),
        ({"PARLEY_AUTH": "keys"}, "parley keys create NAME"),
        ({"PARLEY_MODELS_DIR": "/nowhere"}, "parley models pull"),
        ({"PARLEY_REPLY_PROVIDER": "openai", "OPENAI_API_KEY": ""}, "OPENAI_API_KEY"),
        ({"PARLEY_AUDIO_STORAGE_DIR": "/proc/nowhere"}, "/proc/nowhere"),
    ],
)
def test_serve_with_wrong_settings_exits_with_a_sentence_and_no_traceback(variables, words):
    """No traceback, the variable or the remedy by name, and a status that is not zero."""
    if "PARLEY_MODELS_DIR" not in variables:
        for name in (
            "whisper-tiny.en",
            "whisper-base",
            "smart-turn-v3",
            "piper-en_US-joe-medium",
            "smollm2-135m-instruct",
        ):
            model(name)

    done = parley("serve", **{"PARLEY_PORT": "0", **variables})

    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.models
def test_transcribe_prints_the_words_of_a_file():
    """`parley transcribe` prints the words of any audio file."""
    model("whisper-base")

    done = parley("transcribe", HANDS.path)

    assert done.returncode == 0, done.stderr
    assert word_error_rate(HANDS.words, done.stdout) <= 0.1


@pytest.mark.models
def test_transcribe_writes_one_json_per_file_to_the_output_folder(tmp_path):
    """One result per file, named after it; times lie inside the recording."""
    model("whisper-base")

    done = parley("transcribe", HANDS.path, COUNTRY.path, "--format", "json", "--output", tmp_path)

    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "jfk-inaugural.flac.json").read_text())
    assert word_error_rate(COUNTRY.words, written["text"]) <= 0.2
    assert all(0 <= s["start"] < s["end"] <= 11.0 for s in written["segments"])
    assert (tmp_path / "arctic-aew-a0003.flac.json").exists()


@pytest.mark.parametrize("form", ["srt", "vtt"])
def test_transcribe_refuses_several_results_of_a_format_on_standard_output(form):
    """One after the other they are no valid file; nothing is transcribed."""
    done = parley("transcribe", HANDS.path, COUNTRY.path, "--format", form)

    assert (done.returncode, done.stdout) == (2, "")
    assert f"no valid {form} file: name a folder with --output" in done.stderr


@pytest.mark.models
def test_transcribe_prints_the_words_of_several_files_behind_their_names():
    model("whisper-base")

    done = parley("transcribe", HANDS.path, COUNTRY.path, "--format", "txt")

    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert word_error_rate(HANDS.words, first.removeprefix(f"{HANDS.path}: ")) <= 0.2
    assert word_error_rate(COUNTRY.words, second.removeprefix(f"{COUNTRY.path}: ")) <= 0.2


@pytest.mark.models
def test_transcribe_keeps_what_is_done_where_it_is_interrupted(tmp_path):
    """While it waits for a pipe whose writer says nothing."""
    model("whisper-base")
    os.mkfifo(tmp_path / "pipe.wav")
    writer = os.open(tmp_path / "pipe.wav", os.O_RDWR)
    (copies := tmp_path / "copies").mkdir()
    command = [sys.executable, "-m", "app", "transcribe", str(HANDS.path), str(tmp_path / "pipe.wav")]
    environment = {**os.environ, "PARLEY_MODELS_DIR": str(MODELS_DIR), "TMPDIR": str(copies)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        try:
            assert running.stdout is not None
            first = running.stdout.readline()
            while running.poll() is None and not list(copies.glob("*/pipe.wav")):
                time.sleep(0.01)
            running.send_signal(signal.SIGINT)
            rest, said = running.communicate(timeout=60)
        finally:
            running.kill()
    os.close(writer)

    assert (running.returncode, rest, "Traceback" in said) == (130, "", False), said
    assert word_error_rate(HANDS.words, first.removeprefix(f"{HANDS.path}: ")) <= 0.2
    assert said.endswith("parley: interrupted\n")
    assert not list(copies.glob("*/pipe.wav"))


@pytest.mark.models
def test_transcribe_ends_without_a_word_where_nobody_reads_its_results():
    model("whisper-base")
    reading, writing = os.pipe()
    os.close(reading)

    done = subprocess.run(
        [sys.executable, "-m", "app", "transcribe", str(HANDS.path)],
        env={**os.environ, "PARLEY_MODELS_DIR": str(MODELS_DIR)},
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    os.close(writing)

    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.models
def test_transcribe_reads_standard_input():
    """As JSON: with its name, its length, its language and the times of its words."""
    model("whisper-base")
    with HANDS.path.open("rb") as piped:
        done = subprocess.run(
            [sys.executable, "-m", "app", "transcribe", "-", "--format", "json", "--model", "whisper-base"],
            env={**os.environ, "PARLEY_MODELS_DIR": str(MODELS_DIR)},
            stdin=piped,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert (result["file"], result["model"], result["language"]) == ("-", "whisper-base", "en")
    assert result["duration"] == pytest.approx(3.54, abs=0.01)
    assert all(0 <= word["start"] < word["end"] <= result["duration"] for word in result["segments"][0]["words"])


def test_transcribe_names_a_file_that_is_no_audio(tmp_path):
    """One sentence says which file."""
    model("whisper-base")
    (tmp_path / "notes.txt").write_text("no sound at all")

    done = parley("transcribe", tmp_path / "notes.txt")

    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "notes.txt" in done.stderr


async def test_talk_prints_drafts_finals_and_reply_and_writes_its_audio(tmp_path):
    """`parley talk` prints drafts, finals and the reply, and writes its sound."""
    async with served(scripted_service()) as address:
        done = await to_thread.run_sync(
            lambda: parley(
                "talk",
                HANDS.path,
                "--url",
                f"ws://{address}/ws/transcribe",
                "--pace",
                "20",
                "--output",
                tmp_path / "reply.mp3",
            )
        )

    assert done.returncode == 0, done.stderr
    assert "hello" in done.stdout
    assert "You said it. Well done." in done.stdout
    assert (tmp_path / "reply.mp3").stat().st_size > 500


async def test_talk_speaks_from_the_microphone_until_it_is_interrupted(tmp_path):
    """The reply is played, the exit status is 0, and no file is written."""
    spoken, played = tmp_path / "spoken.pcm", tmp_path / "played.pcm"
    spoken.write_bytes(HANDS.pcm)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(PORTAUDIO), str(ROOT)]),
        "FAKE_MICROPHONE": str(spoken),
        "FAKE_LOUDSPEAKER": str(played),
    }
    async with served(scripted_service()) as address:
        command = [sys.executable, "-u", "-m", "app", "talk", "--url", address]
        async with await anyio.open_process(command, env=environment, cwd=tmp_path) as talking:
            said = ""
            with anyio.fail_after(60):
                async for piece in talking.stdout:
                    said += piece.decode()
                    if "Well done." in said:
                        break
                talking.send_signal(signal.SIGINT)
                said += b"".join([piece async for piece in talking.stdout]).decode()
                errors = b"".join([piece async for piece in talking.stderr]).decode()

    assert (talking.returncode, errors) == (0, "Speak; Ctrl-C ends it.\n")
    assert "hello" in said
    assert len(played.read_bytes()) > 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["played.pcm", "spoken.pcm"]


@pytest.mark.parametrize(
    ("variables", "arguments", "sentences"),
    [
        ({}, (), ("parley: the microphone needs PortAudio: apt install libportaudio2",)),
        (
            {"FAKE_MICROPHONE": "/dev/null"},
            ("--device", "USB", "--mute"),
            ("parley: the audio device 'USB' cannot be opened: No input device matching 'USB'", "0 Fake microphone"),
        ),
    ],
)
async def test_talk_says_what_the_microphone_lacks(variables, arguments, sentences):
    path = os.pathsep.join([str(PORTAUDIO), str(ROOT)])
    async with served(scripted_service()) as address:
        done = await to_thread.run_sync(
            lambda: parley("talk", "--url", address, *arguments, **variables, PYTHONPATH=path)
        )

    assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (1, "", False)
    assert all(sentence in done.stderr for sentence in sentences)


async def test_talk_says_that_something_else_answers():
    """A web server of another kind."""
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as other:
        Thread(target=other.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{other.server_port}"
        foreign = await to_thread.run_sync(lambda: parley("talk", HANDS.path, "--url", url))
        other.shutdown()

    assert (foreign.returncode, foreign.stdout, "Traceback" in foreign.stderr) == (1, "", False)
    assert "what answers there is no WebSocket server" in foreign.stderr


async def test_talk_and_policy_send_the_key_from_option_or_environment():
    """By option or by PARLEY_KEY; without it the command says what the server said, and fails."""
    ops = Tenant("ops", (fingerprint("good"),), operator=True)
    async with served(scripted_service(tenants=lambda: (ops,))) as address:

        async def run(*arguments, **variables):
            return await to_thread.run_sync(lambda: parley(*arguments, **variables))

        talk = ("talk", HANDS.path, "--no-reply", "--pace", "20", "--url", f"ws://{address}/ws/transcribe")
        explain = ("policy", "explain", "--url", f"http://{address}")
        refused, taken = await run(*talk), await run(*talk, PARLEY_KEY="good")
        unknown, known = await run(*explain, "--key", "bad"), await run(*explain, "--key", "good")

    assert (refused.returncode, refused.stdout.count("unauthorized: "), "Traceback" in refused.stderr) == (1, 1, False)
    assert refused.stdout.startswith("unauthorized: ")  # without a time, because no audio was sent
    assert "--key, or in PARLEY_KEY" in refused.stdout
    assert (taken.returncode, "hello" in taken.stdout) == (0, True)
    assert "an operator's key is needed" in unknown.stderr
    assert "answers 404" in known.stderr  # this service has no policy


async def test_talk_prints_the_close_code_of_a_server_that_stops():
    """Nothing more is sent, and the close code and its reason are printed."""

    async def going_away(socket: ServerConnection) -> None:
        await socket.send('{"type": "session", "id": "one"}')
        for _ in range(5):
            await socket.recv()
        await socket.close(1012, "the server restarts")

    async with serve(going_away, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        done = await to_thread.run_sync(
            lambda: parley("talk", HOUR.path, "--url", f"ws://127.0.0.1:{port}/", "--pace", "20")
        )

    assert (done.returncode, done.stderr) == (1, "")
    assert "the server ended the session: 1012 the server restarts" in done.stdout


def test_talk_without_a_server_exits_with_a_sentence():
    """Nobody listens there: the command says what to do."""
    done = parley("talk", HANDS.path, "--url", "ws://127.0.0.1:9/ws/transcribe")

    assert done.returncode == 1
    assert "`parley serve`" in done.stderr


@pytest.mark.models
async def test_sigterm_lets_the_turn_end_closes_with_1012_archives_the_words_and_exits_0(tmp_path):
    """Told to stop, it says so, sends the last final, stores the recording, and ends with status 0."""
    for name in ("whisper-tiny.en", "whisper-base", "smart-turn-v3"):
        model(name)
    environment = {
        **os.environ,
        "PARLEY_MODELS_DIR": str(MODELS_DIR),
        "PARLEY_AUDIO_STORAGE_DIR": str(tmp_path),
        "PARLEY_REPLY_PROVIDER": "none",
        "PARLEY_SPEECH_PROVIDER": "none",
        "PARLEY_PORT": "0",
    }
    async with await anyio.open_process(
        [sys.executable, "-m", "app", "serve"], env=environment, stderr=subprocess.PIPE
    ) as server:
        with anyio.fail_after(90):
            said = b""
            while b"audio goes to" not in said:
                said += await server.stderr.receive()
        port = int(said.split(b"listens on http://localhost:")[1].split()[0])
        async with open_session(f"ws://127.0.0.1:{port}/ws/transcribe") as talk:
            await talk.send_audio(HANDS.pcm + silence(0.1), pace=4)
            server.send_signal(signal.SIGTERM)
            await talk.wait_until(lambda t: bool(t.closed), timeout_s=20)
        with anyio.fail_after(30):
            status = await server.wait()

    (manifest,) = [json.loads(path.read_text()) for path in tmp_path.glob("sessions/*/*/manifest.json")]
    transcript = " ".join(final["text"] for final in manifest["finals"])
    assert status == 0
    assert talk.closed[0] == 1012
    assert word_error_rate(HANDS.words, transcript) <= 0.3
    shown = [each.message["text"] for each in talk.messages("fullSentence")]
    assert word_error_rate(HANDS.words, " ".join(shown)) <= 0.3
    errors = [each.message for each in talk.messages("error")]
    assert [(each["code"], each["fatal"]) for each in errors] == [("draining", False), ("draining", True)]


DEFAULT_MODELS = (
    "whisper-tiny.en",
    "whisper-base",
    "smart-turn-v3",
    "piper-en_US-joe-medium",
    "smollm2-135m-instruct",
)


@pytest.fixture
def doctor(tmp_path):
    """Runs `parley doctor` in a folder of its own, on the default models and an archive that work."""
    for name in DEFAULT_MODELS:
        model(name)
    working = {
        "PARLEY_AUDIO_STORAGE_DIR": str(tmp_path / "recordings"),
        "PARLEY_DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/parley.db",
        "PARLEY_REPLY_PROVIDER": "embedded",
        "PARLEY_PORT": "0",
    }
    return lambda **variables: parley("doctor", **{**working, **variables})


def wrong(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What the doctor has marked, by the first word of each line."""
    return [line.split()[1] for line in done.stdout.splitlines() if line.split()[:1] == ["!!"]]


@pytest.mark.models
def test_doctor_reports_a_working_configuration(doctor, tmp_path):
    """Everything the settings name has its line, and nothing is left in the archive."""
    done = doctor()

    assert (done.returncode, wrong(done)) == (0, []), done.stdout + done.stderr
    checks = ("address", "tenants", "routing", "database", "device", "drafts", "finals", "turn detector", "replies")
    checks += ("profiles", "voice", "archive", "spool")
    assert all(check in done.stdout for check in checks)
    assert list(tmp_path.rglob("*hello*")) == []


def test_doctor_names_missing_models_and_an_archive_that_cannot_be_written(tmp_path):
    """Each is a sentence with what to do, and the status says that something is wrong."""
    done = parley("doctor", PARLEY_MODELS_DIR=str(tmp_path), PARLEY_AUDIO_STORAGE_DIR="/proc/nowhere")

    assert done.returncode == 1
    assert "parley models pull" in done.stdout
    assert "/proc/nowhere" in done.stdout


@pytest.mark.slow
@pytest.mark.models
@pytest.mark.parametrize(
    ("variables", "check"),
    [
        ({"PARLEY_TENANTS": "/nonexistent.toml"}, "tenants"),
        ({"PARLEY_HOST": "0.0.0.0"}, "authentication"),
        ({"PARLEY_ROUTES": "/nonexistent.toml"}, "routing"),
        ({"PARLEY_POLICY": "cheapest"}, "routing"),
        ({"PARLEY_DATABASE_URL": "sqlite+aiosqlite:////nonexistent/parley.db"}, "database"),
        ({"PARLEY_DATABASE_URL": "postgresql+asyncpg://parley:secret@127.0.0.1:9/parley"}, "database"),
        ({"PARLEY_DATABASE_URL": "no database"}, "database"),
        ({"PARLEY_LANGUAGE": "yue"}, "drafts"),
        ({"PARLEY_TURN_MODEL_ID": "/nonexistent"}, "turn"),
        ({"PARLEY_REPLY_PROVIDER": "ollama", "OLLAMA_BASE_URL": "http://127.0.0.1:9/v1"}, "replies"),
        (
            {"PARLEY_REPLY_PROVIDER": "openai", "OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"},
            "replies",
        ),
        ({"PARLEY_REPLY_PROVIDER": "receiver", "PARLEY_RECEIVER_PORT": "9"}, "replies"),
        (
            {
                "PARLEY_REPLY_PROVIDER": "none",
                "PARLEY_SPEECH_PROVIDER": "polly,piper",
                "PARLEY_VOICE_MODEL_ID": "/nonexistent",
            },
            "voice",
        ),
        ({"PARLEY_REPLY_PROVIDER": "embedded,ollama", "OLLAMA_BASE_URL": "http://127.0.0.1:9/v1"}, "replies"),
        ({"PARLEY_VOICE_MODEL_ID": "/nonexistent"}, "voice"),
        ({"PARLEY_ARCHIVE_KEY": "short"}, "encryption"),
        ({"PARLEY_SPOOL_DIR": "/proc/nowhere"}, "spool"),
        ({"PARLEY_PROFILE": "nobody"}, "profiles"),
        ({"PARLEY_TWILIO_AUTH_TOKEN": "token"}, "telephone"),
        ({"PARLEY_GOOGLE_DRIVE_SERVICE_ACCOUNT": "/nonexistent.json"}, "google"),
        ({"PARLEY_HOST": "192.0.2.1", "PARLEY_AUTH": "none"}, "address"),
    ],
    ids=str,
)
def test_doctor_fails_where_the_server_could_not_start_or_answer(doctor, variables, check):
    """The line of that check is marked."""
    done = doctor(**variables)

    assert done.returncode == 1
    assert check in wrong(done)
    assert "Traceback" not in done.stderr


@pytest.mark.models
async def test_doctor_asks_every_server_that_routes_and_profiles_name(doctor, tmp_path):
    """A worker that is down, one that has a key of its own, and a profile whose Ollama is down."""
    routes, profiles = tmp_path / "routes.toml", tmp_path / "profiles"
    profiles.mkdir()
    (profiles / "tutor.toml").write_text('engine = "ollama"\n')
    with serve_openai() as server:
        dead, live = "http://127.0.0.1:9/v1", server.base_url
        routes.write_text(
            f'[dead]\nengine = "openai"\nbase_url = "{dead}"\nplace = "on_prem"\n'
            f'[live]\nengine = "openai"\nbase_url = "{live}"\nplace = "on_prem"\n'
        )
        done = await to_thread.run_sync(
            lambda: doctor(PARLEY_ROUTES=str(routes), PARLEY_PROFILES=str(profiles), OLLAMA_BASE_URL=dead)
        )

    assert (done.returncode, wrong(done)) == (1, ["route", "profiles"]), done.stdout
    shown = " ".join(done.stdout.split())
    assert "route dead http://127.0.0.1:9/v1: cannot be reached" in shown
    assert f"route live {live} (" in shown
    assert "profile tutor: http://127.0.0.1:9/v1: cannot be reached" in shown


@pytest.mark.models
async def test_doctor_tells_its_own_server_from_another_program_at_the_port(doctor):
    with serve_openai() as other:
        taken = await to_thread.run_sync(lambda: doctor(PARLEY_PORT=str(urlsplit(other.base_url).port)))
    async with served(scripted_service()) as address:
        running = await to_thread.run_sync(lambda: doctor(PARLEY_PORT=address.rpartition(":")[2]))

    assert "address" in wrong(taken)
    assert "Address already in use" in taken.stdout
    assert "address" not in wrong(running)
    assert "a Parley server listens on" in running.stdout


def test_doctor_refuses_a_language_that_nobody_knows():
    """Before any check: the setting, and how a language is written."""
    done = parley("doctor", PARLEY_LANGUAGE="xx")

    assert (done.returncode, done.stdout) == (1, "")
    assert "PARLEY_LANGUAGE: there is no language 'xx'; write it like de, de-DE or German" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.models
async def test_doctor_fails_where_ollama_lacks_the_model(doctor):
    """A server that answers, and has another model."""
    with serve_openai(models=("qwen3:latest",)) as server:
        done = await to_thread.run_sync(
            lambda: doctor(PARLEY_REPLY_PROVIDER="ollama", OLLAMA_BASE_URL=server.base_url, OLLAMA_MODEL="llama3.2")
        )

    assert (done.returncode, wrong(done)) == (1, ["replies"])
    assert "has no model 'llama3.2': run `ollama pull llama3.2`" in " ".join(done.stdout.split())


async def test_doctor_names_the_address_of_a_receiver(tmp_path):
    """Of one that listens, and of one that does not."""
    variables = {
        "PARLEY_REPLY_PROVIDER": "receiver",
        "PARLEY_RECEIVER_HOST": "127.0.0.1",
        "PARLEY_AUDIO_STORAGE_DIR": str(tmp_path),
        "PARLEY_DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/parley.db",
    }

    def doctor(port: int) -> subprocess.CompletedProcess[str]:
        return parley("doctor", **variables, PARLEY_RECEIVER_PORT=str(port))

    async with serve_receiver() as server:
        up = await to_thread.run_sync(doctor, server.port)
    down = await to_thread.run_sync(doctor, server.port)

    assert "replies" not in wrong(up)
    assert "replies" in wrong(down)
    assert f"the receiver at 127.0.0.1:{server.port} (" in " ".join(up.stdout.split())
    assert f"the receiver at 127.0.0.1:{server.port} cannot be reached" in " ".join(down.stdout.split())


@pytest.mark.slow
@pytest.mark.models
@pytest.mark.parametrize(
    "variables",
    [
        {"LANGUAGE": "en_US:en"},
        {"HOST": "x86_64-conda-linux-gnu"},
        {"ALL_PROXY": "socks5://127.0.0.1:1080"},
        {"ALL_PROXY": "socks://127.0.0.1:1080/", "PARLEY_REPLY_PROVIDER": "auto"},
    ],
    ids=str,
)
def test_variables_of_the_desktop_stop_no_command(doctor, variables):
    """gettext's LANGUAGE, conda's HOST, a SOCKS proxy that nothing here needs."""
    done = doctor(**variables)

    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.models
@pytest.mark.parametrize(
    ("language", "name", "sentence"),
    [
        ("de", "whisper-tiny.en", "PARLEY_LANGUAGE is 'de', and the model whisper-tiny.en knows English only"),
        (
            "yue",
            "whisper-base",
            "PARLEY_LANGUAGE is 'yue', and the model whisper-base knows 99 languages, but not this one",
        ),
    ],
)
def test_language_unknown_to_the_model_is_refused_at_the_start(language, name, sentence):
    """Before anything is loaded, or any word is lost."""
    model(name)

    done = parley("transcribe", HANDS.path, PARLEY_LANGUAGE=language, PARLEY_TRANSCRIPTION_MODEL_ID=name)

    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"parley: {sentence}\n")
