"""The only place where settings, engines and the runtime meet."""

from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import Any, assert_never, cast

from anyio import create_task_group, to_thread
from pydantic import SecretStr

from app import registry
from app.config import Settings
from app.data.decisions import open_decisions
from app.domain.decision import Record
from app.domain.endpointing import Endpointer, EndpointingRules
from app.domain.errors import SettingsError
from app.domain.floor import Floor, TurnRules
from app.domain.ports import BlobStore, ReplyGenerator, SpeechDetector, SpeechSynthesizer, Transcriber
from app.media.decode import decode
from app.models.resolve import resolve
from app.policy.routes_file import AwsRoute, LocalRoute, OpenAIRoute, RouteTable, profile, read_routes
from app.policy.rules_file import rules_path
from app.policy.watch import watched_rules
from app.runtime.archive import Archive
from app.runtime.clock import SystemClock
from app.runtime.engines import Engines
from app.runtime.ingest import Scribe, Source
from app.runtime.metrics import RouteMetrics
from app.runtime.partial import PartialFiles
from app.runtime.routes import Routes
from app.runtime.routing import SessionFinals
from app.runtime.service import Policy, Service
from app.runtime.worker import Queue, Worker

PROBE = Path(__file__).parent / "runtime" / "probe.flac"
"""John F. Kennedy, 1961: "ask what you can do for your country". Public domain."""


@asynccontextmanager
async def open_service(settings: Settings) -> AsyncGenerator[Service, None]:
    """Everything opened and warm. Raises SettingsError, ModelUnavailable or a ProviderError."""
    async with AsyncExitStack() as stack:
        tables = await to_thread.run_sync(read_routes, settings.routes)
        routes, policy = await stack.enter_async_context(open_policy(settings, tables))
        drafts = await stack.enter_async_context(_open_whisper(settings, settings.draft_model_id, 1))
        detector = await stack.enter_async_context(_open_detector(settings))
        provider = await reply_provider(settings)
        generator = await stack.enter_async_context(_open_generator(settings, provider))
        synthesizer = await stack.enter_async_context(_open_synthesizer(settings))
        archive = await stack.enter_async_context(open_archive(settings))

        @asynccontextmanager
        async def session_engines(session: str) -> AsyncGenerator[Engines, None]:
            async with _own(routes.engines, tables) as own:
                finals = SessionFinals(routes, session, engines=own)
                try:
                    yield Engines(
                        detector=detector,
                        finals=finals,
                        drafter=drafts.for_session(),
                        generator=generator,
                        synthesizer=synthesizer,
                    )
                finally:
                    finals.close()

        source = await stack.enter_async_context(_open_source(settings))
        yield Service(
            session_engines=session_engines,
            archive=archive,
            scribe=_scribe(settings, detector, routes.engines, tables),
            floor=first_floor(settings, provider),
            max_sessions=settings.max_sessions,
            allowed_origins=settings.allowed_origins,
            source=source,
            partial=PartialFiles(_spool_folder(settings) / ".uploads", settings.recording_max_mb << 20),
            largest_recording=settings.recording_max_mb << 20,
            description=(
                ("drafts", settings.draft_model_id),
                ("finals", f"{', '.join(routes.standings)}; policy {routes.rules().name}"),
                ("device", " - ".join(filter(None, _device(settings)))),
                ("speech detector", settings.vad),
                ("replies", _named(settings, provider)),
                ("voice", _voice(settings)),
                ("audio goes to", place(settings)),
            ),
            policy=policy,
        )


def _scribe(
    settings: Settings,
    detector: SpeechDetector,
    engines: Mapping[str, Transcriber],
    tables: Mapping[str, RouteTable],
) -> Scribe | None:
    """Who writes down uploaded recordings: the model in this process, where a route has it."""
    local = next((engines[name] for name, table in tables.items() if isinstance(table, LocalRoute)), None)
    return None if local is None else Scribe(detector, local, settings.language or None, finals_model(settings))


