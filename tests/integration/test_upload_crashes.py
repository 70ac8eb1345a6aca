"""Two gateways die in the middle of everything, and every file that was accepted is recorded once."""

import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGKILL, SIGTERM
from time import monotonic, sleep

import httpx
import pytest

from app.domain.recording.wav import wav_header
from app.web.conversations.audio import MAX_BYTES
from tests.postgres import new_database
from tests.upload_crashes import SPEECH_SAMPLES, sound, starts, wait_until_listening, words_of

ROOT = Path(__file__).parents[2]


def kill_gateways(folder: Path, kills: int, url: str) -> None:
    """See tests/upload_crashes.py."""
    seed = random.randrange(1 << 30)
    command = [sys.executable, "-m", "tests.upload_crashes", str(folder), str(kills), str(seed), url]
    ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)

    assert ran.returncode == 0, (seed, ran.stdout)
    assert "each recorded once" in ran.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_accepted_files_survive_kill_9_of_their_gateways(tmp_path, url):
    kill_gateways(tmp_path / "site", 10, url)


@contextmanager
def gateway(
    folder: Path, number: int, delay_s: float, url: str, *, reply_s: float = 0.0
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server in a process of its own, and its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.upload_crashes", "serve", str(folder), str(number), str(port)]
    with subprocess.Popen([*command, str(delay_s), str(reply_s), url], cwd=ROOT) as process:
        try:
            wait_until_listening(port)
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def state_of(address: str, session: str) -> str:
    return str(httpx.get(f"{address}/jobs/{session}", timeout=20).json()["state"])


def wait_for_state(address: str, session: str, state: str) -> None:
    until = monotonic() + 60
    while (found := state_of(address, session)) != state:
        assert monotonic() < until, found
        sleep(0.05)


@pytest.mark.slow
def test_parts_go_to_two_gateways_in_turn_and_one_finishes_what_the_other_began(tmp_path, postgres):
    """The first is killed with SIGKILL in the middle of the job; the second has neither its spool nor its memory."""
    url, pcm = new_database(postgres), sound(1)
    file = wav_header(len(pcm) // 2) + pcm
    with gateway(tmp_path, 0, 600.0, url) as (first, one):
        with gateway(tmp_path, 1, 600.0, url) as (_, other):
            where = httpx.post(f"{one}/recordings/uploads", headers={"Upload-Length": str(len(file))}).headers[
                "location"
            ]
            offsets = [*range(0, len(file), 60_000)]
            for number, at in enumerate(offsets):
                headers, part = {"Upload-Offset": str(at)}, file[at : at + 60_000]
                if number < len(offsets) - 1:
                    httpx.patch(f"{(one, other)[number % 2]}{where}", headers=headers, content=part).raise_for_status()
        last = httpx.patch(f"{one}{where}", headers=headers, content=part)
        session = last.headers["parley-recording"]
        wait_for_state(one, session, "running")
        first.kill()
    with gateway(tmp_path, 2, 0.0, url) as (_, third):
        wait_for_state(third, session, "done")
        manifest = httpx.get(f"{third}/recordings/{session}/manifest").json()

    assert [final["text"] for final in manifest["finals"] if final["text"]] == [
        words_of(pcm[at : at + 2 * SPEECH_SAMPLES]) for at in starts()
    ]


@pytest.mark.slow
def test_large_file_of_a_conversation_is_answered_once_though_its_gateway_is_killed(tmp_path, url):
    """With SIGKILL, while it is transcribed. What makes it large is a chunk of the file that is no sound."""
    pcm = sound(1)
    other = b"JUNK" + MAX_BYTES.to_bytes(4, "little") + bytes(MAX_BYTES)
    file = {"file": ("long.wav", wav_header(len(pcm) // 2) + pcm + other)}
    with gateway(tmp_path, 0, 600.0, url) as (first, one):
        conversation = httpx.post(f"{one}/conversations").json()["id"]
        accepted = httpx.post(f"{one}/conversations/{conversation}/audio", files=file, timeout=60)
        job = accepted.json()["job"]
        wait_for_state(one, job, "running")
        first.kill()
    with gateway(tmp_path, 1, 0.0, url) as (_, second):
        wait_for_state(second, job, "done")
        said, reply = httpx.get(f"{second}/conversations/{conversation}").json()["messages"]

    assert accepted.status_code == 202
    assert said["text"].split() == [words_of(pcm[at : at + 2 * SPEECH_SAMPLES]) for at in starts()]
    assert (said["session"], reply["role"], reply["text"]) == (job, "assistant", "You said it. Well done.")


@pytest.mark.slow
@pytest.mark.parametrize("end", [SIGKILL, SIGTERM])
def test_large_file_of_a_conversation_is_answered_once_though_its_gateway_ends_during_the_reply(tmp_path, url, end):
    """The next one goes on when the job's lease has run out, and not when a stale claim on the conversation has."""
    pcm = sound(1)
    other = b"JUNK" + MAX_BYTES.to_bytes(4, "little") + bytes(MAX_BYTES)
    file = {"file": ("long.wav", wav_header(len(pcm) // 2) + pcm + other)}
    with gateway(tmp_path, 0, 0.0, url, reply_s=600.0) as (first, one):
        conversation = httpx.post(f"{one}/conversations").json()["id"]
        job = httpx.post(f"{one}/conversations/{conversation}/audio", files=file, timeout=60).json()["job"]
        until = monotonic() + 60
        while not (began := httpx.get(f"{one}/conversations/{conversation}").json()["messages"]):
            assert monotonic() < until
            sleep(0.05)
        first.send_signal(end)
        first.wait(30)
    with gateway(tmp_path, 1, 0.0, url) as (_, second):
        wait_for_state(second, job, "done")
        messages = httpx.get(f"{second}/conversations/{conversation}").json()["messages"]
        done = httpx.get(f"{second}/jobs/{job}").json()

    assert [each["role"] for each in began] == ["user"]
    assert [(each["role"], each["turn"]) for each in messages] == [("user", 1), ("assistant", 1)]
    assert (messages[0], messages[1]["text"]) == (began[0], "You said it. Well done.")
    assert "cancelled" not in messages[1]
    assert done["warnings"] == []


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_accepted_files_survive_a_hundred_kills_of_their_gateways(tmp_path, url):
    kill_gateways(tmp_path / "site", 100, url)
