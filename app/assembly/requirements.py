"""What a configuration needs from whoever deploys it: models, extras, variables, ports, connections, scopes. No I/O."""

from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct

from app import registry
from app.assembly.speech import SPEAKER_MODEL, drafts_model, finals_models, second_model
from app.assembly.voices import voice_providers
from app.config import Settings
from app.domain.loopback import is_loopback
from app.domain.principal import Scope
from app.domain.residency import Place
from app.environment import variable
from app.models.catalogue import Catalogue
from app.policy.routes_file import AwsRoute, LocalRoute, OpenAIRoute, RouteTable

Process: TypeAlias = Literal["serve", "worker"]
Device: TypeAlias = Literal["cpu", "cuda"]

HTTPS = 443
_SCHEME_PORTS = {"http": 80, "https": HTTPS, "postgresql": 5432}


class RequiredVariable(Struct, frozen=True, order=True):
    """A setting without which this configuration does not start, or does not do what it is told to."""

    name: str
    secret: bool
    """Its value is no one's to read: keep it in a secret store, and never in a state or a file of the repository."""
    set: bool
    """Whether the configuration has it."""


class ListeningPort(Struct, frozen=True, order=True):
    """A TCP port that the process listens on."""

    port: int
    purpose: str


class OutgoingConnection(Struct, frozen=True, order=True):
    """What the process connects to, for the rules of a firewall."""

    purpose: str
    host: str
    """Empty: several hosts of the provider."""
    port: int


class Requirements(Struct, frozen=True):
    """What one process with this configuration needs."""

    process: Process
    device: Device
    models: tuple[str, ...]
    """Names or folders of the models that it opens at the start."""
    preferred_models: tuple[str, ...]
    """Models that it uses where they were pulled, and does without otherwise."""
    extras: tuple[str, ...]
    """Optional dependencies of the package."""
    variables: tuple[RequiredVariable, ...]
    ports: tuple[ListeningPort, ...]
    connections: tuple[OutgoingConnection, ...]
    scopes: tuple[Scope, ...]
    """Scopes that keys of its clients may need."""


def server_requirements(
    settings: Settings, routes: Mapping[str, RouteTable], device: Device, catalogue: Catalogue
) -> Requirements:
    """What `parley serve` needs with these settings and routes, where the speech models run on this device."""
    models, preferred = _server_models(settings, routes, device, catalogue)
    return Requirements(
        process="serve",
        device=device,
        models=models,
        preferred_models=preferred,
        extras=_extras(settings, routes),
        variables=_variables(settings, routes),
        ports=_ports(settings),
        connections=tuple(sorted(set(_connections(settings, routes)))),
        scopes=_scopes(settings),
    )


def worker_requirements(settings: Settings, device: Device, catalogue: Catalogue) -> Requirements:
    """What `parley worker` needs with these settings."""
    models, preferred = _finals(settings, device, catalogue)
    key = RequiredVariable(variable("worker_key"), secret=True, set=settings.worker_key is not None)
    return Requirements(
        process="worker",
        device=device,
        models=models,
        preferred_models=preferred,
        extras=tuple(sorted({"local"} | _trace_extras(settings))),
        variables=() if settings.auth == "none" else (key,),
        ports=(ListeningPort(settings.port, "HTTP"),),
        connections=tuple(_trace_connections(settings)),
        scopes=(),
    )


