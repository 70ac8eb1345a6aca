"""`parley mcp`: the official client, in process, over standard input and output and over HTTP, at a real server."""

import base64
import os
import re
import signal
import sys
from contextlib import asynccontextmanager
from io import BytesIO

import anyio
import httpx2
import pytest
from mcp import Client, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from app.cli.mcp_tools import MAX_FILE_BYTES, ParleyTools
from app.media.decode import decode
from tests.clips import HANDS
from tests.fakes import SILENCE, SPEECH
from tests.integration.conversation_service import bearer, conversation_server
from tests.proven_features import proves
from tests.serving import stored_manifest
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio
WITHHELD = re.compile("no such recording|no conversation|there is no")
EVERYWHERE = {"list_recordings", "read_recording", "list_conversations", "read_conversation", "speak"}


@pytest.fixture
async def parley(tmp_path):
    async with conversation_server(f"sqlite+aiosqlite:///{tmp_path}/parley.db") as running:
        yield running


@asynccontextmanager
async def agent(parley, key="acme-key", folder=None):
    """The official client of the tools with this key."""
    async with Client(ParleyTools(f"http://{parley.address}", key, folder).server("1")) as client:
        yield client


async def call(client: Client, tool: str, **arguments):
    """What the tool answers: its object, or its text. An error is raised as AssertionError with its words."""
    answer = await client.call_tool(tool, arguments)
    text = answer.content[0].text if answer.content else ""
    assert not answer.is_error, text
    if answer.structured_content is None:
        return text
    content = answer.structured_content
    return content["result"] if set(content) == {"result"} else content


async def recorded(parley) -> str:
    """The id of a recording of acme with words in it."""
    async with open_session(f"ws://{parley.address}/ws/transcribe", key="acme-key") as session:
        await session.send_audio(SPEECH * 20 + SILENCE * 60, pace=0)
        assert await session.wait_until(lambda s: s.messages("server_response"), timeout_s=5)
        recording = session.messages("session")[0].message["id"]
    await stored_manifest(parley.service, recording)
    return recording


@proves("mcp", "mcp (Python) 2.3", "list_recordings, read_recording")
async def test_an_agent_finds_a_recording_by_its_words_and_reads_it(parley):
    recording = await recorded(parley)

    async with agent(parley) as client:
        found = await call(client, "list_recordings", text="hello")
        read = await call(client, "read_recording", id=found["recordings"][0]["id"])
        other = await call(client, "list_recordings", text="nobodysaidthis")

    assert [each["id"] for each in found["recordings"]] == [recording]
    assert read["id"] == recording
    assert [final["text"] for final in read["finals"]] == ["hello"]
    assert 0 <= read["finals"][0]["start"] < read["finals"][0]["end"]
    assert other["recordings"] == []


@proves("mcp", "mcp (Python) 2.3", "list_conversations, read_conversation")
async def test_an_agent_finds_a_conversation_and_reads_it_page_by_page(parley):
    first, second = await parley.begin(title="Doors"), await parley.begin(title="Windows")
    for conversation in (first, second):
        await parley.say(conversation, "the gate is green")

    async with agent(parley) as client:
        page = await call(client, "list_conversations", text="green", limit=1)
        rest = await call(client, "list_conversations", text="green", limit=1, before=page["next"])
        markdown = await call(client, "read_conversation", id=first)

    assert {page["conversations"][0]["id"], rest["conversations"][0]["id"]} == {first, second}
    assert "Doors" in markdown
    assert "the gate is green" in markdown


async def test_an_agent_with_another_key_reaches_nothing_of_it(parley):
    recording, conversation = await recorded(parley), await parley.begin()

    async with agent(parley, "globex-key") as client:
        assert (await call(client, "list_recordings"))["recordings"] == []
        with pytest.raises(AssertionError, match=WITHHELD):
            await call(client, "read_recording", id=recording)
        with pytest.raises(AssertionError, match=WITHHELD):
            await call(client, "read_conversation", id=conversation)


@proves("mcp", "mcp (Python) 2.3", "transcribe")
async def test_a_file_of_the_folder_is_transcribed_and_nothing_of_it_is_kept(parley, tmp_path):
    (tmp_path / "hands.flac").write_bytes(HANDS.path.read_bytes())

    async with agent(parley, folder=tmp_path) as client:
        answer = await call(client, "transcribe", file="hands.flac", language="en")
        listed = await call(client, "list_recordings")

    assert "hello" in answer["text"]
    assert answer["language"] == "english"
    assert answer["segments"][0].keys() == {"start", "end", "text"}
    assert listed["recordings"] == []


