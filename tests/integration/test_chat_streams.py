"""Chat replies from servers that copy OpenAI's stream with differences of their own."""

import json
from contextlib import aclosing

import pytest

from app.domain.dialog.conversation import Message, Role
from app.domain.errors import AnswerWithheld, ParleyError, ProviderDown, ProviderMisbehaved
from app.domain.spending import TokenUsage
from providers.openai.chat import open_chat
from tests.emulators.openai import Script, chunk, serve_openai

pytestmark = pytest.mark.anyio

DONE = "data: [DONE]\n\n"


async def reply(stream: str) -> str:
    """The reply to a server that answers with this stream."""
    with serve_openai() as server:
        server.script = Script(raw=stream)
        async with (
            open_chat(provider_name="vllm", base_url=server.base_url, api_key="", model="small") as engine,
            aclosing(engine.reply((Message(Role.USER, "When?"),))) as deltas,
        ):
            return "".join([delta async for delta in deltas])


def usage_chunk(prompt: int, generated: int) -> str:
    usage = {"prompt_tokens": prompt, "completion_tokens": generated}
    return f"data: {json.dumps({'choices': [], 'usage': usage})}\n\n"


def choice(**fields: object) -> str:
    return f"data: {json.dumps({'choices': [fields]})}\n\n"


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(chunk({"content": "At "}) + "data:\n\n" + chunk({"content": "noon."}) + DONE, id="empty data"),
        pytest.param(chunk({"content": "At "}) + "event: ping\n\n" + chunk({"content": "noon."}, "stop"), id="ping"),
        pytest.param("retry: 3000\n\n: hello\n\n" + chunk({"content": "At noon."}, "stop") + DONE, id="retry, comment"),
        pytest.param(chunk({"content": "At noon."}) + choice(delta=None, finish_reason="stop") + DONE, id="null delta"),
        pytest.param(choice(delta=None) + choice(index=0) + chunk({"content": "At noon."}, "stop"), id="no delta"),
        pytest.param(
            chunk({"content": [{"type": "text", "text": "At "}, {"type": "text", "text": "noon."}]}, "stop"), id="parts"
        ),
        pytest.param(chunk({"content": "At noon."}) + DONE, id="no finish reason"),
        pytest.param(chunk({"content": "At noon."}, "") + DONE, id="empty finish reason"),
        pytest.param(chunk({"content": "At noon."}) + DONE.rstrip(), id="no blank line at the end"),
        pytest.param(chunk({"content": "At noon."}) + usage_chunk(5, 2), id="usage alone"),
        pytest.param(chunk({"content": "At noon."}) + usage_chunk(5, 2) + DONE, id="usage, DONE"),
        pytest.param(
            chunk({"content": "At "}) + usage_chunk(5, 1) + chunk({"content": "noon."}, "stop"),
            id="usage in the middle",
        ),
        pytest.param(chunk({"content": "At noon."}, "stop"), id="closed behind the finish reason"),
        pytest.param(
            'data: {"choices": []}\n\n' + chunk({"content": "At noon."}, "stop") + 'data: {"choices": []}\n\n',
            id="no choices",
        ),
        pytest.param(
            chunk({"content": "At "}) + 'data: {"choices": null}\n\n' + chunk({"content": "noon."}) + DONE,
            id="null choices",
        ),
        pytest.param("event: message\nid: 7\n" + chunk({"content": "At noon."}) + "id: 8\n" + DONE, id="event, id"),
        pytest.param((chunk({"content": "At noon."}, "stop") + ": ping\n\n" + DONE).replace("\n", "\r\n"), id="CRLF"),
        pytest.param((chunk({"content": "At noon."}, "stop") + DONE).replace("\n", "\r"), id="CR"),
        pytest.param(
            chunk({"reasoning_content": "Hm."}) + chunk({"reasoning": "Hm."}) + chunk({"content": "At noon."}) + DONE,
            id="reasoning",
        ),
        pytest.param(
            chunk({"role": "assistant", "content": "", "reasoning_content": None})
            + chunk({"content": "At noon."}, "stop"),
            id="null reasoning",
        ),
        pytest.param(chunk({"content": "At\0 "}) + chunk({"content": "noon.\0"}, "stop"), id="NUL"),
        pytest.param("\ufeff" + chunk({"content": "At noon."}, "stop"), id="byte order mark"),
        pytest.param(chunk({"content": "At noon."}, "stop") + "data: {garbage\n\n", id="garbage behind the end"),
    ],
)
async def test_a_stream_with_differences_is_a_complete_reply(stream):
    """No event of these is an answer that was broken off."""
    assert await reply(stream) == "At noon."


async def test_half_of_a_surrogate_pair_is_a_question_mark():
    """No client could be sent it: UTF-8 has none. A whole pair is the character that it names."""
    pair = 'data: {"choices": [{"delta": {"content": "\\ud83d\\ude00 "}}]}\n\n'

    assert await reply(pair + chunk({"content": "At noon \ud83d."}, "stop")) == "\N{GRINNING FACE} At noon ?."