def _server_models(
    settings: Settings, routes: Mapping[str, RouteTable], device: Device, catalogue: Catalogue
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those that are needed, and those that are preferred."""
    finals_here = any(isinstance(route, LocalRoute) for route in routes.values())
    finals, preferred = _finals(settings, device, catalogue) if finals_here else ((), ())
    needed = [drafts_model(settings), *finals]
    if settings.turn_model_id != "none":
        needed.append(settings.turn_model_id)
    if settings.speakers:
        needed.append(SPEAKER_MODEL)
    if "piper" in _voices(settings):
        needed.append(settings.voice_model_id)
    if "embedded" in _reply_engines(settings):
        needed.append(settings.reply_model_id)
    return tuple(dict.fromkeys(needed)), preferred


def _finals(settings: Settings, device: Device, catalogue: Catalogue) -> tuple[tuple[str, ...], tuple[str, ...]]:
    *preferred, otherwise = finals_models(settings, device)
    is_moonshine = otherwise in catalogue and catalogue.find(otherwise).format == "moonshine"
    second = (second_model(settings),) if is_moonshine and settings.second_model_id != "none" else ()
    return (otherwise, *second), tuple(preferred)


def _voices(settings: Settings) -> set[str]:
    reserve = {settings.speech_provider_over_budget} if "polly" in settings.speech_provider else set()
    return {*voice_providers(settings), *reserve} - {"none"}


def _reply_engines(settings: Settings) -> set[str]:
    """`auto` is OpenAI where a key is set; else Ollama where it answers, and the embedded engine where not."""
    named = {str(name) for name in (*settings.reply_provider, settings.reply_provider_over_budget) if name != "none"}
    if "auto" in named:
        named |= {"openai"} if settings.openai_api_key else {"ollama", "embedded"}
    return named - {"auto"}


def _extras(settings: Settings, routes: Mapping[str, RouteTable]) -> tuple[str, ...]:
    entries = [
        registry.DETECTORS[settings.vad],
        registry.TRANSCRIBERS["local"],  # drafts, whatever makes the finals
        registry.BLOB_STORES[settings.blob_store],
        *(registry.TRANSCRIBERS[_engine(route)] for route in routes.values()),
        *(registry.REPLY_GENERATORS[name] for name in _reply_engines(settings)),
        *(registry.SYNTHESIZERS[name] for name in _voices(settings)),
    ]
    if settings.google_drive_service_account:
        entries.append(registry.SOURCES["google_drive"])
    if settings.archive_key or settings.archive_key_file:
        entries.append(registry.CIPHERS["aes"])
    extras = {entry.extra for entry in entries if entry.extra} | _trace_extras(settings)
    if settings.database_url.startswith("postgresql"):
        extras.add("postgres")
    if settings.jwt_jwks_url or settings.google_drive_service_account:
        extras.add("encryption")
    if settings.wyoming_port and settings.wyoming_zeroconf and not is_loopback(settings.host):
        extras.add("wyoming")
    return tuple(sorted(extras))


def _trace_extras(settings: Settings) -> set[str]:
    return {"otel"} if settings.otlp_url else set()


def _trace_connections(settings: Settings) -> Iterator[OutgoingConnection]:
    if settings.otlp_url:
        yield _at("traces", settings.otlp_url)


def _engine(route: RouteTable) -> str:
    match route:
        case LocalRoute():
            return "local"
        case AwsRoute():
            return "aws"
        case OpenAIRoute():
            return "openai"


def _variables(settings: Settings, routes: Mapping[str, RouteTable]) -> tuple[RequiredVariable, ...]:
    fields = set[str]()
    if settings.auth != "none" and settings.tenants is None and not is_loopback(settings.host):
        fields.add("admin_key")  # the first key; the others are made with it
    if any(isinstance(route, OpenAIRoute) and _asks_worker_key(route) for route in routes.values()):
        fields.add("worker_key")
    if "openai" in _reply_engines(settings):
        fields.add("openai_api_key")
    match settings.blob_store:
        case "s3":
            fields.add("s3_bucket")
        case "azure":
            fields |= {"azure_container"}
            fields |= {"azure_connection_string"} if settings.azure_connection_string else {"azure_account_url"}
        case "filesystem":
            pass
    if settings.twilio_auth_token:
        fields |= {"twilio_auth_token", "public_url"}
    if settings.jwt_jwks_url:
        fields |= {"jwt_issuer", "jwt_audience"}
    return tuple(sorted(_variable(settings, field) for field in fields))


def _asks_worker_key(route: OpenAIRoute) -> bool:
    return route.place is Place.ON_PREM and route.api_key is None


def _variable(settings: Settings, field: str) -> RequiredVariable:
    is_secret = "SecretStr" in str(Settings.model_fields[field].annotation)
    return RequiredVariable(variable(field), secret=is_secret, set=bool(getattr(settings, field)))


def _ports(settings: Settings) -> tuple[ListeningPort, ...]:
    own = [ListeningPort(settings.port, "HTTP and WebSockets")]
    if settings.wyoming_port:
        own.append(ListeningPort(settings.wyoming_port, "Wyoming"))
    return tuple(own)


def _connections(settings: Settings, routes: Mapping[str, RouteTable]) -> Iterator[OutgoingConnection]:
    if settings.database_url.startswith("postgresql"):
        yield _at("database", settings.database_url)
    replies = _reply_engines(settings)
    if "openai" in replies:
        yield _at("replies", settings.openai_base_url)
    if "ollama" in replies:
        yield _at("replies", settings.ollama_base_url)
    if "receiver" in replies:
        yield OutgoingConnection("replies", settings.receiver_host, settings.receiver_port)
    if "polly" in _voices(settings):
        yield OutgoingConnection("speech", "", HTTPS)
    for route in routes.values():
        if isinstance(route, OpenAIRoute):
            yield _at("finals", route.base_url or settings.openai_base_url)
        elif isinstance(route, AwsRoute):
            yield _at("finals", route.endpoint_url) if route.endpoint_url else OutgoingConnection("finals", "", HTTPS)
    match settings.blob_store:
        case "s3" if settings.s3_endpoint_url:
            yield _at("recordings", settings.s3_endpoint_url)
        case "azure" if settings.azure_account_url:
            yield _at("recordings", settings.azure_account_url)
        case "s3" | "azure":
            yield OutgoingConnection("recordings", "", HTTPS)
        case "filesystem":
            pass
    if settings.google_drive_service_account:
        yield OutgoingConnection("imports", "", HTTPS)
    if settings.jwt_jwks_url:
        yield _at("keys of the issuer", settings.jwt_jwks_url)
    yield from _trace_connections(settings)


def _at(purpose: str, url: str) -> OutgoingConnection:
    parts = urlsplit(url)
    scheme = parts.scheme.partition("+")[0]
    return OutgoingConnection(purpose, parts.hostname or "", parts.port or _SCHEME_PORTS.get(scheme, HTTPS))


def _scopes(settings: Settings) -> tuple[Scope, ...]:
    """Without replies nothing answers texts."""
    return tuple(sorted(set(Scope) if _reply_engines(settings) else set(Scope) - {Scope.CHAT}))