@asynccontextmanager
async def open_policy(
    settings: Settings, tables: Mapping[str, RouteTable]
) -> AsyncGenerator[tuple[Routes, Policy], None]:
    """These routes, opened and tended, and the log of what they did."""
    rules = await watched_rules(rules_path(settings.parley_policy))
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        decisions = await stack.enter_async_context(open_decisions(settings.database_url))
        engines = {name: await stack.enter_async_context(_open_route(settings, name, t)) for name, t in tables.items()}
        routes = Routes(
            tuple(profile(name, table) for name, table in tables.items()),
            engines,
            rules=lambda: rules.rules,
            clock=clock,
            chance=SystemRandom().random,
            clip=b"".join(await to_thread.run_sync(lambda: list(decode(PROBE)))),
        )
        routes.ledger.resume(await decisions.spent_on(routes.ledger.today()))
        metrics = RouteMetrics(routes)

        def record(decision: Record) -> None:
            decisions.record(decision)
            metrics.record(decision)

        routes.record = record
        await stack.enter_async_context(_beside(decisions.write, routes.tend, partial(rules.follow, clock)))
        yield routes, Policy(routes, decisions, metrics.text, lambda: rules.error)


@asynccontextmanager
async def _own(
    engines: Mapping[str, Transcriber], tables: Mapping[str, RouteTable]
) -> AsyncGenerator[Mapping[str, Transcriber], None]:
    """The routes' engines for one session: Transcribe keeps a stream for each speaker, the others keep nothing."""
    async with AsyncExitStack() as stack:
        own = dict(engines)
        for name, table in tables.items():
            if isinstance(table, AwsRoute):
                own[name] = await stack.enter_async_context(cast(Any, engines[name]).session())
        yield own


def _open_route(settings: Settings, name: str, table: RouteTable) -> AbstractAsyncContextManager[Transcriber]:
    match table:
        case LocalRoute():
            return cast(
                AbstractAsyncContextManager[Transcriber],
                _open_whisper(settings, finals_model(settings), settings.beam_size),
            )
        case OpenAIRoute():
            own = table.base_url is None or table.base_url == settings.openai_base_url
            key = settings.openai_api_key.get_secret_value() if own and settings.openai_api_key else ""
            return registry.opened(
                registry.TRANSCRIBERS,
                "openai",
                provider_name=name,
                base_url=table.base_url or settings.openai_base_url,
                api_key=table.api_key or key,
                model=table.model,
                prompt=table.prompt,
            )
        case AwsRoute():
            return registry.opened(
                registry.TRANSCRIBERS,
                "aws",
                region=table.region,
                endpoint_url=table.endpoint_url or settings.aws_endpoint_url_transcribe_streaming,
                language=table.language,
                vocabulary=table.vocabulary,
                max_streams=table.at_once or 25,
            )
        case _:
            assert_never(table)


@asynccontextmanager
async def _beside(*works: Callable[[], Coroutine[Any, Any, None]]) -> AsyncGenerator[None, None]:
    """Work that goes on for ever, until the context ends."""
    fault: Exception | None = None
    async with create_task_group() as tasks:
        for work in works:
            tasks.start_soon(work)
        try:
            yield
        except Exception as raised:  # noqa: BLE001 because a task group would wrap what its user raises
            fault = raised
        tasks.cancel_scope.cancel()
    if fault is not None:
        raise fault


@asynccontextmanager
async def open_scribe(settings: Settings) -> AsyncGenerator[Scribe, None]:
    """The engines that `parley transcribe` needs, and no others."""
    async with (
        _open_whisper(settings, finals_model(settings), settings.beam_size) as transcriber,
        _open_detector(settings) as detector,
    ):
        yield Scribe(detector, transcriber, settings.language or None, finals_model(settings))


