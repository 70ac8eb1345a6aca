"""What waits for a slow client."""

import anyio
import pytest

from app.domain.audio import AudioChunk
from app.domain.dialog import effects as do
from app.domain.transcript import Hypothesis
from app.runtime.dialog.outbox import LIMIT, OutboundMessage, Outbox

pytestmark = pytest.mark.anyio
FINAL = do.ShowFinal(1, 1, Hypothesis("done"), 0, 1, 1)


def draft(text: str, utterance: int = 1) -> OutboundMessage:
    return OutboundMessage(do.ShowDraft(1, utterance, text, ""))


def shown(outbox: Outbox) -> list[do.Shown]:
    return [message.shown for message in outbox.queue]


async def test_a_newer_draft_replaces_the_queued_one():
    """A slow client misses drafts, never finals, and the order stays."""
    outbox = Outbox()
    for message in (draft("a"), draft("a b"), OutboundMessage(FINAL), draft("c", 2), draft("c d", 2)):
        outbox.put(message)

    assert [getattr(s, "text", "final") for s in shown(outbox)] == ["a b", "final", "c d"]


async def test_a_cancelled_reply_drops_its_queued_audio():
    """Audio that the client is to stop playing is not sent."""
    outbox = Outbox()
    for turn in (1, 2):
        outbox.put(OutboundMessage(do.PlayAudio(turn, AudioChunk(bytes(100), 0))))

    outbox.put(OutboundMessage(do.ShowReplyCancelled(1, "barge_in")))

    assert [type(s).__name__ for s in shown(outbox)] == ["PlayAudio", "ShowReplyCancelled"]
    assert outbox.queued_bytes == sum(message.size for message in outbox.queue)


async def test_a_client_that_reads_nothing_overflows_the_outbox():
    """Memory has a limit, and the limit a consequence."""
    outbox = Outbox()
    while not outbox.overflowed:
        outbox.put(OutboundMessage(do.PlayAudio(1, AudioChunk(bytes(1 << 20), 0))))

    assert LIMIT < outbox.queued_bytes < LIMIT + (2 << 20)


async def test_messages_are_taken_in_order_and_awaited():
    """The writer sleeps until there is something to write."""
    outbox = Outbox()
    taken: list[do.Shown] = []

    async def write() -> None:
        taken.extend([(await outbox.take()).shown for _ in range(2)])

    with anyio.fail_after(2):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            await anyio.wait_all_tasks_blocked()
            outbox.put(draft("a"))
            await anyio.wait_all_tasks_blocked()
            outbox.put(OutboundMessage(FINAL))

    assert taken == [draft("a").shown, FINAL]
    assert outbox.queued_bytes == 0
