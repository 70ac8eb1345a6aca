"""The routes finals may take, the rules over them, and the log of what they did."""

from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from random import SystemRandom
from typing import Any, assert_never, cast

from anyio import create_task_group

from app import registry
from app.assembly.speech import finals_model, open_whisper, spoken_clip
from app.config import Settings
from app.data.decisions import open_decisions
from app.domain.decision import Record
from app.domain.ports import Transcriber
from app.policy.routes_file import AwsRoute, LocalRoute, OpenAIRoute, RouteTable, profile
from app.policy.rules_file import rules_path
from app.policy.watch import watched_rules
from app.runtime.clock import SystemClock
from app.runtime.metrics import RouteMetrics
from app.runtime.routes import Routes
from app.runtime.service import Policy


@asynccontextmanager
async def open_policy(
    settings: Settings, tables: Mapping[str, RouteTable]
) -> AsyncGenerator[tuple[Routes, Policy], None]:
    """These routes, opened and tended, and the log of what they did."""
    rules = await watched_rules(rules_path(settings.parley_policy))
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        decisions = await stack.enter_async_context(open_decisions(settings.database_url))
        clip = await spoken_clip()
        engines = {
            name: await stack.enter_async_context(_open_route(settings, name, table, clip))
            for name, table in tables.items()
        }
        routes = Routes(
            tuple(profile(name, table) for name, table in tables.items()),
            engines,
            rules=lambda: rules.rules,
            clock=clock,
            chance=SystemRandom().random,
            clip=clip,
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
async def own_engines(
    engines: Mapping[str, Transcriber], tables: Mapping[str, RouteTable]
) -> AsyncGenerator[Mapping[str, Transcriber], None]:
    """The routes' engines for one session: Transcribe keeps a stream for each speaker, the others keep nothing."""
    async with AsyncExitStack() as stack:
        own = dict(engines)
        for name, table in tables.items():
            if isinstance(table, AwsRoute):
                own[name] = await stack.enter_async_context(cast(Any, engines[name]).session())
        yield own


def _open_route(
    settings: Settings, name: str, table: RouteTable, clip: bytes
) -> AbstractAsyncContextManager[Transcriber]:
    match table:
        case LocalRoute():
            return cast(
                AbstractAsyncContextManager[Transcriber],
                open_whisper(settings, finals_model(settings), settings.beam_size, clip),
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