@asynccontextmanager
async def open_worker(settings: Settings, *, at_once: int, waiting: int) -> AsyncGenerator[Worker, None]:
    """The engines that `parley worker` offers."""
    model = finals_model(settings)
    async with (
        _open_whisper(settings, model, settings.beam_size) as transcriber,
        _open_detector(settings) as detector,
    ):
        queue = Queue("worker", SystemClock(), at_once, waiting)
        yield Worker(model, transcriber, detector, queue, settings.language or None)


def finals_model(settings: Settings) -> str:
    """The model that writes finals, by name or folder."""
    if settings.transcription_model_id != "auto":
        return settings.transcription_model_id
    device, _ = _device(settings)
    return "whisper-large-v3-turbo" if device == "cuda" else "whisper-base"


def _device(settings: Settings) -> tuple[str, str]:
    """Where the speech models run, and a sentence when that is not what was wished for."""
    chosen: tuple[str, str] = registry.load(registry.PROBES, "device")(settings.device)
    return chosen


async def reply_provider(settings: Settings) -> str:
    """Which engine replies: the one named, or the best that is at hand."""
    if settings.reply_provider != "auto":
        if settings.reply_provider == "openai" and settings.openai_api_key is None:
            raise SettingsError("REPLY_PROVIDER is openai, and OPENAI_API_KEY is not set")
        return settings.reply_provider
    if settings.openai_api_key is not None:
        return "openai"
    try:
        answers = registry.load(registry.PROBES, "ollama")
    except SettingsError:  # without the extra there is nobody to ask
        return "embedded"
    return "ollama" if await answers(settings.ollama_base_url) else "embedded"


def first_floor(settings: Settings, provider: str) -> Floor:
    """What every session begins with."""
    eager = settings.eager_replies == "on" or (settings.eager_replies == "auto" and provider != "openai")
    end = settings.end_after_ms
    return Floor(
        rules=TurnRules(
            reply_after_ms=settings.reply_after_ms,
            draft_every_ms=settings.draft_every_ms,
            speculative_finals=settings.speculative_finals,
            eager_replies=eager,
            reply=provider != "none",
            speak=settings.speech_provider != "none",
            language=settings.language or None,
            instructions=settings.reply_instructions,
        ),
        endpointer=Endpointer(
            EndpointingRules(
                end_after_ms=end,
                end_after_complete_ms=end * 7 // 8,
                end_after_open_ms=end * 3 // 2,
            )
        ),
    )


def model_folder(settings: Settings, name: str) -> Path:
    return resolve(name, settings.parley_models_dir)


def _open_whisper(settings: Settings, model: str, beam_size: int) -> Any:
    return registry.opened(
        registry.TRANSCRIBERS,
        "local",
        model=model_folder(settings, model),
        device=settings.device,
        compute_type=settings.compute_type,
        threads=settings.cpu_threads,
        beam_size=beam_size,
    )


@asynccontextmanager
async def _open_detector(settings: Settings) -> AsyncGenerator[SpeechDetector, None]:
    options = {"aggressiveness": settings.vad_aggressiveness} if settings.vad == "webrtc" else {}
    async with registry.opened(registry.DETECTORS, settings.vad, **options) as detector:
        yield detector


@asynccontextmanager
async def _open_generator(settings: Settings, provider: str) -> AsyncGenerator[ReplyGenerator | None, None]:
    options: dict[str, Any]
    match provider:
        case "none":
            yield None
            return
        case "embedded":
            options = {"model": model_folder(settings, settings.reply_model_id)}
        case "openai":
            assert settings.openai_api_key is not None
            options = {
                "provider_name": provider,
                "base_url": settings.openai_base_url,
                "api_key": settings.openai_api_key.get_secret_value(),
                "model": settings.openai_model,
            }
        case _:
            options = {
                "provider_name": provider,
                "base_url": settings.ollama_base_url,
                "api_key": "",
                "model": settings.ollama_model,
            }
    options["max_tokens"] = settings.reply_max_tokens
    async with registry.opened(registry.REPLY_GENERATORS, provider, **options) as generator:
        yield generator


