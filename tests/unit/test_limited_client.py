"""What a session's client does and is shown, as its limits and its administrators see it."""

from collections.abc import AsyncIterator, Sequence

import anyio
import pytest

from app.domain.audio import AudioChunk
from app.domain.client_limits import ClientLimits
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.errors import ClientError, ClientFault
from app.domain.principal import Principal
from app.domain.residency import Place
from app.domain.routing.route import Route
from app.domain.transcript import Hypothesis
from app.runtime.admission import Admission
from app.runtime.dialog.session import Incoming
from app.runtime.limited_client import LimitedClient
from app.runtime.session_registry import RunState, SessionRegistry

pytestmark = pytest.mark.anyio
SECOND = AudioChunk(bytes(32_000), 0)


class ScriptedSessionClient:
    """Sends these items, and keeps what it is shown."""

    def __init__(self, items: Sequence[Incoming] = ()) -> None:
        self.items = items
        self.shown: list[do.Shown] = []

    async def incoming(self) -> AsyncIterator[Incoming]:
        for item in self.items:
            await anyio.sleep(0.01)
            yield item

    def show(self, shown: do.Shown, *, ttfs_ms: int | None = None) -> None:
        self.shown.append(shown)

    def acknowledge(self, samples: int) -> None:
        raise AssertionError


@pytest.fixture
def registry():
    return SessionRegistry(Admission(1), ClientLimits(messages_per_s=0.4))


@pytest.fixture
async def session(registry):
    with registry.registered("id", Principal()) as running:
        yield running


def final(text: str, cost_usd: float | None) -> do.ShowFinal:
    route = Route("aws", Place.CLOUD, latency_ms=1, cost_usd=cost_usd)
    return do.ShowFinal(1, 1, Hypothesis(text, is_final=True), 0, 1, 1, route)


async def test_audio_is_counted_and_makes_a_session_active(registry, session):
    registry.admission.release("id")
    standby, before = registry.state(session), session.activity.active_at
    client = LimitedClient(ScriptedSessionClient([SECOND, SECOND]), session, registry)

    items = [item async for item in client.incoming()]

    assert items == [SECOND, SECOND]
    assert (standby, registry.state(session), session.audio_s) == (RunState.STANDBY, RunState.ACTIVE, 2)
    assert session.activity.active_at > before
    assert session.activity.words_at == before


async def test_nothing_is_taken_behind_the_message_that_ends_a_session(registry, session):
    cancel = ev.ClientCancelled()
    client = LimitedClient(ScriptedSessionClient([cancel, cancel, cancel, SECOND]), session, registry)

    items = [item async for item in client.incoming()]

    assert items == [cancel, cancel]
    assert (session.error.code, registry.state(session)) == (ClientFault.TOO_MANY_MESSAGES, RunState.ENDING)


async def test_text_to_speak_counts_as_activity_and_as_words(registry, session):
    before = session.activity.words_at
    client = LimitedClient(ScriptedSessionClient([ev.ClientRequestedSpeech("hello")]), session, registry)

    [_ async for _ in client.incoming()]

    assert session.activity.words_at == session.activity.active_at > before


@pytest.mark.parametrize(
    ("shown", "is_activity", "has_words"),
    [
        (do.ShowDraft(1, 1, "hello", ""), True, True),
        (do.ShowDraft(1, 1, "", ""), False, False),
        (final("hello", None), True, True),
        (final("", None), False, False),
        (do.PlayAudio(1, SECOND), True, False),
        (do.ShowReplyDelta(1, "Sunny"), True, False),
        (do.ShowError(ClientError(ClientFault.BAD_MESSAGE, "")), False, False),
    ],
)
async def test_words_and_replies_that_are_shown_keep_a_session(registry, session, shown, is_activity, has_words):
    before, wrapped = session.activity.active_at, ScriptedSessionClient()
    client = LimitedClient(wrapped, session, registry)
    await anyio.sleep(0.01)

    client.show(shown)

    assert wrapped.shown == [shown]
    assert (session.activity.active_at > before, session.activity.words_at > before) == (is_activity, has_words)


async def test_cost_of_the_finals_shown_is_summed(registry, session):
    client = LimitedClient(ScriptedSessionClient(), session, registry)

    for cost_usd in (0.25, None, 0.5):
        client.show(final("hello", cost_usd))

    assert session.cost_usd == 0.75
