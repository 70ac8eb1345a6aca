"""The running service: engines, recording, admission and routing, and how one session is served."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from app.data.api_keys import KeyStore
from app.domain.answering_model import AnsweringModel
from app.domain.client_limits import ClientLimits
from app.domain.dialog.detachment import without_stalls
from app.domain.dialog.profile import allow_languages, choose_profile, expect_key_terms
from app.domain.dialog.state import DialogState
from app.domain.errors import ProviderRefused, RequestRefused
from app.domain.ports import BlobStore
from app.domain.profile import Profile
from app.domain.recording.subtitles import Segment
from app.domain.routing.decision import DecisionFilter, DecisionRecord
from app.domain.routing.summary import RouteSummary
from app.domain.telephony import TwilioAccount
from app.domain.tenant import Tenant
from app.domain.trusted_proxies import Network
from app.runtime.admission import Admission
from app.runtime.audit import AuditLog
from app.runtime.authentication import Authenticator, OpenAuthenticator
from app.runtime.clock import SystemClock
from app.runtime.conversations.chat import Chat
from app.runtime.conversations.session_conversation import SessionConversation
from app.runtime.dialog.engines import Engines
from app.runtime.dialog.session import SessionClient, run_session
from app.runtime.dialog.telemetry import TurnTelemetry
from app.runtime.jobs.audio_decoder import AudioDecoder
from app.runtime.jobs.batch_transcription import BatchTranscriber
from app.runtime.jobs.earlier_files import EarlierFiles
from app.runtime.jobs.file_uploads import FileUploads
from app.runtime.jobs.job_lease import JobLease
from app.runtime.jobs.job_store import JobStore
from app.runtime.jobs.job_sweep import JobSweep
from app.runtime.jobs.job_worker import JobWorker
from app.runtime.jobs.upload import RecordingSource, transcribe_upload
from app.runtime.limited_client import LimitedClient
from app.runtime.metrics import ServiceMetrics
from app.runtime.profiles import ProfileCatalogue
from app.runtime.recording.recorder import Recorder
from app.runtime.recording.uploader import Uploader
from app.runtime.request_limits import RequestLimits
from app.runtime.routing.routes import Routes
from app.runtime.session_registry import RunningSession, SessionRegistry
from app.runtime.session_tokens import SessionTokens
from app.runtime.speech_capacity import SpeechCapacity
from app.runtime.spoken_files import SpokenFiles
from app.runtime.supervision import run_in_background


class DecisionStore(Protocol):
    """Store of routing decisions."""

    async def find(self, criteria: DecisionFilter) -> list[DecisionRecord]: ...

    async def summary(self, criteria: DecisionFilter) -> Sequence[RouteSummary]: ...

    async def erase_session(self, session: str) -> Mapping[str, int]:
        """Anonymise what belongs to a session: how many of each kind."""
        ...


@dataclass(frozen=True, slots=True)
class RoutingPolicy:
    """The routing policy of the service: routes, stored decisions, and the state of the rules file."""

    routes: Routes
    decisions: DecisionStore
    refused_change: Callable[[], str]
    """Why the newest rules file is not in force; empty where it is."""
    spend_age_s: Callable[[], float | None] = lambda: None
    """Seconds since the spending of other processes was read; None where it never was."""


@dataclass(slots=True)
class Service:
    session_engines: Callable[[str, Tenant], AbstractAsyncContextManager[Engines]]
    """Opens the engines of one session, by its id and tenant."""
    uploader: Uploader
    uploads: FileUploads
    """Files on their way to a recording, and their jobs."""
    initial_state: DialogState
    """Every session begins with it."""
    admission: Admission
    """Which sessions have a place, and whether one more may begin."""
    client_limits: ClientLimits = field(default_factory=ClientLimits)
    """Of sessions, connections and requests."""
    resume_s: float = 30.0
    """How long a client that lost its connection may be away; 0: sessions cannot be resumed."""
    trusted_proxies: tuple[Network, ...] = ()
    """Whose `X-Forwarded-For` is believed."""
    allowed_origins: tuple[str, ...] = ()
    """Other web origins whose pages may connect; `*` for all."""
    server_names: tuple[str, ...] = ()
    """Host names that a browser may call this server by, besides localhost and IP addresses; `*` for all."""
    telephony: TwilioAccount | None = None
    """Whose calls are sessions; None: no calls are answered."""
    tenants: Callable[[], Sequence[Tenant]] | None = None
    """Limits and policies of the tenants; None: there is one tenant, without limits."""
    authenticator: Authenticator = field(default_factory=OpenAuthenticator)
    """Who a client is, by what it presents."""
    keys: KeyStore | None = None
    """API keys of the database; None: there is no database."""
    session_tokens: SessionTokens | None = None
    """Makes short-lived tokens for browsers; None: not offered."""
    batch_transcriber: BatchTranscriber | None = None
    """Transcribes uploaded recordings, on this machine; None: no uploads are accepted."""
    decoder: AudioDecoder = field(default_factory=AudioDecoder)
    """Decodes uploaded recordings."""
    source: RecordingSource | None = None
    """Where recordings can be fetched from by a link."""
    components: tuple[tuple[str, str], ...] = ()
    """Name and one sentence for each component, for `/health` and the start-up log."""
    answering: tuple[AnsweringModel, ...] = ()
    """What answers where a profile names no other engine, in their order."""
    profiles: ProfileCatalogue = field(default_factory=ProfileCatalogue)
    """What a client may choose for its session."""
    speech_capacity: SpeechCapacity | None = None
    """The speech models in this process, where there are any."""
    limit_follows_capacity: bool = False
    """Whether as many sessions are admitted as there is capacity for, as live passes tell."""
    policy: RoutingPolicy | None = None
    """None where finals always come from one engine."""
    limits: RequestLimits = field(default_factory=RequestLimits)
    """What requests to the archive may occupy at once."""
    metrics: ServiceMetrics = field(default_factory=ServiceMetrics)
    audit: AuditLog = field(default_factory=AuditLog)
    """Who did what."""
    chat: Chat | None = None
    """Conversations that last; None: there is no database."""
    running_sessions: SessionRegistry = field(init=False)

    def __post_init__(self) -> None:
        self.running_sessions = SessionRegistry(self.admission, self.client_limits)
        self.metrics.watch(
            self.running_sessions,
            self.uploader.status,
            lambda: self.database_answers,
            lambda: self.speech_capacity.queue() if self.speech_capacity else (0, 0.0),
        )

    def linked_file(self, link: str) -> AsyncGenerator[bytes, None]:
        """The file that a link leads to, piece by piece. Raises RequestRefused where no account is set to fetch it."""
        if self.source is None:
            raise RequestRefused("google_drive", "no account for Google Drive is set")
        return self.source.read(link)

    @property
    def database_answers(self) -> bool:
        """Also where none is used."""
        return self.keys is None or self.keys.is_available

    def tenant(self, name: str) -> Tenant:
        """The tenant of this name; one without limits where the name is not known."""
        return next((t for t in (self.tenants or tuple)() if t.name == name), Tenant(name))

    def spent_usd(self, session: RunningSession) -> float:
        """What it spent, money reserved for work in flight included; without a policy, on the finals shown."""
        return self.policy.routes.ledger.sessions.get(session.id, 0.0) if self.policy else session.cost_usd

    @property
    def store(self) -> BlobStore:
        return self.uploader.store

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """Run the background work of the archive and of the sessions' limits for the lifetime of the context."""
        watch = partial(self.running_sessions.watch, lambda: self.authenticator)
        earlier = EarlierFiles(self.uploads)
        tasks: dict[str, Callable[[], Awaitable[None]]] = {
            **earlier.tasks(),
            **JobSweep(self.uploads).tasks(),
            "session_limits": watch,
            "loop_lag": self.metrics.measure_loop_lag,
        }
        if self.batch_transcriber is not None:
            tasks |= self.job_worker().tasks()
        if self.chat:
            tasks |= self.chat.tasks()
        if self.speech_capacity is not None:
            admission = self.admission if self.limit_follows_capacity else None
            tasks["capacity"] = partial(self.speech_capacity.learn_loop, SystemClock(), admission)
        await earlier.hold()
        async with self.uploader.running(), run_in_background(tasks):
            yield

    def job_worker(self) -> JobWorker:
        """Takes the jobs of all processes on the database."""
        answer = SpokenFiles(self.chat).answer if self.chat else None
        return JobWorker(self.uploads, self.admission, self.tenant, self.transcribe_upload, answer)

    @property
    def jobs(self) -> JobStore:
        return self.uploads.jobs

    async def transcribe_upload(self, lease: JobLease, tenant: Tenant) -> list[Segment]:
        """One attempt to make a recording of a whole file, with the engines of this service; see `jobs/upload.py`."""
        if self.batch_transcriber is None:
            raise ProviderRefused("recordings", "this service transcribes no recordings")
        return await transcribe_upload(
            lease, tenant=tenant, decoder=self.decoder, batch_transcriber=self.batch_transcriber
        )

    async def run_session(
        self,
        running: RunningSession,
        client: SessionClient,
        *,
        profile: Profile | None = None,
        is_profile_named: bool = False,
    ) -> None:
        """Serve one admitted client until it has left, or the server ends it, and its audio is on the disk.

        A profile that its client has named is kept where the session continues a conversation with another one.
        """
        session, tenant, clock = running.id, running.principal.tenant, SystemClock()
        state = allow_languages(self.initial_state, tenant.languages)
        state = expect_key_terms(state, tenant.key_terms)
        state = without_stalls(state, running.resume_s) if running.resume_s else state
        state = choose_profile(state, profile) if profile else state
        state = replace(state, set_by_client=frozenset({"profile"}) if is_profile_named else frozenset())
        person = running.principal.person
        client = LimitedClient(client, running, self.running_sessions)
        async with (
            self.uploader.record_session(session, tenant, person=person, acknowledge=client.acknowledge) as recorder,
            self.session_engines(session, tenant) as engines,
        ):
            telemetry = TurnTelemetry(session, clock, self.metrics)
            running.is_in_turn = lambda: telemetry.is_in_turn
            kept = self._conversation(running, recorder, profile)
            try:
                await run_session(
                    client,
                    engines,
                    state,
                    clock=clock,
                    recorder=recorder,
                    telemetry=telemetry,
                    conversation=kept,
                )
            finally:
                if kept:
                    kept.finish()

    def _conversation(
        self, running: RunningSession, recorder: Recorder, profile: Profile | None
    ) -> SessionConversation | None:
        """None where there is no database."""
        chat, principal = self.chat, running.principal
        if chat is None:
            return None
        return SessionConversation(
            chat.log,
            running.id,
            principal.tenant,
            recorder,
            now=chat.timestamp,
            see_tenant=None if principal.is_admin else principal.tenant.name,
            see_person=principal.person,
            profiles=self.profiles,
            profile=profile.name if profile else "",
        )
