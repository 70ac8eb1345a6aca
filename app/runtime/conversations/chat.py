"""Chat: answers messages in text, one at a time in each conversation, and keeps both sides of it."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import anyio
import anyio.lowlevel
import structlog
from anyio.abc import TaskGroup

from app.data.conversation_log import ConversationLog
from app.data.conversations import ConversationTable, DeletedConversation
from app.domain.conversations.message import Conversation, StoredMessage, as_history
from app.domain.conversations.options import ReplyOptions
from app.domain.dialog.conversation import Message, Role
from app.domain.errors import ClientError, ClientFault, ParleyError, ProviderBusy
from app.domain.profile import Profile
from app.domain.tenant import Tenant
from app.runtime.conversations.reply_run import (
    DISCONNECTED,
    FAILED,
    REPLY_TIMEOUT_S,
    ChatEngine,
    ClientTools,
    GeneratedReply,
    ReplyRun,
)
from app.runtime.ids import new_id, new_row_number
from app.runtime.profiles import ProfileCatalogue

MAX_REPLIES, MAX_REPLIES_PER_TENANT = 64, 16
"""Replies at once, in this process, those that wait for a place included; one more message is refused."""
HISTORY_MESSAGES = 200
"""Newest messages that are read for a prompt; how many of them fit is the window's to say."""
LEASE = timedelta(seconds=REPLY_TIMEOUT_S + 30)
"""A conversation whose process died in the middle of a reply takes its next message after so long."""
PERSONS_SHARE = 4
"""A visitor may have a quarter of its tenant's conversations, so that one alone cannot keep the others from theirs."""
PRUNE_EVERY_S = 3600.0

_log = structlog.get_logger("parley.conversations")


def utc_now() -> datetime:
    return datetime.now(UTC)


def no_tools(*_: object) -> ChatEngine:
    """For services whose engines call no tools of a client. Raises ClientError."""
    reason = "the reply engine of this server cannot call tools; leave tools out"
    raise ClientError(ClientFault.BAD_MESSAGE, reason, param="tools")


@dataclass(frozen=True, slots=True)
class Answer:
    """A message that was taken, and the run of its reply."""

    run: ReplyRun
    message: StoredMessage | None = None
    """As it was stored; None where nothing is kept."""


