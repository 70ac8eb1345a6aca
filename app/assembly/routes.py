"""The routes finals may take, the rules over them, and the log of what they did."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import Any, assert_never, cast

from anyio import to_thread

from app import registry
from app.assembly.beside import beside
from app.assembly.speech import finals_model, open_whisper
from app.config import Settings
from app.data.decisions import open_decisions
from app.domain.decision import Record
from app.domain.ports import Transcriber
from app.media.decode import decode
from app.policy.routes_file import AwsRoute, LocalRoute, OpenAIRoute, RouteTable, profile
from app.policy.rules_file import read_rules, rules_path
from app.policy.watch import watched
from app.runtime.clock import SystemClock
from app.runtime.metrics import RouteMetrics
from app.runtime.routes import Routes
from app.runtime.service import Policy

PROBE = Path(__file__).parents[1] / "runtime" / "probe.flac"
"""John F. Kennedy, 1961: "ask what you can do for your country". Public domain."""


@asynccontextmanager
async def open_policy(
    settings: Settings, tables: Mapping[str, RouteTable]
) -> AsyncGenerator[tuple[Routes, Policy], None]:
    """These routes, opened and tended, and the log of what they did."""
    rules = await watched(rules_path(settings.parley_policy), read_rules)
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        decisions = await stack.enter_async_context(open_decisions(settings.database_url))
        engines = {name: await stack.enter_async_context(_open_route(settings, name, t)) for name, t in tables.items()}
        routes = Routes(
            tuple(profile(name, table) for name, table in tables.items()),
            engines,
            rules=lambda: rules.value,
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
        await stack.enter_async_context(beside(decisions.write, routes.tend, partial(rules.follow, clock)))
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


def _open_route(settings: Settings, name: str, table: RouteTable) -> AbstractAsyncContextManager[Transcriber]:
    match table:
        case LocalRoute():
            return cast(
                AbstractAsyncContextManager[Transcriber],
                open_whisper(settings, finals_model(settings), settings.beam_size),
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
