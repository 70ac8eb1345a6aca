"""Terraform, compose, image and code say the same."""

import ast
import json
import re
import shutil
from fnmatch import fnmatch
from pathlib import Path
from xml.etree import ElementTree as ET

import botocore.session
import click
import pytest
from botocore import xform_name

from app.assembly.speech import drafts_model
from app.cli import parley
from app.cli.bundle import MODELS
from app.cli.embedded_metrics import EMIT_EVERY_SECONDS, embedded_metrics
from app.config import Settings, settings_from
from app.environment import ALIASES, variable
from app.models.catalogue import load_catalogue
from app.policy.routes_file import read_routes
from app.web.listener import DRAIN_SECONDS, KEEP_ALIVE_SECONDS, PING_SECONDS
from app.web.server import create_app
from app.wyoming.announcement import SERVICE_TYPE
from tests.infra.conftest import TERRAFORM
from tests.infra.shipped import DOCKER, JETSON, applied, compose, dockerfile_environment, environment_of, seconds
from tests.infra.stub.terraform import ROOT
from tests.serving import scripted_service

SETTINGS = {variable(field) for field in Settings.model_fields}
VENDORS = {"AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_TENANT_ID", "AWS_REGION"}
"""Read by the clouds' own packages."""
PROGRAMS = {"PATH", "HOME", "LD_LIBRARY_PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "UV_PYTHON_INSTALL_DIR"}
AWAITED_PACKAGES: set[str] = set()
"""What the database's address needs in the image, and does not find there yet."""
OURS = ("gateway", "worker")
NO_FILE = Path("there is no such .env")


@pytest.fixture(scope="module", params=["dev", "prod"])
def cloud(request, terraform, tmp_path_factory):
    """An environment as it would stand."""
    tree = tmp_path_factory.mktemp(request.param) / "terraform"
    shutil.copytree(TERRAFORM, tree, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
    return applied(terraform, tree, request.param, tree.parent)


@pytest.fixture(scope="module", params=[DOCKER, JETSON], ids=["docker", "jetson"])
def host(request):
    """The services on one machine."""
    return compose(request.param / "compose.yaml")


# -- Settings ---------------------------------------------------------------------------------------


def test_awaited_packages_are_not_pinned_yet():
    """A package that is pinned is awaited no longer."""
    pinned = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / "serve.txt").read_text(), re.MULTILINE))
    assert set() == AWAITED_PACKAGES & pinned


def test_terraform_sets_only_variables_that_the_code_reads(cloud):
    """Every variable of every task of ours is a setting, and every value one the setting takes."""
    for name, container in cloud.containers().items():
        if name not in OURS:
            continue
        environment = environment_of(container)
        secrets = {each["name"] for each in container.get("secrets", ())}
        assert (environment.keys() | secrets) <= SETTINGS | VENDORS, name
        assert not environment.keys() & secrets
        settings_from(environment, NO_FILE, {})


def test_compose_sets_only_variables_that_the_code_reads(host):
    """The same on one host."""
    for name in OURS:
        environment = host[name]["environment"] if name in host else {}
        assert environment.keys() <= SETTINGS, name
        settings_from(environment, NO_FILE, {})


@pytest.mark.parametrize("folder", [DOCKER, JETSON], ids=["docker", "jetson"])
def test_image_sets_only_variables_that_the_code_reads(folder):
    """And in the image."""
    environment = dockerfile_environment(folder / "Dockerfile")

    assert environment.keys() <= SETTINGS | ALIASES.keys() | PROGRAMS


def test_container_commands_exist_with_their_options(cloud, host):
    """What containers are told to run is a command of ours, with options it has."""
    commands = [each["command"] for name, each in cloud.containers().items() if name in OURS]
    commands += [each["command"] for name, each in host.items() if name in (*OURS, "models")]
    for name, *words in commands:
        command = parley.get_command(click.Context(parley), name)
        options = {option for each in command.params for option in each.opts}
        subcommands = getattr(command, "commands", {}).keys()
        assert set(words) <= options | subcommands


def test_terraform_routes_file_is_valid(cloud, tmp_path):
    """What one container writes is what the other can read: this process, Transcribe here, and the workers."""
    written = environment_of(cloud.containers()["routes"])["FILE"]
    (tmp_path / "routes.toml").write_text(written)

    routes = read_routes(tmp_path / "routes.toml")

    assert routes.keys() - {"worker"} == {"local", "aws"}
    assert routes["aws"].region == environment_of(cloud.containers()["gateway"])["AWS_REGION"]
    assert ("worker" in routes) == ("worker" in cloud.containers())
    if "worker" in routes:
        port = environment_of(cloud.containers()["worker"])["PARLEY_PORT"]
        assert re.fullmatch(rf"http://worker\.parley-\w+\.internal:{port}/v1", routes["worker"].base_url)
    assert "routes.toml" in cloud.containers()["routes"]["command"][0]


