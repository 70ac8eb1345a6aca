"""What is said in one voice session, for the conversation that it continues, or for one of its own."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import anyio

from app.data.conversation_log import (
    ConversationLog,
    Destination,
    QueuedCost,
    QueuedCut,
    QueuedEnd,
    QueuedMessage,
    QueuedSpeaker,
)
from app.domain.conversations.message import Conversation, MessageKind, StoredMessage, as_history
from app.domain.dialog import effects as do
from app.domain.dialog.conversation import ContinuedConversation, Message, Role
from app.domain.errors import ClientError, ConversationBusy, ParleyError, ProviderBusy
from app.domain.spending import TokenUsage
from app.domain.tenant import Tenant
from app.domain.tools import ToolCall
from app.runtime.conversations.chat import HISTORY_MESSAGES
from app.runtime.conversations.reply_run import ReplyBill
from app.runtime.ids import new_row_number
from app.runtime.profiles import ProfileCatalogue
from app.runtime.recording.recorder import Recorder

WAIT_FOR_REPLY_S = 30.0
"""Of a message in text that is being answered when a session continues its conversation."""
TAKE_OVER_AFTER_S = 1.0
"""So long a session waits for the last words of another one that speaks in its conversation, and may be over."""
WAIT_FOR_DATABASE_S = 3.0
"""Of an SQLite file that others write to all the time, and lock."""
LOOK_EVERY_S = 0.1
MAX_WAITING = 256
"""Records that wait while the conversation is loaded; further ones are missing."""


_SPEECH = (
    do.OpenUtterance,
    do.FeedUtterance,
    do.ShowFinal,
    do.RecordUserText,
    do.StartReply,
    do.StartSpeakingText,
    do.ShowReplyDelta,
    do.PlayAudio,
    do.ShowReply,
)
"""Effects by which something is said in a session."""

MAX_UNLABELLED = 8
"""The newest utterances whose speaker label may still come."""
MAX_REPLIES = 16
"""The newest replies whose cost is awaited: it comes when their engines have stopped."""


@dataclass(slots=True)
class _ReplyCost:
    bill: ReplyBill = field(default_factory=ReplyBill)
    message: int | None = None
    """The reply's, once it is kept."""


