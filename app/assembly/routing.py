"""Opens the routes of finals, the rules over them, and the decision log."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from random import SystemRandom
from typing import Protocol, assert_never, cast

from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncEngine

from app import registry
from app.assembly.speech import finals_model, open_speech_engine, spoken_clip
from app.config import Settings
from app.data.decisions import DecisionLog, decisions_in
from app.data.pruning import prune_loop
from app.data.spend import SpendTable
from app.domain.errors import ProviderBusy
from app.domain.ports import DraftTranscriber, Metered, Reporting, Transcriber
from app.domain.residency import Place
from app.domain.routing.decision import DecisionRecord, Expense
from app.policy.reloading_file import open_reloading_file
from app.policy.routes_file import AwsRoute, LocalRoute, OpenAIRoute, RouteTable, route_spec
from app.policy.rules_file import read_rules, rules_path
from app.runtime.clock import SystemClock
from app.runtime.routing.metering import EngineMeter
from app.runtime.routing.route_metrics import RoutingMetrics
from app.runtime.routing.routes import Routes
from app.runtime.routing.spend_sync import SpendSync
from app.runtime.service import RoutingPolicy
from app.runtime.supervision import report_defect, run_in_background

EARLIER = "earlier"
"""Process of the rows that stand for spending recorded before there was a shared table."""


@asynccontextmanager
async def open_policy(
    settings: Settings,
    database: AsyncEngine,
    tables: Mapping[str, RouteTable],
    registry: CollectorRegistry,
    on_change: Callable[[str], None] = lambda _: None,
    *,
    database_answers: bool = True,
) -> AsyncGenerator[tuple[Routes, RoutingPolicy], None]:
    """These routes with open engines and their maintenance running, and the log of their decisions.

    `on_change` is called as ReloadingFile calls it, for the rules file. Where the database does not answer, spending is
    shared once it does.
    """
    rules = await open_reloading_file(rules_path(settings.policy), read_rules)
    rules.on_change = on_change
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        decisions = await stack.enter_async_context(decisions_in(database))
        clip = await spoken_clip()
        engines = {
            name: await stack.enter_async_context(_open_route(settings, name, table, clip))
            for name, table in tables.items()
        }
        routes = Routes(
            tuple(route_spec(name, table) for name, table in tables.items()),
            engines,
            rules=lambda: rules.value,
            clock=clock,
            chance=SystemRandom().random,
            reporting={name: cast(Reporting, engines[name]) for name, table in tables.items() if may_be_worker(table)},
            clip=clip,
        )
        decisions.is_recorded = lambda session: routes.is_recorded(session)  # noqa: PLW0108 because it is set later
        spend = SpendSync(routes.ledger, SpendTable(database), clock)
        if database_answers:
            await _carry_over_spend(decisions, routes.ledger.today())
            await spend.sync()
        stack.push_async_callback(spend.close)
        metrics = RoutingMetrics(routes, registry, lambda: decisions.dropped, lambda: spend.age_s)

        def record_decision(decision: DecisionRecord) -> None:
            decisions.record(decision)
            metrics.record_decision(decision)

        def record_expense(expense: Expense) -> None:
            decisions.record(expense)
            metrics.record_expense(expense)

        routes.record_decision, routes.record_expense = record_decision, record_expense
        await stack.enter_async_context(
            run_in_background(
                {
                    "spend_sync": spend.sync_loop,
                    "decision_writer": decisions.write_loop,
                    "decision_pruning": partial(prune_loop, "decisions", decisions.prune, settings.decisions_keep_days),
                    "spend_pruning": partial(
                        prune_loop, "spending", SpendTable(database).prune, settings.spend_keep_days
                    ),
                    "route_probes": routes.maintain,
                    "policy_file": partial(rules.reload_loop, clock),
                }
            )
        )
        yield routes, RoutingPolicy(routes, decisions, lambda: rules.error, lambda: spend.age_s)


async def _carry_over_spend(decisions: DecisionLog, today: str) -> None:
    """On a day without shared spending, share that of a release which recorded decisions alone."""
    earlier = SpendTable(decisions.engine, EARLIER)
    with suppress(ProviderBusy):  # because a database that is locked for a moment must not prevent the start
        if not await SpendTable(decisions.engine).spent_by_others(today) and (spent := await decisions.spent_on(today)):
            await earlier.publish({(today, tenant): usd for tenant, usd in spent.items()})


class _LocalSession(Transcriber, DraftTranscriber, Protocol):
    """Finals and drafts of one session."""


class _LocalEngine(Protocol):
    """The local engine: one view per session, which knows what the session said before."""

    def for_session(self, drafter: DraftTranscriber) -> _LocalSession: ...


class _MeteredTranscriber(Transcriber, Metered, Protocol):
    """A Transcriber that counts what it costs."""


class _WithStream(Protocol):
    """Amazon Transcribe: one stream per session."""

    def session(self) -> AbstractAsyncContextManager[_MeteredTranscriber]: ...


@dataclass(frozen=True, slots=True)
class SessionEngines:
    """The routes' engines for one session, and the meters of those that count their own cost."""

    engines: Mapping[str, Transcriber]
    meters: Mapping[str, EngineMeter]
    local: DraftTranscriber | None
    """The model for finals in this process, for drafts in languages that the one for drafts does not know."""


@asynccontextmanager
async def open_session_engines(
    routes: Routes, tables: Mapping[str, RouteTable], drafter: DraftTranscriber
) -> AsyncGenerator[SessionEngines, None]:
    """Amazon Transcribe keeps a stream for each session, the local model its left context, the others nothing."""
    async with AsyncExitStack() as stack:
        own, meters, local = dict(routes.engines), dict[str, EngineMeter](), None
        for name, table in tables.items():
            if isinstance(table, LocalRoute):
                own[name] = local = cast(_LocalEngine, routes.engines[name]).for_session(drafter)
            if isinstance(table, AwsRoute):
                metered = await stack.enter_async_context(cast(_WithStream, routes.engines[name]).session())
                own[name] = metered
                meters[name] = EngineMeter(metered, routes.states[name].spec.price)
        yield SessionEngines(own, meters, local)


def may_be_worker(table: RouteTable) -> bool:
    """Whether it may be a Parley worker: a server with an address of its own."""
    return isinstance(table, OpenAIRoute) and table.base_url is not None


def route_key(settings: Settings, table: OpenAIRoute) -> str:
    """The key for a route: its own, OpenAI's for OpenAI's address, the workers' on the premises; empty for none."""
    if table.api_key is not None:
        return table.api_key
    secret = None
    if table.base_url is None or table.base_url == settings.openai_base_url:
        secret = settings.openai_api_key
    elif table.place is Place.ON_PREM:
        secret = settings.worker_key
    return secret.get_secret_value() if secret else ""


def _open_route(
    settings: Settings, name: str, table: RouteTable, clip: bytes
) -> AbstractAsyncContextManager[Transcriber]:
    match table:
        case LocalRoute():
            return cast(
                AbstractAsyncContextManager[Transcriber],
                open_speech_engine(settings, finals_model(settings), settings.beam_size, clip),
            )
        case OpenAIRoute():
            return registry.opened(
                registry.TRANSCRIBERS,
                "openai",
                provider_name=name,
                base_url=table.base_url or settings.openai_base_url,
                api_key=route_key(settings, table),
                model=table.model,
                prompt=table.prompt,
                is_worker=may_be_worker(table),
                gives_words=may_be_worker(table) or table.model == "whisper-1",
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
                report_defect=report_defect,
            )
        case _:
            assert_never(table)
