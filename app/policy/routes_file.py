"""Reads the routes of finals from a TOML file: one table each, named by the operator."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias, cast

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from app.domain.errors import ClientError, SettingsError
from app.domain.language import parse_language
from app.domain.residency import Place
from app.domain.routing.circuit_breaker import CircuitBreakerRules
from app.domain.routing.cost import Price
from app.domain.routing.fleet import RouteSpec
from app.policy.rules_file import Amount, Share
from app.toml_file import TomlDocument, read_document


class _Route(
    Struct, frozen=True, forbid_unknown_fields=True, tag_field="engine", kw_only=True, rename={"open_s": "rest_s"}
):
    """Keys of every route; `engine` is its name in `app.registry`."""

    place: Place | UnsetType = UNSET
    usd_per_minute: Amount | UnsetType = UNSET
    minimum_s: Amount | UnsetType = UNSET
    languages: tuple[str, ...] = ()
    longest_s: Amount | None = None
    at_once: Annotated[int, Meta(ge=1)] | None = None
    quality: Share = 0.5
    expected_ms: Amount = 1000.0
    slow_ms: Amount = 4000.0
    open_s: Amount = 5.0


class LocalRoute(_Route, frozen=True, tag="local", kw_only=True):
    """The model in this process."""


class OpenAIRoute(_Route, frozen=True, tag="openai", kw_only=True):
    """OpenAI, or anything with its `POST /audio/transcriptions`, such as `parley worker`."""

    base_url: str | None = None
    """None: the setting OPENAI_BASE_URL."""
    model: str = "gpt-4o-mini-transcribe"
    prompt: str = ""
    """Words that are likely in the audio."""
    api_key: str | None = None
    """None: the setting OPENAI_API_KEY, for the setting's own address alone."""


class AwsRoute(_Route, frozen=True, tag="aws", kw_only=True):
    """Amazon Transcribe, streaming."""

    region: str
    language: str = "en-US"
    """For sessions that name none."""
    endpoint_url: str | None = None
    vocabulary: str | None = None


RouteTable: TypeAlias = LocalRoute | OpenAIRoute | AwsRoute

ONLY_LOCAL: Mapping[str, RouteTable] = {"local": LocalRoute()}
"""The routes where no file is given: the model in this process."""


def read_routes(path: Path | None) -> Mapping[str, RouteTable]:
    """The routes by name. Blocking. Raises SettingsError that names the line and the key."""
    if path is None:
        return ONLY_LOCAL
    document, source, routes = read_document(path, setting="PARLEY_ROUTES"), str(path), dict[str, RouteTable]()
    for name in document.table:
        if not re.fullmatch("[a-z0-9][a-z0-9-]*", name):
            raise SettingsError(f"{source}: {name}: a route's name has small letters, digits and hyphens")
        route = document.convert(cast(type[RouteTable], RouteTable), under=name)
        routes[name] = replace(route, languages=known_languages(document, f"{name}.languages", route.languages))
    if not routes:
        raise SettingsError(f"PARLEY_ROUTES: {path} names no route")
    if sum(isinstance(route, LocalRoute) for route in routes.values()) > 1:
        raise SettingsError(f"PARLEY_ROUTES: {path} has more than one route with engine local")
    for name, route in routes.items():
        if isinstance(route, LocalRoute) and route.place is Place.CLOUD:
            raise SettingsError(f"{path}: {name}.place: the model in this process is on_prem")
        if isinstance(route, AwsRoute) and route.place is Place.ON_PREM:
            raise SettingsError(f"{path}: {name}.place: Amazon is no place on the premises")
    return routes


def known_languages(document: TomlDocument, at: str, tags: Sequence[str]) -> tuple[str, ...]:
    """The codes of the languages in this key of the document. Raises SettingsError."""
    try:
        return tuple(parse_language(tag) for tag in tags)
    except ClientError as error:
        raise SettingsError(document.complaint(at, str(error))) from error


def route_spec(name: str, route: RouteTable) -> RouteSpec:
    """The route as the policy needs it. By default a remote one is in the cloud and costs money."""
    match route:
        case LocalRoute():
            place, price, live = Place.ON_PREM, Price(), False
        case AwsRoute():
            place, price, live = Place.CLOUD, Price(0.024, 15), True
        case OpenAIRoute():
            place = Place.CLOUD if route.place is UNSET else route.place
            price, live = Price(0.006 if place is Place.CLOUD else 0.0), False
    price = Price(_or(route.usd_per_minute, price.usd_per_minute), _or(route.minimum_s, price.minimum_s))
    return RouteSpec(
        name,
        place,
        price,
        route.languages,
        route.longest_s,
        route.at_once,
        route.quality,
        live,
        route.expected_ms,
        CircuitBreakerRules(slow_ms=route.slow_ms, open_s=route.open_s),
    )


def _or(given: Any, otherwise: float) -> float:
    return otherwise if given is UNSET else float(given)
