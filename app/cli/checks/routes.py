"""Checks of the routes of finals: their file, the policy, and each server that a route names."""

from collections.abc import Mapping, Sequence
from functools import partial

from anyio import to_thread

from app import registry
from app.assembly.routing import may_be_worker, route_key
from app.cli.checks.result import Check, CheckMark, CheckResult
from app.config import Settings
from app.domain.errors import ParleyError, SettingsError
from app.policy.routes_file import AwsRoute, OpenAIRoute, RouteTable, read_routes
from app.policy.rules_file import read_rules, rules_path

_TIMEOUT_S = 5.0


async def route_checks(settings: Settings) -> list[Check]:
    """The first one says what is wrong with the files, and then there are no others."""
    checks = [Check("routing", partial(_routing, settings))]
    try:
        routes = await to_thread.run_sync(read_routes, settings.routes)
    except ParleyError:
        return checks
    for name, route in routes.items():
        if isinstance(route, OpenAIRoute):
            checks.append(Check(f"route {name}", partial(_server, settings, route)))
    return checks


async def _routing(settings: Settings) -> str:
    routes = await to_thread.run_sync(read_routes, settings.routes)
    rules = await to_thread.run_sync(read_rules, rules_path(settings.policy))
    return f"{', '.join(routes)}; policy {rules.name}"


async def _server(settings: Settings, route: OpenAIRoute) -> str:
    """A worker has one model, whatever it is called."""
    model_problem = registry.load(registry.PROBES, "chat_model")
    url, model = route.base_url or settings.openai_base_url, None if may_be_worker(route) else route.model
    if problem := await model_problem(url, model, api_key=route_key(settings, route), timeout_s=_TIMEOUT_S):
        raise SettingsError(problem)
    return url


async def amazon_results(settings: Settings, routes: Mapping[str, RouteTable], *, always: bool) -> list[CheckResult]:
    """What Amazon answers: Transcribe for each route, Polly for its voice; `always` both, in the settings' region."""
    asked = [
        (route.region, route.endpoint_url, ["transcribe"]) for route in routes.values() if isinstance(route, AwsRoute)
    ]
    if always or "polly" in settings.speech_provider:
        asked.append((settings.aws_region, None, ["transcribe", "polly"] if always else ["polly"]))
    return [
        result
        for region, endpoint_url, services in asked
        for result in await _amazon(settings, region, endpoint_url, services)
    ]


async def _amazon(
    settings: Settings, region: str, endpoint_url: str | None, services: Sequence[str]
) -> list[CheckResult]:
    try:
        check = registry.load(registry.PROBES, "aws")
    except SettingsError as error:
        return [CheckResult("aws", str(error), CheckMark.WRONG)]
    results = list[CheckResult]()
    for found in await check(
        region=region,
        transcribe_endpoint_url=endpoint_url or settings.aws_endpoint_url_transcribe_streaming,
        voice=settings.polly_voice,
        engine=settings.polly_engine,
    ):
        if found.service not in {"sts", *services}:
            continue
        who = f", as {found.identity}" if found.identity else ""
        detail = found.problem or f"{found.round_trip_ms:.0f} ms{who}"
        mark = CheckMark.OK if found.problem is None else CheckMark.WRONG
        results.append(CheckResult(f"aws {found.service}", f"{found.region}: {detail}", mark))
    return results
