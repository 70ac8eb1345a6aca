"""Calls of tools in OpenAI's chat protocol: what is sent, and how a stream's calls are read."""

from contextlib import aclosing

import pytest

from app.domain.dialog.conversation import Message, Role
from app.domain.errors import AnswerWithheld, ProviderMisbehaved
from app.domain.spending import TokenUsage
from app.domain.tools import Tool, ToolCall
from providers.openai.chat import open_chat
from providers.openai.tools import MAX_ARGUMENTS
from tests.emulators.openai import Script, chunk, serve_openai

pytestmark = pytest.mark.anyio

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = Tool("weather", "The weather in a city.", "https://weather.example", parameters=SCHEMA)
QUESTION = (Message(Role.USER, "Weather?"),)


async def answer(script: Script, conversation=QUESTION, **options):
    """The parts of the answer, the request, and the usage."""
    usage = list[TokenUsage]()
    with serve_openai(script=script) as server:
        async with (
            open_chat(
                provider_name="ollama", base_url=server.base_url, api_key="", model="small", include_usage=True
            ) as engine,
            aclosing(
                engine.reply_with_tools(
                    conversation, [WEATHER], **{"may_call": True, **options}, report_usage=usage.append
                )
            ) as parts,
        ):
            return [part async for part in parts if part], server.requests[0], usage


def piece(index: int | None = None, call_id: str = "", name: str | None = None, arguments: object = None) -> dict:
    function = {key: value for key, value in {"name": name, "arguments": arguments}.items() if value is not None}
    fields = {"index": index, "id": call_id or None, "type": "function", "function": function}
    return {key: value for key, value in fields.items() if value is not None}


CALLS = [
    pytest.param(
        (
            (piece(0, "c1", "weather", ""),),
            (piece(0, arguments='{"ci'),),
            (piece(0, arguments='ty": "Bonn"}'),),
        ),
        [ToolCall("c1", "weather", '{"city": "Bonn"}')],
        id="split arguments",
    ),
    pytest.param(
        (
            (piece(0, "c1", "weather", '{"city"'),),
            (piece(1, "c2", "weather", '{"city": "Köln"}'),),
            (piece(0, arguments=': "Bonn"}'),),
        ),
        [ToolCall("c1", "weather", '{"city": "Bonn"}'), ToolCall("c2", "weather", '{"city": "Köln"}')],
        id="two calls, interleaved",
    ),
    pytest.param(
        ((piece(0, "c1", "weather", "{}"), piece(0, "c2", "clock", "{}")),),
        [ToolCall("c1", "weather", "{}"), ToolCall("c2", "clock", "{}")],
        id="every index is 0, as older Ollamas write",
    ),
    pytest.param(
        ((piece(name="weather", arguments={"city": "Bonn"}), piece(name="clock")),),
        [ToolCall("call_0", "weather", '{"city": "Bonn"}'), ToolCall("call_1", "clock", "")],
        id="neither index nor id, arguments as an object",
    ),
    pytest.param(
        ((piece(0, "c1", "weather", '{"city": "Bo'),),),
        [ToolCall("c1", "weather", '{"city": "Bo')],
        id="garbage arguments",
    ),
    pytest.param(
        ((piece(0, "c1", "weather", "{"),), (piece(0, "c1", "weather", "}"),)),
        [ToolCall("c1", "weather", "{}")],
        id="the id in every piece",
    ),
]


@pytest.mark.parametrize(("pieces", "calls"), CALLS)
async def test_calls_are_read_from_their_pieces(pieces, calls):
    """However a server splits them."""
    parts, _, _ = await answer(Script(tool_calls=pieces))

    assert parts == calls


async def test_text_before_a_call_is_streamed():
    """The usage is that of the whole answer."""
    parts, _, usage = await answer(
        Script(("Let me ", "see."), tool_calls=((piece(0, "c1", "weather", "{}"),),), usage=(20, 9))
    )

    assert parts == ["Let me ", "see.", ToolCall("c1", "weather", "{}")]
    assert usage == [TokenUsage(20, 9)]


async def test_the_tools_are_defined_in_the_request():
    """And may be forbidden."""
    _, request, _ = await answer(Script(("Hi.",)))
    _, closing, _ = await answer(Script(("Hi.",)), may_call=False)

    function = {"name": "weather", "description": "The weather in a city.", "parameters": SCHEMA}
    assert request["tools"] == closing["tools"] == [{"type": "function", "function": function}]
    assert "tool_choice" not in request
    assert closing["tool_choice"] == "none"


HISTORY = (
    Message(Role.SYSTEM, "Be brief."),
    *QUESTION,
    Message(Role.ASSISTANT, "", tool_calls=(ToolCall("c1", "weather", '{"city": "Bonn"}', "Rain."),)),
    Message(Role.ASSISTANT, "It rains."),
    Message(Role.USER, "And now?"),
)


async def test_calls_of_earlier_turns_stand_in_the_prompt():
    """Each with its result, in front of the reply."""
    _, request, _ = await answer(Script(("Sun.",)), HISTORY)

    asked = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bonn"}'}}
    assert request["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [asked]},
        {"role": "tool", "tool_call_id": "c1", "content": "Rain."},
        {"role": "assistant", "content": "It rains."},
        {"role": "user", "content": "And now?"},
    ]


async def test_without_tools_calls_of_earlier_turns_are_left_out():
    """Servers refuse results of tools that the request does not define."""
    with serve_openai(script=Script(("Sun.",))) as server:
        async with (
            open_chat(provider_name="ollama", base_url=server.base_url, api_key="", model="small") as engine,
            aclosing(engine.reply(HISTORY)) as deltas,
        ):
            text = "".join([delta async for delta in deltas])

    assert text == "Sun."
    assert [message["role"] for message in server.requests[0]["messages"]] == ["system", "user", "assistant", "user"]
    assert "tools" not in server.requests[0]


async def test_arguments_without_end_are_an_error():
    """A server that never stops is left."""
    pieces = tuple((piece(0, "c1", "weather", "x" * 10_000),) for _ in range(MAX_ARGUMENTS // 10_000 + 1))

    with pytest.raises(ProviderMisbehaved, match="arguments without end"):
        await answer(Script(tool_calls=pieces))


async def test_a_call_that_a_filter_cut_is_not_performed():
    """It is an answer that was held back."""
    stream = chunk({"tool_calls": [piece(0, "c1", "weather", "{")]}) + chunk({}, "content_filter")

    with pytest.raises(AnswerWithheld):
        await answer(Script(raw=stream))


async def test_an_answer_with_neither_text_nor_calls_is_an_error():
    """As without tools."""
    with pytest.raises(ProviderMisbehaved, match="answered with nothing"):
        await answer(Script(raw=chunk({"role": "assistant"}) + chunk({}, "stop")))