@pytest.mark.parametrize(
    ("stream", "kind", "sentence"),
    [
        (
            chunk({"reasoning": "Hm."}) + chunk({}, "length") + DONE,
            ProviderMisbehaved,
            "used all its tokens for thinking",
        ),
        (chunk({"reasoning_content": "Hm."}) + DONE, ProviderMisbehaved, "used all its tokens for thinking"),
        (chunk({"refusal": "I would rather not."}, "stop") + DONE, AnswerWithheld, "held back its answer"),
        (chunk({"content": "At"}, "content_filter") + DONE, AnswerWithheld, "held back its answer"),
        (chunk({}, "stop") + DONE, ProviderMisbehaved, "answered with nothing"),
        (chunk({"content": "At"}), ProviderDown, "broke off its answer"),
        (chunk({"content": "At"}) + 'data: {"choi', ProviderDown, "broke off its answer"),
        (usage_chunk(5, 0) + chunk({"content": "At"}), ProviderDown, "broke off its answer"),
        (chunk({"content": "At"}) + usage_chunk(5, 1) + chunk({"content": "no"}), ProviderDown, "broke off its answer"),
        (": ping\n\nevent: ping\n\n", ProviderDown, "broke off its answer"),
        ("\n\n", ProviderDown, "broke off its answer"),
        ("<html>sign in</html>", ProviderMisbehaved, "no answer"),
        (
            chunk({"content": "At"}) + 'event: error\ndata: {"error": {"message": "x"}}\n\n',
            ProviderMisbehaved,
            "no answer",
        ),
    ],
)
async def test_a_stream_without_a_complete_reply_names_the_reason(stream, kind, sentence):
    """Thinking that used up the tokens, a refusal, nothing at all, and a stream that stops."""
    with pytest.raises(ParleyError, match=sentence) as raised:
        await reply(stream)

    assert type(raised.value) is kind


async def usage_of(script: Script, *, include_usage: bool) -> tuple[list[TokenUsage], dict]:
    """What a reply reported, and the request it was made with."""
    usage: list[TokenUsage] = []
    with serve_openai() as server:
        server.script = script
        async with (
            open_chat(
                provider_name="openai",
                base_url=server.base_url,
                api_key="",
                model="small",
                include_usage=include_usage,
            ) as engine,
            aclosing(engine.reply((Message(Role.USER, "When?"),), report_usage=usage.append)) as deltas,
        ):
            assert [delta async for delta in deltas]
        return usage, server.requests[-1]


async def test_usage_is_reported_as_the_server_counts_it():
    """It comes behind the end of the answer, in a chunk without a choice."""
    usage, request = await usage_of(Script(usage=(17, 4)), include_usage=True)

    assert usage == [TokenUsage(17, 4)]
    assert request["stream_options"] == {"include_usage": True}


async def test_usage_is_not_asked_for_where_nothing_costs_money():
    """A server that knows no such option is not sent it."""
    usage, request = await usage_of(Script(usage=(17, 4)), include_usage=False)

    assert [counted.is_estimate for counted in usage] == [True]
    assert "stream_options" not in request


@pytest.mark.parametrize(
    "counts",
    ["null", "{}", '{"prompt_tokens": -1, "completion_tokens": 2}', '{"prompt_tokens": "7", "completion_tokens": 2}'],
)
async def test_usage_that_makes_no_sense_is_estimated(counts):
    """The reply is complete all the same."""
    stream = chunk({"content": "At noon."}, "stop") + f'data: {{"choices": [], "usage": {counts}}}\n\n' + DONE

    usage, _ = await usage_of(Script(raw=stream), include_usage=True)

    assert usage == [TokenUsage(2, 2, is_estimate=True)]


@pytest.mark.parametrize(
    ("script", "usage"),
    [
        (Script(status=500), []),
        (Script(deltas=("Hi",), cuts_after=0), [TokenUsage(2, 0, is_estimate=True)]),
        (Script(deltas=("At noon.", "no"), cuts_after=1), [TokenUsage(2, 2, is_estimate=True)]),
        (Script(raw=chunk({"reasoning": "Hm, when?"}) + chunk({}, "length")), [TokenUsage(2, 3, is_estimate=True)]),
        (Script(raw=chunk({"reasoning": "Hm."}, "length") + usage_chunk(9, 40)), [TokenUsage(9, 40)]),
    ],
)
async def test_usage_of_a_reply_that_fails_is_reported(script, usage):
    """What the server accepted is paid for, thinking included; what it refused is not."""
    reported: list[TokenUsage] = []
    with serve_openai(script=script) as server:
        async with open_chat(provider_name="vllm", base_url=server.base_url, api_key="", model="small") as engine:
            with pytest.raises(ParleyError):
                async with aclosing(
                    engine.reply((Message(Role.USER, "When?"),), report_usage=reported.append)
                ) as deltas:
                    async for _ in deltas:
                        pass

    assert reported == usage


async def test_usage_of_a_reply_that_is_left_early_is_an_estimate():
    """The user interrupted: what had come until then."""
    reported: list[TokenUsage] = []
    with serve_openai(script=Script(deltas=("At noon.",), stalls_after=1)) as server:
        async with (
            open_chat(provider_name="vllm", base_url=server.base_url, api_key="", model="small") as engine,
            aclosing(engine.reply((Message(Role.USER, "When?"),), report_usage=reported.append)) as deltas,
        ):
            await anext(deltas)

    assert reported == [TokenUsage(2, 2, is_estimate=True)]


async def test_the_messages_alternate_for_strict_chat_templates():
    """A server that refuses anything else would refuse the session for good."""
    with serve_openai() as server:
        history = (Message(Role.USER, "Hello?"), Message(Role.USER, "Anybody?"))
        async with (
            open_chat(provider_name="vllm", base_url=server.base_url, api_key="", model="small") as engine,
            aclosing(engine.reply(history)) as deltas,
        ):
            assert [delta async for delta in deltas]

        assert server.requests[-1]["messages"] == [{"role": "user", "content": "Hello?\nAnybody?"}]