@dataclass(slots=True)
class Chat:
    """Every method raises ProviderBusy where the database is unavailable."""

    log: ConversationLog
    """What voice sessions add to conversations."""
    open_engine: Callable[[Tenant, Profile | None], ChatEngine]
    """The reply engine for one message. Raises ProviderBusy where there is none."""
    options: ReplyOptions = field(default_factory=ReplyOptions)
    profiles: ProfileCatalogue = field(default_factory=ProfileCatalogue)
    max_conversations: int = 0
    """Of one tenant that has no limit of its own; 0: any number."""
    keep_days: int = 0
    """Days after its newest message in which a conversation is kept; 0: for ever."""
    tenant_keep_days: Callable[[], Mapping[str, int]] = dict
    """The same, for tenants that have their own."""
    after_deletion: Callable[[], Awaitable[Sequence[str]]] | None = None
    """Called after each deletion: what remains in the database for now, a sentence each."""
    now: Callable[[], datetime] = utc_now
    reply_timeout_s: float = REPLY_TIMEOUT_S
    open_with_tools: Callable[[Tenant, Profile | None, ClientTools], ChatEngine] = no_tools
    """As `open_engine`, for a client that brings tools. Raises ClientError where the engine cannot call any."""
    _replies: Counter[str] = field(default_factory=Counter)
    """Begun and not over, by tenant."""
    _tasks: TaskGroup | None = None

    @property
    def table(self) -> ConversationTable:
        return self.log.table

    def timestamp(self) -> str:
        """Now, as it is stored."""
        return self.now().astimezone(UTC).isoformat(timespec="milliseconds")

    async def create(
        self,
        tenant: Tenant,
        *,
        person: str = "",
        title: str = "",
        profile: str | None = None,
        by_person: bool = False,
    ) -> Conversation:
        """It keeps this profile, or the default of now.

        `by_person`: a token names the person, which may have a part of what the tenant may.

        Raises ClientError for an unknown profile, and TooManyConversations.
        """
        at, chosen = self.timestamp(), self.profiles.choose(profile, tenant)
        conversation = Conversation(
            new_id(),
            tenant.name,
            at,
            at,
            person=person,
            title=title,
            is_titled=bool(title),
            profile=chosen.name if chosen else "",
        )
        most = self.max_conversations if tenant.max_conversations is None else tenant.max_conversations
        of_person = max(1, most // PERSONS_SHARE) if by_person and most else 0
        await self.table.create(conversation, most=most, most_of_person=of_person)
        return conversation

    def user_message(self, text: str) -> StoredMessage:
        return StoredMessage(new_row_number(), Role.USER, text, self.timestamp())

    async def answer(
        self,
        found: Conversation,
        message: StoredMessage,
        tenant: Tenant,
        *,
        profile: str | None = None,
        is_repeatable: bool = False,
    ) -> Answer:
        """Take the user's message into the conversation, and begin its reply under the budgets of `tenant`.

        The reply has this profile, or that of the conversation. A message that gets no word of a reply, because the
        engine fails, is taken back, unless a tool was called: it may be sent again.

        `is_repeatable`: whoever sent the message has it answered again until there is a reply. So it stays, what there
        is of a reply that nobody waits for any more is dropped, and of two replies the first is kept.

        Raises ClientError where there is no profile of the name, ConversationNotFound, ConversationBusy,
        ConversationFull; ProviderBusy where too many replies are being generated, or none can be.
        """
        conversation, chosen = found.id, self.profiles.choose(profile or found.profile, tenant)
        tasks, engine, now = self._require_room(tenant), self.open_engine(tenant, chosen), self.now()
        stored = await self.table.begin_reply(conversation, message, now=now, until=now + LEASE)
        try:
            messages = await self.table.messages(conversation, before=stored.number + 1, limit=HISTORY_MESSAGES)
        except BaseException:  # because the message gets no reply, and its conversation stays busy otherwise
            with anyio.CancelScope(shield=True):
                await self.table.withdraw(conversation, stored)
            raise

        async def keep(reply: GeneratedReply) -> StoredMessage | None:
            if is_repeatable and reply.cancelled == DISCONNECTED:
                return await self.table.end_reply(conversation, None)
            if reply.text or reply.tool_calls or not reply.cancelled:
                answers = stored.id if is_repeatable else None
                kept = replace(self._stored(reply), turn=stored.turn)
                return await self.table.end_reply(conversation, kept, answers=answers)
            if reply.cancelled == FAILED and not is_repeatable:
                await self.table.withdraw(conversation, stored)
                return None
            return await self.table.end_reply(conversation, None)

        prompt = self.options.for_profile(chosen).prompt(as_history(messages))
        return Answer(self._start(tasks, tenant, engine, prompt, keep), stored)

    def answer_once(self, text: str, tenant: Tenant, *, profile: str | None = None) -> Answer:
        """Begin the reply to a text of no conversation; nothing is kept.

        Raises ClientError and ProviderBusy, as `answer` does.
        """

        async def keep(_: GeneratedReply) -> None:
            await anyio.lowlevel.checkpoint()

        chosen = self.profiles.choose(profile, tenant)
        tasks, engine = self._require_room(tenant), self.open_engine(tenant, chosen)
        prompt = self.options.for_profile(chosen).prompt((Message(Role.USER, text),))
        return Answer(self._start(tasks, tenant, engine, prompt, keep))

    def complete(
        self,
        messages: tuple[Message, ...],
        tenant: Tenant,
        *,
        profile: str | None = None,
        tools: ClientTools | None = None,
        max_characters: int | None = None,
    ) -> ReplyRun:
        """Begin the reply to a conversation that the client keeps; nothing is kept here.

        Its own instructions, where it has some, stand in place of the profile's.
        Raises ClientError and ProviderBusy, as `answer` does, and ClientError where the tools cannot be called.
        """

        async def keep(_: GeneratedReply) -> None:
            await anyio.lowlevel.checkpoint()

        chosen, room = self.profiles.choose(profile, tenant), self._require_room(tenant)
        engine = self.open_engine(tenant, chosen) if tools is None else self.open_with_tools(tenant, chosen, tools)
        if max_characters is not None:
            engine = replace(engine, max_characters=min(max_characters, engine.max_characters))
        own = self.options.for_profile(chosen).instructions
        has_instructions = any(message.role is Role.SYSTEM for message in messages)
        prompt = messages if has_instructions or not own else (Message(Role.SYSTEM, own), *messages)
        return self._start(room, tenant, engine, prompt, keep, calls_are_whole=tools is not None)

    def tasks(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """What runs in the background, by name."""
        return {
            "replies": self.run,
            "conversation_writer": self.log.rows.write_loop,
            "conversation_leases": self.log.keep_sessions,
            "conversation_pruning": self.prune_loop,
        }

    async def run(self) -> None:
        """Generate the replies, for ever. Cancelled, it keeps what there is of each."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            try:
                await anyio.sleep_forever()
            finally:
                self._tasks = None

    async def prune_loop(self) -> None:
        """Delete conversations that are older than their tenant keeps them, every hour, for ever."""
        while True:
            try:
                await self.prune()
            except ParleyError as error:
                _log.warning("expired conversations stay", message=str(error))
            await anyio.sleep(PRUNE_EVERY_S)

    async def delete(self, conversation: str) -> DeletedConversation | None:
        """Delete it with its messages; None where there was no such conversation."""
        deleted = await self.table.delete(conversation)
        if deleted is None or self.after_deletion is None:
            return deleted
        return replace(deleted, remaining=tuple(await self.after_deletion()))

    async def prune(self) -> int:
        """How many conversations were deleted."""
        own, deleted = self.tenant_keep_days(), 0
        for tenant, days in own.items():
            if days:
                deleted += await self.table.prune(self.now() - timedelta(days=days), [tenant])
        if self.keep_days:
            before = self.now() - timedelta(days=self.keep_days)
            deleted += await self.table.prune(before, list(own), others=True)
        if deleted and self.after_deletion:
            await self.after_deletion()
        return deleted

    # -- runs ------------------------------------------------------------------------

    def _require_room(self, tenant: Tenant) -> TaskGroup:
        """Where replies are generated. Raises ProviderBusy."""
        is_full = self._replies.total() >= MAX_REPLIES or self._replies[tenant.name] >= MAX_REPLIES_PER_TENANT
        if self._tasks is None or is_full:
            raise ProviderBusy("replies", "too many replies are being generated; try again in a moment")
        return self._tasks

    def _start(
        self,
        tasks: TaskGroup,
        tenant: Tenant,
        engine: ChatEngine,
        prompt: tuple[Message, ...],
        keep: Callable[[GeneratedReply], Awaitable[StoredMessage | None]],
        *,
        calls_are_whole: bool = False,
    ) -> ReplyRun:
        run = ReplyRun(prompt, engine, keep, self.reply_timeout_s, calls_are_whole)

        async def counted() -> None:
            try:
                await run.run()
            finally:
                self._replies[tenant.name] -= 1

        self._replies[tenant.name] += 1
        tasks.start_soon(counted)
        return run

    def _stored(self, reply: GeneratedReply) -> StoredMessage:
        return StoredMessage(
            new_row_number(),
            Role.ASSISTANT,
            reply.text,
            self.timestamp(),
            engine=reply.engine,
            usd=reply.usd,
            cancelled=reply.cancelled,
            prompt_tokens=reply.usage.prompt,
            reply_tokens=reply.usage.generated,
            tool_calls=reply.tool_calls,
        )
