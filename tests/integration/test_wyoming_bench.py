"""`wyoming-bench` against Parley, and against `wyoming-openai`: a Wyoming server that asks Parley by OpenAI's API."""

import re
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from socket import socket

import anyio
import pytest

from tests.client_environments import ClientEnvironment, python_client
from tests.fakes import SILENCE, ScriptedGenerator, ScriptedSynthesizer
from tests.integration.test_realtime import service_with
from tests.integration.test_wyoming import listening
from tests.proven_features import proves
from tests.serving import served

pytestmark = pytest.mark.anyio
LOUD = b"\x41\x41" * (len(SILENCE) // 2)
"""Speech for the scripted detector after any resampling, too."""
ASR = {"openai", "openai-streaming", "openai-realtime"}
"""How wyoming-openai calls a whole file, a streamed one, and Realtime."""
BOTH = [("non_streaming", 1, 0), ("streaming", 1, 0)]
TRANSCRIBED = [*BOTH, *BOTH, ("non_streaming", 1, 0)]
"""By Realtime, by streamed files, by whole files."""


@pytest.fixture(scope="session")
def wyoming_bench():
    return python_client("wyoming-bench", "wyoming-bench==2026.10.0")


@pytest.fixture(scope="session")
def wyoming_openai():
    return python_client("wyoming-openai", "wyoming_openai==0.8.0", python=(3, 12))


@pytest.fixture
def corpus(tmp_path) -> Path:
    """One recording and its words."""
    with wave.open(str(tmp_path / "one.wav"), "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(16_000)
        audio.writeframes(LOUD * 30 + SILENCE * 60)
    (tmp_path / "one.txt").write_text("Hello.")
    return tmp_path


def outcomes(said: str) -> list[tuple[str, int, int]]:
    """Mode, runs that succeeded and runs that failed, in the order of the report."""
    return [(mode, int(ok), int(fail)) for mode, ok, fail in re.findall(r"\[(\w+)\] ok=(\d+) fail=(\d+)", said)]


@proves(
    "wyoming",
    "wyoming-bench (Python) 2026.10",
    "describe",
    "synthesize",
    "synthesize, streamed",
    "transcribe",
    "transcribe, streamed",
)
async def test_wyoming_bench_measures_both_modes_of_both_kinds(wyoming_bench, corpus):
    async with listening() as port:
        found = await wyoming_bench.run("wyoming_benchmark.py", f"127.0.0.1:{port}", str(corpus), "parley")

    assert {name: each["status"] for name, each in found.items()} == {"info": 0, "tts": 0, "stt": 0}, found
    assert "asr  parley (transcript streaming)" in found["info"]["said"]
    assert "tts  parley (synthesize streaming)" in found["info"]["said"]
    assert outcomes(found["tts"]["said"]) == outcomes(found["stt"]["said"]) == BOTH
    assert found["stt"]["said"].count("WER=0.0%") >= 2
    assert len(re.findall(r"bytes=[1-9]\d*", found["tts"]["said"])) == 2


@asynccontextmanager
async def proxy(environment: ClientEnvironment, address: str) -> AsyncIterator[str]:
    """The address of wyoming-openai in front of this server."""
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{free.getsockname()[1]}"
    api = f"http://{address}/v1"
    options = {
        "--uri": ["tcp://" + where],
        "--languages": ["en"],
        "--stt-openai-url": [api],
        "--stt-openai-key": ["any"],
        "--stt-backend": ["OPENAI"],
        "--stt-models": ["whisper-1"],
        "--stt-streaming-models": ["gpt-4o-transcribe"],
        "--stt-realtime-models": ["gpt-4o-mini-transcribe"],
        "--tts-openai-url": [api],
        "--tts-openai-key": ["any"],
        "--tts-backend": ["OPENAI"],
        "--tts-models": ["tts-1"],
        "--tts-voices": ["alloy"],
    }
    words = [word for name, values in options.items() for word in (name, *values)]
    command = [*environment.command, "-m", "wyoming_openai", *words]
    async with await anyio.open_process(command, cwd=environment.folder, stderr=None, stdout=None) as process:
        try:
            await _listens(process, where)
            yield where
        finally:
            process.terminate()


async def _listens(process: anyio.abc.Process, where: str) -> None:
    """Return once something accepts connections there."""
    host, port = where.split(":")
    with anyio.fail_after(60):
        while True:
            assert process.returncode is None, "wyoming-openai has ended"
            try:
                async with await anyio.connect_tcp(host, int(port)):
                    return
            except OSError:
                await anyio.sleep(0.1)


@proves(
    "openai",
    "wyoming-openai (Python) 0.8",
    "transcription: json",
    "transcription: stream=true",
    "speech: wav",
)
@proves("openai-realtime", "wyoming-openai (Python) 0.8", "transcription session", "turns by commit")
@pytest.mark.slow
async def test_home_assistants_proxy_of_openai_transcribes_in_three_ways_and_speaks(
    wyoming_bench, wyoming_openai, corpus
):
    """Files, streamed files, Realtime and speech, over a program that nobody here wrote."""
    service = service_with(ScriptedGenerator(), ScriptedSynthesizer())
    async with served(service) as address, proxy(wyoming_openai, address) as where:
        found = await wyoming_bench.run("wyoming_benchmark.py", where, str(corpus), "all", timeout_s=120)

    assert {name: each["status"] for name, each in found.items()} == {"info": 0, "tts": 0, "stt": 0}, found
    assert set(re.findall(r"asr +(\S+)", found["info"]["said"])) == ASR
    assert outcomes(found["stt"]["said"]) == TRANSCRIBED, found["stt"]["said"]
    assert re.findall(r" one .* WER=([\d.]+%)", found["stt"]["said"]) == ["0.0%"] * len(TRANSCRIBED), found["stt"][
        "said"
    ]
    assert all((ok, fail) == (1, 0) for _, ok, fail in outcomes(found["tts"]["said"])), found["tts"]["said"]
    assert re.findall(r"bytes=(\d+)", found["tts"]["said"]), found["tts"]["said"]