@asynccontextmanager
async def _open_synthesizer(settings: Settings) -> AsyncGenerator[SpeechSynthesizer | None, None]:
    options: dict[str, Any]
    match settings.speech_provider:
        case "none":
            yield None
            return
        case "piper":
            options = {"model": model_folder(settings, settings.voice_model_id)}
        case "polly":
            options = {"region": settings.aws_region, "voice": settings.polly_voice, "engine": settings.polly_engine}
    async with registry.opened(registry.SYNTHESIZERS, settings.speech_provider, **options) as synthesizer:
        yield synthesizer


@asynccontextmanager
async def open_archive(settings: Settings) -> AsyncGenerator[Archive, None]:
    """The archive with its spool; nothing is stored before it is running."""
    folder = _spool_folder(settings)
    limit = settings.spool_max_mb << 20
    async with (
        open_store(settings) as store,
        registry.opened(
            registry.SPOOLS, "disk", folder=folder, limit=limit, fsync=settings.spool_fsync, seal=_seal(settings)
        ) as spool,
    ):
        yield Archive(
            spool,
            store,
            keeps=settings.archive_sessions,
            audio=settings.archive_format,
            keep_days=settings.archive_keep_days,
        )


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncGenerator[BlobStore, None]:
    """Where the archive lives; encrypted where there is a key."""
    options: dict[str, Any]
    match settings.blob_store:
        case "s3":
            _needed(settings, "s3_bucket")
            options = {"bucket": settings.s3_bucket, "endpoint_url": settings.s3_endpoint_url or None}
        case "azure":
            _needed(settings, "azure_container")
            options = {
                "container": settings.azure_container,
                "connection_string": _secret(settings.azure_connection_string),
                "account_url": settings.azure_account_url or None,
                "sas_token": _secret(settings.azure_sas_token),
            }
        case "filesystem":
            options = {"folder": settings.audio_storage_dir}
    if settings.blob_store != "filesystem":
        options["prefix"] = settings.blob_prefix
    async with registry.opened(registry.BLOB_STORES, settings.blob_store, **options) as store:
        seal = _seal(settings)
        yield registry.load(registry.SEALS, "store")(store, seal) if seal else store


@asynccontextmanager
async def _open_source(settings: Settings) -> AsyncGenerator[Source | None, None]:
    account, token = settings.google_drive_service_account, _secret(settings.google_drive_token)
    if account is None and token is None:
        yield None
        return
    async with registry.opened(registry.SOURCES, "google_drive", service_account=account, token=token or "") as source:
        yield source


def _spool_folder(settings: Settings) -> Path:
    return settings.spool_dir or settings.audio_storage_dir / ".spool"


def _seal(settings: Settings) -> Any:
    key = _secret(settings.archive_key)
    return registry.load(registry.SEALS, "aes")(key) if key else None


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value else None


def _needed(settings: Settings, name: str) -> None:
    if not getattr(settings, name):
        raise SettingsError(f"BLOB_STORE is {settings.blob_store}, and {name.upper()} is not set")


def place(settings: Settings) -> str:
    """Where the archive lives, in words."""
    match settings.blob_store:
        case "s3":
            return f"the bucket {settings.s3_bucket}"
        case "azure":
            return f"the container {settings.azure_container}"
        case "filesystem":
            return str(settings.audio_storage_dir.resolve())


def _voice(settings: Settings) -> str:
    match settings.speech_provider:
        case "piper":
            return settings.voice_model_id
        case "polly":
            return f"{settings.polly_voice} ({settings.polly_engine}), Amazon Polly in {settings.aws_region}"
        case "none":
            return "none"


def _named(settings: Settings, provider: str) -> str:
    match provider:
        case "openai":
            return f"{settings.openai_model} at {settings.openai_base_url}"
        case "ollama":
            return f"{settings.ollama_model} at {settings.ollama_base_url}"
        case "embedded":
            return f"{settings.reply_model_id}, in this process"
        case _:
            return "none"