@dataclass(slots=True)
class SessionConversation:
    """A ConversationRecord. It keeps what the recorder keeps: nothing of a session that is not recorded.

    While the database is away, messages wait in the queue of the process; what does not fit into it is missing, and a
    message says so. The recording has it.
    """

    log: ConversationLog
    session: str
    tenant: Tenant
    recorder: Recorder
    now: Callable[[], str]
    """As messages have it."""
    see_tenant: str | None = None
    """Whose conversations it may continue; None: of any tenant."""
    see_person: str | None = None
    profiles: ProfileCatalogue = field(default_factory=ProfileCatalogue)
    """For the profile of the conversation that it continues."""
    profile: str = ""
    """The session's, which a conversation of its own keeps."""
    wait_for_reply_s: float = WAIT_FOR_REPLY_S
    _destination: Destination | None = None
    _turns_before: int = 0
    """What is added to the session's turns for those of the conversation."""
    _last_turn: int = 0
    """The newest turn of the session that has a message."""
    _known: int = 0
    """The number of the newest message of others that the session knows of."""
    _unlabelled: dict[int, int] = field(default_factory=dict)
    """By utterance, the newest messages, whose speaker labels may still come."""
    _waiting: list[StoredMessage | QueuedCut | QueuedSpeaker | QueuedCost] | None = None
    """While a conversation is loaded."""
    _missing: int = 0
    _reply: list[str] = field(default_factory=list)
    """Deltas of the reply that is being sent."""
    _tool_calls: tuple[ToolCall, ...] = ()
    """Called for the reply that is being sent."""
    _costs: dict[int, _ReplyCost] = field(default_factory=dict)
    """By the number of the reply."""
    _released: int = 0
    """The number of the reply that is being sent, or was last."""
    _replies: dict[int, int] = field(default_factory=dict)
    """By turn, the message of a reply that was sent whole."""

    async def resume(self, conversation: str) -> ContinuedConversation:
        """Raises ConversationNotFound, ConversationBusy or ProviderBusy; then the session has one of its own.

        While a message in text is answered there it waits for that reply, and a moment for the end of another session.
        """
        self._waiting = []
        try:
            found = await self.log.table.get(conversation, self.see_tenant, person=self.see_person)
            if self.recorder.enabled:
                await self._begin_in(conversation)
            messages = await self.log.table.messages(conversation, limit=HISTORY_MESSAGES)
            if messages:
                self._turns_before, self._known = messages[-1].turn, messages[-1].number
            self._destination = Destination(found, is_stored=True)
        except ParleyError:
            self.log.offer(QueuedEnd(self.session))  # because it may have begun there, and goes on elsewhere
            raise
        finally:
            self._keep_waiting()
        try:
            profile = self.profiles.find(found.profile, self.tenant) if found.profile else None
        except ClientError as problem:
            return ContinuedConversation(as_history(messages), problem=problem)
        return ContinuedConversation(as_history(messages), profile)

    @property
    def may_be_behind(self) -> bool:
        """Whether its conversation is stored, and another one may have written there since it was last silent."""
        stored = self._destination is not None and self._destination.is_stored and self._waiting is None
        return stored and self.recorder.enabled and self.log.may_be_lost(self.session)

    async def catch_up(self) -> tuple[Message, ...]:
        """Claim the conversation again after a pause: what others have said there meanwhile. Raises a ParleyError.

        What is said in the session until then waits, and follows it; also where the conversation stays another's.
        """
        if self._destination is None or not self.may_be_behind:
            return ()
        conversation, self._waiting = self._destination.conversation.id, []
        try:
            await self._begin_in(conversation)
            messages = await self.log.table.messages(conversation, limit=HISTORY_MESSAGES)
            others = [each for each in messages if each.number > self._known and each.session != self.session]
            if others:
                self._turns_before = max(messages[-1].turn - self._last_turn, self._turns_before)
                self._known = others[-1].number
            return as_history(others)
        finally:
            self._keep_waiting()

    def _keep_waiting(self) -> None:
        waiting, self._waiting = self._waiting, None
        for record in waiting or ():
            self._offer(record)

    async def _begin_in(self, conversation: str) -> None:
        """Raises ConversationBusy where the reply that is being generated takes too long, ProviderBusy."""
        began, table = anyio.current_time(), self.log.table
        self.log.speaks(self.session)
        while True:
            waited_s, now = anyio.current_time() - began, datetime.now(UTC)
            try:
                takes_over = waited_s >= TAKE_OVER_AFTER_S
                await table.begin_session(conversation, self.session, now=now, takes_over=takes_over)
            except (ConversationBusy, ProviderBusy) as busy:
                if waited_s >= (self.wait_for_reply_s if isinstance(busy, ConversationBusy) else WAIT_FOR_DATABASE_S):
                    raise
                await anyio.sleep(LOOK_EVERY_S)
            else:
                return

    def record_cost(self, reply: int, engine: str, usage: TokenUsage, usd: float) -> None:
        """Known by the end of a whole reply; of one that was cut soon after."""
        if (cost := self._costs.get(reply)) is None:
            return
        cost.bill.add(engine, usage, usd)
        if cost.message is not None:
            total = cost.bill.usage or usage
            self._offer(QueuedCost(cost.message, cost.bill.engine, cost.bill.usd, total.prompt, total.generated))

    def record(self, effect: do.Effect) -> None:
        if not self.recorder.enabled:
            return
        if isinstance(effect, _SPEECH) and self.session in self.log.sessions and not self.may_be_behind:
            self.log.speaks(self.session)
        match effect:
            case do.ShowFinal() if effect.hypothesis.text:
                message = self._utterance(effect)
                self._unlabelled[effect.utterance] = message.id
                self._unlabelled.pop(effect.utterance - MAX_UNLABELLED, None)
                self._offer(message)
            case do.ShowSpeaker(_, utterance, speaker) if utterance in self._unlabelled:
                self._offer(QueuedSpeaker(self._unlabelled.pop(utterance), speaker))
            case do.RecordProfile(profile):
                self.profile = profile
            case do.RecordUserText(turn, text):
                self._offer(self._message(Role.USER, text, turn, MessageKind.TEXT))
            case do.StartReply(number):
                self._costs[number] = _ReplyCost()
                self._costs.pop(number - MAX_REPLIES, None)
            case do.ReleaseReply(number):
                self._released = number
            case do.ShowReplyStart():
                self._reply, self._tool_calls = [], ()
            case do.RecordToolCall(_, call):
                self._tool_calls = (*self._tool_calls, call)
            case do.ShowReplyDelta(_, text):
                self._reply.append(text)
            case do.ShowReply(turn, text) if text or self._tool_calls:
                message = self._reply_message(turn, text)
                self._replies = {turn: message.id}
                self._offer(message)
            case do.ShowReplyCancelled(turn, reason, played) | do.RecordReplyCancelled(turn, reason, played):
                text, self._reply = "".join(self._reply).strip(), []
                if text or self._tool_calls:
                    self._offer(replace(self._reply_message(turn, text), played=played, cancelled=reason))
            case do.StopPlayback(turn, reason, played) if turn in self._replies:
                self._offer(QueuedCut(self._replies.pop(turn), played, reason))
            case _:
                pass

    def finish(self) -> None:
        """The session is over: what is missing behind its last message is marked, and its conversation is free."""
        if self._missing and self.recorder.enabled:
            self._offer(self._message(Role.SYSTEM, "", 0))
        if self.session in self.log.sessions:
            del self.log.sessions[self.session]
            self.log.offer(QueuedEnd(self.session))

    def _utterance(self, final: do.ShowFinal) -> StoredMessage:
        route = final.route
        return replace(
            self._message(Role.USER, final.hypothesis.text, final.turn),
            start=final.start,
            end=final.speech_end,
            words=final.hypothesis.words,
            language=final.hypothesis.language,
            speaker=final.speaker,
            engine=route.name if route else "",
            usd=(route.cost_usd or 0.0) if route else 0.0,
        )

    def _reply_message(self, turn: int, text: str) -> StoredMessage:
        message = replace(self._message(Role.ASSISTANT, text, turn), tool_calls=self._tool_calls)
        if (cost := self._costs.get(self._released)) is None:  # the client's own text was spoken
            return message
        cost.message, bill = message.id, cost.bill
        if bill.usage is None:
            return message
        prompt, generated = bill.usage.prompt, bill.usage.generated
        return replace(message, engine=bill.engine, usd=bill.usd, prompt_tokens=prompt, reply_tokens=generated)

    def _message(self, role: Role, text: str, turn: int, kind: MessageKind = MessageKind.VOICE) -> StoredMessage:
        return StoredMessage(new_row_number(), role, text, self.now(), turn=turn, kind=kind, session=self.session)

    def _offer(self, record: StoredMessage | QueuedCut | QueuedSpeaker | QueuedCost) -> None:
        """Behind what waits already; a cut, a label or a cost that does not fit is lost."""
        if self._waiting is not None and len(self._waiting) < MAX_WAITING:
            self._waiting.append(record)
        elif isinstance(record, StoredMessage):
            self._keep(record)
        elif self._waiting is None:
            self.log.offer(record)

    def _keep(self, message: StoredMessage) -> None:
        if self._waiting is not None:
            self._missing += 1
            return
        self._last_turn = max(self._last_turn, message.turn)
        turn = message.turn and message.turn + self._turns_before
        numbered = replace(message, turn=turn, missing=self._missing)
        if self.log.offer(QueuedMessage(self._own_or_continued(), numbered)):
            self._missing = 0
        else:
            self._missing += 1

    def _own_or_continued(self) -> Destination:
        """The session's own conversation has the session's id."""
        if self._destination is None:
            at, person = self.now(), self.recorder.opened.person or ""
            own = Conversation(self.session, self.tenant.name, at, at, person=person, profile=self.profile)
            self._destination = Destination(own, is_stored=False, session=self.session)
            self.log.speaks(self.session)
        return self._destination
