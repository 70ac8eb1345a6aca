"""A reply whose model may call tools: the calls are performed, and the model goes on with their results."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

import anyio

from app.domain.dialog.conversation import Message, Role
from app.domain.errors import ProviderMisbehaved
from app.domain.ports import ReplyGenerator, ToolCalling
from app.domain.spending import TokenUsage
from app.domain.tools import MAX_CALLS, TOO_MANY_CALLS, Tool, ToolCall, readable
from app.runtime.routing.reply_failover import ReplyPool
from app.runtime.supervision import report_defect
from app.runtime.tools.http_tools import HttpTools


@dataclass(frozen=True, slots=True)
class ToolReplies:
    """A ReplyGenerator over one whose model asks for calls: those without results are performed here.

    Where the client performs one of them, the reply ends with it; the client asks for another when it has the result.
    """

    asking: ReplyGenerator
    """Its model may call the tools."""
    closing: ReplyGenerator
    """Its model knows the tools' results, and is to answer in text."""
    tools: Mapping[str, Tool]
    http: HttpTools
    max_rounds: int

    async def reply(self, conversation: Sequence[Message]) -> AsyncGenerator[str | ToolCall, None]:
        """Texts of all rounds, and each call twice: without its result when it begins, and with it.

        Raises a ProviderError, also where the model asks for calls and never gives a text.
        """
        has_text = False
        for number in range(self.max_rounds + 1):
            is_last = number == self.max_rounds
            generator = self.closing if is_last else self.asking
            text, calls = "", list[ToolCall]()
            async with aclosing(generator.reply(conversation)) as parts:
                async for part in parts:
                    if isinstance(part, ToolCall):
                        calls.append(part)
                        continue
                    if has_text and not text and not part[:1].isspace():
                        yield " "  # between what was said before the calls and after them
                    text += part
                    yield part
            has_text = has_text or bool(text.strip())
            if not calls or is_last:
                break
            of_client = [replace(call, by_client=True) for call in calls if self._is_clients(call)]
            calls = [call for call in calls if not self._is_clients(call)]
            for call in (*calls, *of_client):
                yield call
            finished = await self._performed(calls)
            for call in finished:
                yield call
            if of_client:
                return
            shown = tuple(readable(call) for call in finished)
            conversation = (*conversation, Message(Role.ASSISTANT, text, tool_calls=shown))
        if not has_text:
            raise ProviderMisbehaved("replies", "the model asked for tools, and gave no answer")

    def _is_clients(self, call: ToolCall) -> bool:
        tool = self.tools.get(call.tool)
        return tool is not None and not tool.url

    async def _performed(self, calls: Sequence[ToolCall]) -> Sequence[ToolCall]:
        """The calls with their results, in their order; all are performed at once."""
        results = [TOO_MANY_CALLS] * len(calls)

        async def perform(at: int, call: ToolCall) -> None:
            results[at] = await self._result(call)

        async with anyio.create_task_group() as tasks:
            for at, call in enumerate(calls[:MAX_CALLS]):
                tasks.start_soon(perform, at, call)
        return [replace(call, result=result) for call, result in zip(calls, results, strict=True)]

    async def _result(self, call: ToolCall) -> str:
        tool = self.tools.get(call.tool)
        if tool is None:
            return f"error: there is no tool {call.tool[:64]!r}"
        try:
            return await self.http.call(tool, call)
        except Exception as error:  # noqa: BLE001 because a defect of one tool must not end the reply
            report_defect("tool", error, tool=tool.name)
            return "error: the tool failed"


@dataclass(frozen=True, slots=True)
class ToolOffer:
    """A UsageReporting engine: another one, whose model is offered these tools."""

    engine: ToolCalling
    tools: Sequence[Tool]
    may_call: bool = True

    def reply(
        self, conversation: Sequence[Message], *, report_usage: Callable[[TokenUsage], None]
    ) -> AsyncGenerator[str | ToolCall, None]:
        return self.engine.reply_with_tools(conversation, self.tools, may_call=self.may_call, report_usage=report_usage)


def offering(pool: ReplyPool, tools: Sequence[Tool], *, may_call: bool) -> ReplyPool:
    """The pool whose models are offered these tools, where they can call any."""
    engines = [
        replace(each, generator=ToolOffer(each.generator, tools, may_call=may_call))
        if isinstance(each.generator, ToolCalling)
        else each
        for each in pool.engines
    ]
    return replace(pool, engines=engines)
