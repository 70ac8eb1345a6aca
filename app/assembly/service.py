"""Assemble the service of `parley serve`: open every engine and store, and connect them."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast
from urllib.parse import urlsplit

from anyio import to_thread

from app.assembly.archive import archive_place, file_uploads, open_archive, open_source
from app.assembly.audit import change_recorder, open_audit
from app.assembly.authentication import open_authentication
from app.assembly.conversations import open_chat
from app.assembly.full_text import purging_full_text
from app.assembly.profiles import describe_profiles, open_profiles
from app.assembly.replies import (
    answering_model,
    describe_replies,
    max_reply_characters,
    open_reply_engines,
    replies_here,
    reply_providers,
)
from app.assembly.routing import open_policy, open_session_engines
from app.assembly.speech import (
    audio_decoder,
    device,
    drafts_model,
    finals_model,
    open_detector,
    open_echo_detectors,
    open_speaker_embedder,
    open_speech_engine,
    open_turn_detector,
    speech_capacity,
)
from app.assembly.telephony import twilio_account
from app.assembly.tenants import open_tenants
from app.assembly.voices import describe_voices, voice_providers
from app.config import Settings
from app.data.database import open_engine, prepare
from app.data.jobs import JobTable
from app.data.leases import LeaseTable
from app.data.live_sessions import LiveSessionTable
from app.data.recording_index import RecordingIndexTable
from app.domain.audit import AuditAction
from app.domain.client_limits import ClientLimits
from app.domain.dialog.endpointing import Endpointer, EndpointingRules
from app.domain.dialog.state import DialogState, TurnRules
from app.domain.ports import SpeechDetector, Transcriber
from app.domain.tenant import Tenant
from app.domain.trusted_proxies import parse_networks
from app.policy.routes_file import LocalRoute, RouteTable, read_routes
from app.runtime.admission import Admission
from app.runtime.dialog.drafts_by_language import DraftsByLanguage
from app.runtime.dialog.engines import Engines
from app.runtime.jobs.batch_transcription import BatchTranscriber
from app.runtime.metrics import ServiceMetrics
from app.runtime.routing.session_finals import SessionFinals
from app.runtime.service import Service

SCORE_PAUSE_AFTER_MS = 100
"""Silence after which the end-of-turn model scores a pause: sooner than a final starts, because a score is cheaper."""


@asynccontextmanager
async def open_service(settings: Settings) -> AsyncGenerator[Service, None]:
    """The open service, models loaded and warmed. Raises SettingsError, ModelUnavailable or a ProviderError."""
    async with AsyncExitStack() as stack:
        metrics = ServiceMetrics()
        tables = await to_thread.run_sync(read_routes, settings.routes)
        database = await stack.enter_async_context(open_engine(settings.database_url))
        answers = await prepare(database, is_required=False)
        audit = await stack.enter_async_context(open_audit(settings, database, metrics.registry))
        tenants_changed = change_recorder(audit, AuditAction.TENANTS_CHANGED, settings.tenants)
        tenants = await stack.enter_async_context(open_tenants(settings.tenants, tenants_changed))
        authentication = await stack.enter_async_context(
            open_authentication(settings, database, tenants, database_answers=answers)
        )
        policy_changed = change_recorder(audit, AuditAction.POLICY_CHANGED, settings.policy)
        routes, policy = await stack.enter_async_context(
            open_policy(
                settings,
                database,
                tables,
                metrics.registry,
                policy_changed,
                database_answers=authentication.keys.is_loaded,
            )
        )
        drafts = await stack.enter_async_context(open_speech_engine(settings, drafts_model(settings), 1, routes.clip))
        detector = await stack.enter_async_context(open_detector(settings))
        new_echo_detector = await stack.enter_async_context(open_echo_detectors())
        turn_detector = await stack.enter_async_context(open_turn_detector(settings))
        embedder = await stack.enter_async_context(open_speaker_embedder(settings))
        providers = await reply_providers(settings)
        profiles = await stack.enter_async_context(open_profiles(settings))
        named = list(profiles.profiles().values())
        reply_engines = await stack.enter_async_context(open_reply_engines(settings, providers, routes, named))
        reply_engines.register_metrics(metrics.registry)
        speech = speech_capacity(
            settings,
            drafts=drafts,
            finals=_local(routes.engines, tables),
            replies_here=replies_here(settings, [*providers, *(profile.engine for profile in named)]),
        )
        max_sessions = settings.max_sessions or speech.capacity
        uploader = await stack.enter_async_context(open_archive(settings, tenants))
        routes.is_recorded = uploader.is_recorded
        uploader.all_live_sessions = LiveSessionTable(database)
        uploader.index, uploader.leases = RecordingIndexTable(database), LeaseTable(database)
        uploader.erasers = (policy.decisions,)

        @asynccontextmanager
        async def session_engines(session: str, tenant: Tenant) -> AsyncGenerator[Engines, None]:
            drafter = drafts.for_session()
            async with open_session_engines(routes, tables, drafter) as own:
                finals = SessionFinals(routes, session, tenant, engines=own.engines, meters=own.meters)
                answering = reply_engines.for_session(session, tenant)
                try:
                    yield Engines(
                        detector=detector,
                        echo=new_echo_detector(),
                        finals=finals,
                        drafter=drafter
                        if own.local is None
                        else DraftsByLanguage(drafter, drafts.languages, own.local),
                        turn_detector=turn_detector,
                        embedder=embedder,
                        generator=answering.generator,
                        generator_of=answering.generator_of,
                        synthesizer=answering.synthesizer,
                        refuse_speech=answering.refuse_speech,
                        has_spare_capacity=lambda: drafts.has_spare_capacity,
                        max_reply_characters=max_reply_characters(settings),
                    )
                finally:
                    finals.close()

        chat = await stack.enter_async_context(open_chat(settings, database, reply_engines, uploader, profiles))
        await stack.enter_async_context(purging_full_text(database, uploader, chat))
        source = await stack.enter_async_context(open_source(settings))
        yield Service(
            session_engines=session_engines,
            uploader=uploader,
            batch_transcriber=local_batch_transcriber(settings, detector, routes.engines, tables, embedder),
            initial_state=initial_state(settings, providers),
            admission=Admission(max_sessions, lambda: uploader.has_space),
            client_limits=client_limits(settings),
            resume_s=settings.session_resume_s,
            trusted_proxies=parse_networks(settings.trusted_proxies),
            allowed_origins=settings.allowed_origins,
            server_names=server_names(settings, needs_key=authentication.needs_key),
            telephony=twilio_account(settings),
            tenants=tenants,
            authenticator=authentication.authenticator,
            keys=authentication.keys,
            session_tokens=authentication.session_tokens,
            decoder=audio_decoder(settings),
            source=source,
            uploads=file_uploads(settings, uploader, JobTable(database)),
            components=(
                ("drafts", drafts_model(settings)),
                ("finals", f"{', '.join(routes.states)}; policy {routes.rules().name}"),
                ("sessions", speech.describe_limit(max_sessions)),
                *((f"encoder of {model.job}", model.encoder) for model in speech.models if model.encoder),
                ("device", " - ".join(filter(None, device(settings)))),
                ("speech detector", settings.vad),
                ("turn detector", settings.turn_model_id),
                ("replies", describe_replies(settings, providers)),
                ("voice", describe_voices(settings)),
                ("profiles", describe_profiles(profiles)),
                ("audio goes to", archive_place(settings)),
                ("authentication", authentication.description),
            ),
            answering=tuple(answering_model(settings, name) for name in providers),
            speech_capacity=speech,
            limit_follows_capacity=not settings.max_sessions,
            policy=policy,
            profiles=profiles,
            metrics=metrics,
            audit=audit,
            chat=chat,
        )


def client_limits(settings: Settings) -> ClientLimits:
    """Limits of connections, sessions and requests, from the settings."""
    return ClientLimits(
        connections=settings.max_connections,
        connections_per_address=settings.max_connections_per_address,
        connections_per_key=settings.max_connections_per_key,
        session_standby_s=settings.session_standby_s,
        session_idle_s=settings.session_idle_s,
        session_silent_s=settings.session_silent_s,
        session_max_s=settings.session_max_s,
        audio_speed=settings.max_audio_speed,
        messages_per_s=settings.max_messages_per_s,
        requests_per_s=settings.max_requests_per_s,
    )


def server_names(settings: Settings, *, needs_key: bool) -> tuple[str, ...]:
    """Host names that a browser may call this server by; with keys all of them, where the setting names none.

    A page that has rebound its name to this server's address has no key. Where none is asked for, the name is all
    that tells it from our own page.
    """
    own = (settings.host, *filter(None, [urlsplit(settings.public_url).hostname]))
    if settings.server_names:
        return (*settings.server_names, *own)
    return ("*",) if needs_key else own


def local_batch_transcriber(
    settings: Settings,
    detector: SpeechDetector,
    engines: Mapping[str, Transcriber],
    tables: Mapping[str, RouteTable],
    embedder: Any,
) -> BatchTranscriber | None:
    """Batch transcription of uploads by the local model, at the lowest priority; None without a local route."""
    local = cast(Any, _local(engines, tables))
    if local is None:
        return None
    return BatchTranscriber(
        detector,
        local.for_batch(),
        settings.language or None,
        finals_model(settings),
        embedder and embedder.for_batch(),
    )


def _local(engines: Mapping[str, Transcriber], tables: Mapping[str, RouteTable]) -> Transcriber | None:
    """The local engine for finals; None where no route is local."""
    return next((engines[name] for name, table in tables.items() if isinstance(table, LocalRoute)), None)


def initial_state(settings: Settings, providers: Sequence[str]) -> DialogState:
    """Initial dialog state of every session, from the settings."""
    can_be_undone = not {"openai", "receiver"} & set(
        providers
    )  # one takes money, the other may act on what it is asked
    eager = settings.eager_replies == "on" or (settings.eager_replies == "auto" and can_be_undone)
    has_turn_model, end = settings.turn_model_id != "none", settings.end_after_ms
    return DialogState(
        rules=TurnRules(
            turns=settings.turns,
            silence_ms=settings.silence_ms,
            interruptions=settings.interruptions,
            reply_after_ms=settings.reply_after_ms,
            confident_reply_after_ms=settings.reply_after_done_ms,
            draft_every_ms=settings.draft_every_ms,
            speculative_finals=settings.speculative_finals,
            score_end_of_turn=has_turn_model,
            eager_replies=eager,
            adaptive_waits=settings.adaptive_waits,
            ignore_echo=settings.echo_detection,
            reply=bool(providers),
            speak=bool(voice_providers(settings)),
            language=settings.language or None,
            words=settings.words,
            speakers=settings.speakers,
            instructions=settings.reply_instructions,
        ),
        endpointer=Endpointer(
            EndpointingRules(
                pause_after_ms=SCORE_PAUSE_AFTER_MS if has_turn_model else EndpointingRules().pause_after_ms
            ).with_silences(end, settings.end_after_done_ms)
        ),
    )