def test_compose_routes_file_names_the_worker():
    """And so is the file compose mounts."""
    routes = read_routes(DOCKER / "routes" / "worker.toml")
    port = compose(DOCKER / "compose.yaml")["worker"]["environment"]["PARLEY_PORT"]

    assert routes["worker"].base_url == f"http://worker:{port}/v1"


# -- Models -----------------------------------------------------------------------------------------


def test_bundle_has_every_model_that_the_jetson_opens():
    """A box without a network cannot fetch what is missing."""
    environment = compose(JETSON / "compose.yaml")["gateway"]["environment"]

    assert models_of_a_server(settings_from(environment, NO_FILE, {})) <= set(MODELS)


def test_compose_pulls_the_models_that_its_services_open():
    """Gateway and worker each wait for a service that has pulled theirs."""
    services = compose(DOCKER / "compose.yaml")
    gateway = settings_from(services["gateway"]["environment"], NO_FILE, {})
    worker = settings_from(services["worker"]["environment"], NO_FILE, {})

    assert models_of_a_server(gateway) <= pulled_before(services, "gateway")
    assert {worker.transcription_model_id} <= pulled_before(services, "worker")


def pulled_before(services, name: str) -> set[str]:
    """What the service waits for: `models pull` with these names, or without any with the default models."""
    commands = [services[other]["command"] for other in services[name]["depends_on"]]
    pulls = [names for first, *names in filter(None, commands) if first == "models"]
    defaults = [model.name for model in load_catalogue().defaults]
    return {model for _, *names in pulls for model in names or defaults}


def models_of_a_server(settings: Settings) -> set[str]:
    """The models that `parley serve` opens in its process."""
    finals = "whisper-base" if settings.transcription_model_id == "auto" else settings.transcription_model_id
    models = {drafts_model(settings), finals, settings.turn_model_id}
    models |= {settings.voice_model_id} if "piper" in settings.speech_provider else set()
    return models | ({settings.reply_model_id} if "embedded" in settings.reply_provider else set())


# -- Ports, paths, health ---------------------------------------------------------------------------


def test_terraform_ports_and_health_check_match_the_gateway(cloud):
    """Load balancer, firewall, container and setting name one port; the health check names a route that exists."""
    container = cloud.containers()["gateway"]
    port = int(environment_of(container)["PARLEY_PORT"])
    (target,) = cloud.of("aws_lb_target_group")
    (service,) = cloud.of("aws_ecs_service", module="gateway")
    ingress = cloud.of("aws_vpc_security_group_ingress_rule", "from_lb") + cloud.of(
        "aws_vpc_security_group_egress_rule", "to_tasks"
    )

    assert [each["containerPort"] for each in container["portMappings"]] == [port]
    assert (target["port"], service["load_balancer"][0]["container_port"]) == (port, port)
    assert {(each["from_port"], each["to_port"]) for each in ingress} == {(port, port)}
    assert target["health_check"][0]["path"] in _routes()
    assert environment_of(container)["PARLEY_HOST"] == "0.0.0.0"


def test_compose_ports_and_upstream_match_the_gateway(host):
    """NGINX's upstream is the gateway's name and port, and is published on 80 and 443."""
    port = host["gateway"]["environment"]["PARLEY_PORT"]
    nginx = host["nginx"]

    assert nginx["environment"]["PARLEY_UPSTREAM"] == f"gateway:{port}"
    assert host["gateway"]["expose"] == [port]
    published = {each["published"]: str(each["target"]) for each in nginx["ports"]}
    assert published == {"80": nginx["environment"]["HTTP_PORT"], "443": nginx["environment"]["HTTPS_PORT"]}
    variables = set(re.findall(r"\$\{(\w+)\}", (DOCKER / "nginx" / "parley.conf.template").read_text()))
    assert variables == nginx["environment"].keys()