@proves("mcp", "mcp (Python) 2.3", "speak")
@pytest.mark.parametrize("form", ["mp3", "wav", "flac", "opus"])
async def test_a_text_is_spoken_and_the_answer_is_audio(parley, form):
    async with agent(parley) as client:
        spoken = await client.call_tool("speak", {"text": "The gate is green.", "format": form})

    (audio,) = spoken.content
    assert not spoken.is_error, audio
    assert audio.mime_type.startswith("audio/")
    assert sum(len(pcm) for pcm in decode(BytesIO(base64.b64decode(audio.data)))) > 1000


@pytest.mark.parametrize("name", ["", ".", "../secret.wav", "/etc/passwd", "link.wav", "absent.wav", "inner", "\0"])
async def test_only_files_inside_the_folder_are_read(parley, tmp_path, name):
    folder = tmp_path / "sounds"
    (folder / "inner").mkdir(parents=True)
    (tmp_path / "secret.wav").write_bytes(b"x")
    (folder / "link.wav").symlink_to(tmp_path / "secret.wav")

    async with agent(parley, folder=folder) as client:
        with pytest.raises(AssertionError, match="there is no file"):
            await call(client, "transcribe", file=name)


async def test_a_file_that_is_too_large_is_refused_before_it_is_read(parley, tmp_path):
    with (tmp_path / "long.wav").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)

    async with agent(parley, folder=tmp_path) as client:
        with pytest.raises(AssertionError, match="25 MB"):
            await call(client, "transcribe", file="long.wav")


@pytest.mark.parametrize("identifier", ["../../keys", "a/b", "", "x" * 65])
async def test_an_identifier_is_no_path(parley, identifier):
    async with agent(parley, "ops-key") as client:
        with pytest.raises(AssertionError, match="pattern"):
            await call(client, "read_recording", id=identifier)


async def test_without_a_folder_there_is_no_tool_for_files(parley, tmp_path):
    async with agent(parley) as without, agent(parley, folder=tmp_path) as client:
        assert {tool.name for tool in (await without.list_tools()).tools} == EVERYWHERE
        assert {tool.name for tool in (await client.list_tools()).tools} == {*EVERYWHERE, "transcribe"}


@proves("mcp", "mcp (Python) 2.3", "errors of a tool")
async def test_a_server_that_is_down_and_a_wrong_key_are_said_in_a_sentence(parley):
    nowhere = ParleyTools("http://127.0.0.1:9").server("1")
    async with Client(nowhere) as client, agent(parley, "wrong") as stranger:
        with pytest.raises(AssertionError, match="is it running"):
            await call(client, "list_recordings")
        with pytest.raises(AssertionError, match="wants an API key"):
            await call(stranger, "list_recordings")


@proves("mcp", "mcp (Python) 2.3", "over standard input and output")
async def test_over_standard_input_and_output_the_command_serves_one_agent(parley):
    recording = await recorded(parley)
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "app", "mcp", "--url", f"http://{parley.address}"],
        env={**os.environ, "PARLEY_KEY": "acme-key"},
    )

    async with Client(stdio_client(command)) as client:
        found = await call(client, "list_recordings")

    assert [each["id"] for each in found["recordings"]] == [recording]


@proves("mcp", "mcp (Python) 2.3", "over streamable HTTP, each client with its key")
async def test_over_http_each_agent_has_its_own_key_and_none_is_lent(parley):
    """The command's own key in the environment serves nobody."""
    await recorded(parley)
    async with mcp_over_http(parley, PARLEY_KEY="acme-key") as url:
        own, other = await answer_over_http(url, "acme-key"), await answer_over_http(url, "globex-key")
        nobodys = await answer_over_http(url, None)

    assert len(own.structured_content["recordings"]) == 1
    assert other.structured_content["recordings"] == []
    assert nobodys.is_error
    assert "wants an API key" in nobodys.content[0].text


@asynccontextmanager
async def mcp_over_http(parley, **variables):
    """The address of `parley mcp --transport http`."""
    arguments = ["-m", "app", "mcp", "--transport", "http", "--port", "0", "--url", f"http://{parley.address}"]
    async with await anyio.open_process([sys.executable, *arguments], env={**os.environ, **variables}) as process:
        with anyio.fail_after(60):
            line = (await process.stderr.receive()).decode()
        found = re.search(r"http://\S+/mcp", line)
        assert found, line
        yield found[0]
        process.terminate()
        with anyio.fail_after(20):
            assert await process.wait() == -signal.SIGTERM  # as uvicorn ends, after a clean stop


async def answer_over_http(url: str, key: str | None):
    headers = bearer(key) if key else {}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=20) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        return await client.call_tool("list_recordings", {})
