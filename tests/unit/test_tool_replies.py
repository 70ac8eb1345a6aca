"""A reply with calls of tools: what the model sees in each round, what is passed on, where it ends."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import anyio
import pytest

from app.domain.dialog.conversation import Message, Role
from app.domain.errors import ProviderDown, ProviderMisbehaved
from app.domain.tools import MAX_CALLS, Tool, ToolCall
from app.runtime.supervision import defects
from app.runtime.tools.tool_replies import ToolReplies

pytestmark = pytest.mark.anyio

QUESTION = (Message(Role.USER, "Which weather?"),)
TOOLS = {name: Tool(name, name, f"https://{name}.example") for name in ("weather", "clock")}


@dataclass
class ScriptedRounds:
    """Gives the parts of one round after the other; an exception among them is raised."""

    rounds: Sequence[Sequence[str | ToolCall | Exception]]
    asked: list[Sequence[Message]] = field(default_factory=list)

    async def reply(self, conversation: Sequence[Message]) -> AsyncGenerator[str | ToolCall, None]:
        self.asked.append(conversation)
        for part in self.rounds[len(self.asked) - 1]:
            await anyio.lowlevel.checkpoint()
            if isinstance(part, Exception):
                raise part
            yield part


@dataclass
class ScriptedTools:
    """Answers with the tool's name; both calls of a pair must be under way before either is answered."""

    pairs: bool = False
    defect: Exception | None = None
    calls: list[ToolCall] = field(default_factory=list)
    both: anyio.Event = field(default_factory=anyio.Event)

    async def call(self, tool: Tool, call: ToolCall) -> str:
        self.calls.append(call)
        if self.defect:
            raise self.defect
        if self.pairs:
            if len(self.calls) == 2:
                self.both.set()
            await self.both.wait()
        return f"{tool.name} says yes"


def call(number: int, tool: str = "weather", arguments: str = "{}", result: str | None = None) -> ToolCall:
    return ToolCall(str(number), tool, arguments, result)


async def parts(asking, closing=(("Enough.",),), tools=None, max_rounds=2):
    """The parts of the reply, and the two generators."""
    asking, closing = ScriptedRounds(asking), ScriptedRounds(closing)
    replies = ToolReplies(asking, closing, TOOLS, tools or ScriptedTools(), max_rounds)
    async with aclosing(replies.reply(QUESTION)) as generated:
        return [part async for part in generated], asking, closing


async def test_a_reply_without_calls_passes_through():
    """And the model is asked once."""
    passed, asking, closing = await parts([["It is ", "sunny."]])

    assert passed == ["It is ", "sunny."]
    assert (asking.asked, closing.asked) == ([QUESTION], [])


async def test_the_model_goes_on_with_the_result_of_its_call():
    """The call is passed on when it begins and when it is over; the texts do not touch each other."""
    passed, asking, _ = await parts([["Let me see.", call(1)], ["It is ", "sunny."]])

    done = call(1, result="weather says yes")
    assert passed == ["Let me see.", call(1), done, " ", "It is ", "sunny."]
    assert asking.asked[1] == (*QUESTION, Message(Role.ASSISTANT, "Let me see.", tool_calls=(done,)))


async def test_two_calls_of_one_answer_are_performed_at_once():
    """Their results come in the order of the calls."""
    tools = ScriptedTools(pairs=True)

    with anyio.fail_after(5):
        passed, _, _ = await parts([[call(1), call(2, "clock")], ["Done."]], tools=tools)

    results = [part.result for part in passed if isinstance(part, ToolCall)]
    assert results == [None, None, "weather says yes", "clock says yes"]


async def test_after_the_last_round_the_model_is_asked_for_text_alone():
    """It knows the results of all calls; a call that it asks for all the same is not performed."""
    tools = ScriptedTools()

    passed, asking, closing = await parts([[call(1)], [call(2)]], [["Enough.", call(3)]], tools)

    assert [part for part in passed if isinstance(part, str)] == ["Enough."]
    assert [each.id for each in tools.calls] == ["1", "2"]
    assert len(asking.asked) == 2
    assert [len(message.tool_calls) for message in closing.asked[0]] == [0, 1, 1]


async def test_a_model_that_never_answers_in_text_is_an_error():
    """The reply fails, as one that is empty."""
    with pytest.raises(ProviderMisbehaved, match="asked for tools, and gave no answer"):
        await parts([[call(1)], [call(2)]], [[call(3)]])


async def test_an_unknown_tool_is_told_to_the_model():
    """A model may invent one."""
    passed, asking, _ = await parts([[call(1, "teleport")], ["I cannot."]])

    assert passed[1].result == "error: there is no tool 'teleport'"
    assert asking.asked[1][-1].tool_calls[0].result == passed[1].result


async def test_calls_beyond_the_limit_are_not_performed():
    """The model is told so."""
    tools = ScriptedTools()

    passed, _, _ = await parts([[call(n) for n in range(MAX_CALLS + 2)], ["Done."]], tools=tools)

    results = [part.result for part in passed if isinstance(part, ToolCall) and part.result]
    assert len(tools.calls) == MAX_CALLS
    assert results[MAX_CALLS:] == [f"error: more than {MAX_CALLS} calls at once"] * 2


async def test_garbage_arguments_are_not_shown_to_the_model_again():
    """Some servers refuse a prompt with them."""
    _, asking, _ = await parts([[call(1, arguments='{"city": ')], ["Sorry."]])

    assert asking.asked[1][-1].tool_calls[0].arguments == "{}"


async def test_a_defect_of_a_tool_is_told_to_the_model_and_reported():
    """The reply goes on."""
    before = defects["tool"]

    passed, _, _ = await parts([[call(1)], ["Sorry."]], tools=ScriptedTools(defect=KeyError("a defect")))

    assert passed[1].result == "error: the tool failed"
    assert defects["tool"] == before + 1


async def test_an_engine_that_fails_in_a_later_round_fails_the_reply():
    """What was said stays said."""
    with pytest.raises(ProviderDown):
        await parts([["One moment.", call(1)], [ProviderDown("openai", "gone")]])