def test_jetson_publishes_and_announces_the_wyoming_port():
    """Setting, published port and announcement name one port; without a tenant nobody is let in without a key."""
    gateway = compose(JETSON / "compose.yaml")["gateway"]
    settings = settings_from(gateway["environment"], NO_FILE, {})
    (service,) = ET.parse(JETSON / "avahi-wyoming.service").iter("service")

    assert settings.wyoming_port == 10300
    assert (settings.wyoming_tenant, settings.wyoming_zeroconf) == ("", False)
    assert [(each["published"], each["target"]) for each in gateway["ports"]] == [("10300", settings.wyoming_port)]
    assert f"{service.findtext('type')}.local." == SERVICE_TYPE
    assert int(service.findtext("port")) == settings.wyoming_port


def test_image_health_check_matches_the_server(cloud):
    """The image's own check asks a route that exists, at the port that is set."""
    script = (DOCKER / "health.py").read_text()
    text = (DOCKER / "Dockerfile").read_text()

    assert re.search(r"\}(/[\w/]+)\"", script)[1] in _routes()
    assert "HEALTHCHECK" in text
    assert 'CMD ["parley-health"]' in text
    assert "infra/docker/health.py /usr/local/bin/parley-health" in text
    for name in OURS:
        if name in cloud.containers():
            assert cloud.containers()[name]["healthCheck"]["command"] == ["CMD", "parley-health"]
    assert dockerfile_environment(DOCKER / "Dockerfile")["PORT"] == re.search(r"^EXPOSE (\d+)", text, re.MULTILINE)[1]


def test_only_mounted_volumes_are_writable(cloud, host):
    """The root is read-only everywhere; what the image declares as volumes is mounted, and nothing else is writable."""
    volumes = set(json.loads(re.search(r"^VOLUME (.*)$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)[1]))
    image = dockerfile_environment(DOCKER / "Dockerfile")
    for name in OURS:
        if name in cloud.containers():
            container = cloud.containers()[name]
            assert container["readonlyRootFilesystem"]
            assert {m["containerPath"] for m in container["mountPoints"] if not m["readOnly"]} == volumes
            assert environment_of(container)["PARLEY_MODELS_DIR"] == image["PARLEY_MODELS_DIR"]
    gateway = host["gateway"]
    writable = {each["target"] for each in gateway["volumes"] if not each.get("read_only")}
    assert gateway["read_only"]
    assert writable | {each.split(":")[0] for each in gateway["tmpfs"]} == volumes
    assert gateway["environment"]["PARLEY_MODELS_DIR"] in {each["target"] for each in gateway["volumes"]}
    assert any(gateway["environment"]["PARLEY_AUDIO_STORAGE_DIR"].startswith(path) for path in volumes)


def test_operator_paths_are_hidden_by_load_balancer_and_nginx(cloud):
    """Every path but page, sockets, chat and its jobs, /v1 and health is kept from the world, by both alike."""
    (rule,) = cloud.of("aws_lb_listener_rule", "operators")
    hidden = {path for each in rule["condition"] for one in each["path_pattern"] for path in one["values"]}
    conf = (DOCKER / "nginx" / "parley.conf.template").read_text()
    refused = re.findall(r"location (?:= )?(/\S+) +\{ return 404; \}", conf)
    public = {
        "/",
        "/health",
        "/health/live",
        "/health/ready",
        "/ws/transcribe",
        "/ws/raw",
        "/auth/session-tokens",
        "/profiles",
    }
    public |= {"/schema", "/schema/openapi.json"}
    public |= {"/chat"} | {
        route for route in _routes() if route.startswith(("/conversations", "/jobs", "/v1/", "/v2/"))
    }

    for route in _routes() - public:
        if route.startswith("/{"):
            continue  # files of the page
        assert any(fnmatch(route, pattern) for pattern in hidden), route
        assert any(route.startswith(path) for path in refused), route


# -- Times ------------------------------------------------------------------------------------------


def test_terraform_timeouts_allow_pings_and_drain(cloud):
    """Nothing cuts a silent socket between two pings, and nothing kills a task that is still storing last words."""
    (lb,) = cloud.of("aws_lb")

    assert lb["idle_timeout"] >= 3 * PING_SECONDS
    assert lb["idle_timeout"] < KEEP_ALIVE_SECONDS
    for name in OURS:
        if name in cloud.containers():
            assert DRAIN_SECONDS + 10 <= cloud.containers()[name]["stopTimeout"] <= 120


def test_compose_timeouts_allow_pings_and_drain(host):
    """The same for compose, NGINX and systemd."""
    assert seconds(host["nginx"]["environment"]["IDLE_TIMEOUT"]) >= 3 * PING_SECONDS
    assert seconds(host["gateway"]["stop_grace_period"]) >= DRAIN_SECONDS + 10
    unit = (JETSON / "parley.service").read_text()
    assert int(re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)[1]) >= seconds(
        host["gateway"]["stop_grace_period"]
    )


def test_terraform_metrics_match_the_embedded_metrics(cloud):
    """Metric filters read fields the line has; sums divide by as many lines as there are in a minute."""
    line = json.loads(embedded_metrics(3, 32))
    filters = cloud.of("aws_cloudwatch_log_metric_filter", "this")
    assert len(filters) == 2
    for each in filters:
        assert each["pattern"] == f'{{ $.event = "{line["event"]}" }}'
        assert each["metric_transformation"][0]["value"].removeprefix("$.") in line
    per_minute = 60 // EMIT_EVERY_SECONDS
    (dashboard,) = cloud.of("aws_cloudwatch_dashboard")
    assert f"said / {per_minute}" in dashboard["dashboard_body"]
    worker = (TERRAFORM / "modules" / "worker" / "main.tf").read_text()
    assert re.search(r"vitals_per_minute = (\d+)", worker)[1] == str(per_minute)


def test_failed_sessions_alarm_matches_the_logged_line(cloud):
    """The words the filter looks for are the words the gateway writes."""
    (failed,) = cloud.of("aws_cloudwatch_log_metric_filter", "failed")

    assert f"_log.error({failed['pattern']}" in (ROOT / "app" / "web" / "served_session.py").read_text()


# -- Rights -----------------------------------------------------------------------------------------

S3_ACTIONS = {
    "CompleteMultipartUpload": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "ListObjectVersions": "ListBucketVersions",
    "ListObjectsV2": "ListBucket",
    "UploadPart": "PutObject",
}
"""Calls whose right has another name."""
BY_HAND = {"providers/aws/check.py"}
"""`parley doctor`: whoever runs it does so with rights of their own."""


def test_iam_grants_exactly_what_the_code_calls(cloud):
    """Rights and calls are compared in both directions."""
    (policy,) = cloud.of("aws_iam_role_policy", "gateway", module="identity")
    statements = json.loads(policy["policy"])["Statement"]
    granted = {action for each in statements for action in each["Action"]}
    archive_in_s3 = bool(cloud.of("aws_s3_bucket", module="archive"))

    needed = _called("providers/aws") | {"transcribe:StartStreamTranscription"}
    if archive_in_s3:
        needed |= _called("storage") | {"kms:Decrypt", "kms:GenerateDataKey"}
        needed |= {"s3:DeleteObjectVersion"}  # for a DeleteObject that names a version
    else:
        needed |= {"sts:GetWebIdentityToken"}

    assert granted == needed
    for each in statements:
        assert each["Effect"] == "Allow"
        assert each["Resource"] != ["*"] or "Condition" in each, each["Sid"]


def test_iam_names_the_transcribe_call_that_is_made():
    """The streaming client makes one kind of request, over HTTP/2."""
    code = (ROOT / "providers" / "aws" / "streaming_client.py").read_text()

    assert "StartStreamTranscription" in code
    assert "WebSocket" not in code


def test_iam_actions_have_no_wildcard(cloud):
    """Outside of deny, and of a key's own policy, every right is spelt out."""
    for policy in cloud.of("aws_iam_role_policy"):
        for each in json.loads(policy["policy"])["Statement"]:
            assert not [action for action in each["Action"] if "*" in action]


def _called(folder: str) -> set[str]:
    """The rights that the calls in the code need, found by the names of botocore's operations."""
    session = botocore.session.get_session()
    needed = set()
    for file in (ROOT / folder).glob("*.py"):
        if str(file.relative_to(ROOT)) in BY_HAND:
            continue
        calls = [each for each in ast.walk(ast.parse(file.read_text())) if isinstance(each, ast.Call)]
        named = [each for each in calls if isinstance(each.func, ast.Attribute)]
        services = {
            each.args[0].value
            for each in named
            if each.func.attr == "client" and isinstance(each.args[0], ast.Constant)
        }
        for service in services:
            operations = session.get_service_model(service).operation_names
            by_method = {xform_name(operation): operation for operation in operations}
            done = {by_method[each.func.attr] for each in named if each.func.attr in by_method}
            needed |= {f"{service}:{S3_ACTIONS.get(each, each) if service == 's3' else each}" for each in done}
    return needed


def _routes() -> set[str]:
    return {route.path for route in create_app(scripted_service()).routes}
