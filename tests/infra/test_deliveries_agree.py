"""Terraform, compose, image and code say the same."""

import ast
import gzip
import json
import os
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree as ET

import botocore.session
import click
import pytest
from botocore import xform_name

from app.assembly.requirements import Requirements
from app.cli import parley
from app.cli.bundle import BOXES, models_of_box
from app.cli.embedded_metrics import EMIT_EVERY_SECONDS, embedded_metrics
from app.cli.requirements import requirements_of
from app.config import Settings, settings_from
from app.domain.residency import Place
from app.environment import ALIASES, variable
from app.policy.routes_file import read_routes
from app.runtime.recording.uploader import DRAIN_TIMEOUT_S
from app.web.listener import DRAIN_SECONDS, KEEP_ALIVE_SECONDS, PING_SECONDS, TURN_SECONDS
from app.web.server import create_app
from app.wyoming.announcement import SERVICE_TYPE
from tests.infra.conftest import TERRAFORM
from tests.infra.shipped import DOCKER, JETSON, applied, compose, dockerfile_environment, environment_of, seconds
from tests.infra.stub.terraform import ROOT
from tests.serving import scripted_service

SETTINGS = {variable(field) for field in Settings.model_fields}
VENDORS = {"AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_TENANT_ID", "AWS_REGION"}
"""Read by the clouds' own packages."""
DRIVERS = {"PGPASSWORD"}
"""Read by the database's driver."""
PROGRAMS = {"PATH", "HOME", "LD_LIBRARY_PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "UV_PYTHON_INSTALL_DIR"}
AWAITED_PACKAGES: set[str] = set()
"""What the database's address needs in the image, and does not find there yet."""
OURS = ("gateway", "worker")
STOP_SECONDS = TURN_SECONDS + DRAIN_SECONDS + DRAIN_TIMEOUT_S
"""How long a gateway may take to stop: turns, pending finals, uploads."""
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
        assert (environment.keys() | secrets) <= SETTINGS | VENDORS | DRIVERS, name
        assert not environment.keys() & secrets
        settings_from(environment, NO_FILE, {})


def test_compose_sets_only_variables_that_the_code_reads(host):
    """The same on one host."""
    for name in OURS:
        environment = host[name]["environment"] if name in host else {}
        assert environment.keys() <= SETTINGS | DRIVERS, name
        settings_from(environment, NO_FILE, {})


@pytest.mark.parametrize("folder", [DOCKER, JETSON], ids=["docker", "jetson"])
def test_image_sets_only_variables_that_the_code_reads(folder):
    """And in the image."""
    environment = dockerfile_environment(folder / "Dockerfile")

    assert environment.keys() <= SETTINGS | ALIASES.keys() | PROGRAMS


def test_container_commands_exist_with_their_options(cloud, host):
    """What containers are told to run is a command of ours, with options it has."""
    commands = [each["command"] for name, each in cloud.containers().items() if name in OURS]
    commands += [each["command"] for name, each in host.items() if name in (*OURS, "models", "worker-models")]
    for name, *words in commands:
        command = parley.get_command(click.Context(parley), name)
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        command.make_parser(click.Context(command)).parse_args(words)  # raises for an option that it does not have


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


@pytest.mark.parametrize(("machine", "folder"), [("aarch64", JETSON), ("x86_64", None)])
def test_bundle_has_every_model_that_the_box_opens(machine, folder):
    """A box without a network cannot fetch what is missing; it is not sent what it does not open either."""
    environment = compose(folder / "compose.yaml")["gateway"]["environment"] if folder else {"PARLEY_DEVICE": "cpu"}
    found = requirements_of(settings_from(environment, NO_FILE, {}), "serve")

    assert BOXES[machine].items() <= environment.items()
    assert set(models_of_box(machine)) == {*found.models, *found.preferred_models}


def test_compose_pulls_the_models_that_its_services_open():
    """Gateway and worker each wait for a service that pulls, with the settings that decide it, what theirs needs."""
    services = compose(DOCKER / "compose.yaml")

    for name, process, waits_for in (("gateway", "serve", "models"), ("worker", "worker", "worker-models")):
        pulling = services[waits_for]
        assert services[name]["depends_on"][waits_for]["condition"] == "service_completed_successfully"
        assert pulling["command"] == ["models", "pull", "--needed-by", process]
        device = "cuda" if name == "worker" else "cpu"
        wanted, pulled = (
            requirements_of(settings_from(each["environment"], NO_FILE, {}), process, device)
            for each in (services[name], pulling)
        )
        assert (wanted.models, wanted.preferred_models) == (pulled.models, pulled.preferred_models)
        target = settings_from(services[name]["environment"], NO_FILE, {}).models_dir
        assert str(target) in {each["target"] for each in pulling["volumes"]}


def test_image_bakes_in_what_a_server_needs():
    """Where no models are named."""
    text = (DOCKER / "Dockerfile").read_text()

    assert 'ARG MODEL_NAMES="--needed-by serve"' in text
    assert "parley models pull ${MODEL_NAMES}" in text


@pytest.mark.parametrize("name", OURS)
def test_every_delivery_has_what_its_configuration_needs(cloud, host, name):
    """Extras are in the image; every variable is set, secrets as secrets."""
    extras = set(
        re.findall(r"--extra (\S+)", (ROOT / "Makefile").read_text().partition("-o requirements/serve.txt")[0])
    )
    if name in host:
        assert_complete(settings_from(host[name]["environment"], NO_FILE, {}), name, extras)
    if name in cloud.containers():
        container = cloud.containers()[name]
        secrets = {each["name"]: "k" * 32 for each in container.get("secrets", ())}
        settings = settings_from({**environment_of(container), **secrets}, NO_FILE, {})
        found = assert_complete(settings, name, extras)
        assert {each.name for each in found.variables if each.secret} <= secrets.keys()


def assert_complete(settings: Settings, name: str, extras: set[str]) -> Requirements:
    found = requirements_of(
        settings.model_copy(update={"routes": None}), "worker" if name == "worker" else "serve", "cpu"
    )
    assert set(found.extras) <= extras
    assert [each.name for each in found.variables if not each.set] == []
    return found


def test_terraform_lets_tasks_connect_to_what_their_configuration_names(cloud):
    """Database, workers and receiver, each on its port; nothing else but 443."""
    settings = settings_from(environment_of(cloud.containers()["gateway"]), NO_FILE, {})
    found = requirements_of(settings.model_copy(update={"routes": None}), "serve", "cpu")
    containers = cloud.containers()
    workers = {int(environment_of(containers["worker"])["PARLEY_PORT"])} if "worker" in containers else set()
    rules = cloud.of("aws_vpc_security_group_egress_rule", module="gateway")
    (tasks,) = cloud.of("aws_security_group", "this", module="gateway")
    allowed = {each["from_port"] for each in rules if each["security_group_id"] == tasks["id"]}

    needed = {each.port for each in found.connections if each.host != "localhost"} | workers
    assert allowed == needed | {443}
    assert all(each["ip_protocol"] == "tcp" and each["from_port"] == each["to_port"] for each in rules)


def test_transcribe_streams_of_all_tasks_are_within_the_quota(cloud, tmp_path):
    """Each task may open its share: a limit of one process is not that of the account."""
    (tmp_path / "routes.toml").write_text(environment_of(cloud.containers()["routes"])["FILE"])
    (target,) = cloud.of("aws_appautoscaling_target", module="gateway")
    given = re.search(r"^transcribe_streams = (\d+)", cloud.variables, re.MULTILINE)
    quota = int(given[1]) if given else 25  # which AWS gives every account

    assert read_routes(tmp_path / "routes.toml")["aws"].at_once * target["max_capacity"] <= quota


def test_worker_asks_for_the_key_that_the_gateway_sends(cloud, tmp_path):
    """One secret, in both containers; the route is one that gets it."""
    if "worker" not in cloud.containers():
        pytest.skip("dev has no worker")
    keys = {
        name: {each["name"]: each["valueFrom"] for each in cloud.containers()[name]["secrets"]}["PARLEY_WORKER_KEY"]
        for name in OURS
    }
    (tmp_path / "routes.toml").write_text(environment_of(cloud.containers()["routes"])["FILE"])
    route = read_routes(tmp_path / "routes.toml")["worker"]

    assert keys["worker"] == keys["gateway"]
    assert (route.place, route.api_key) == (Place.ON_PREM, None)
    assert "PARLEY_AUTH" not in environment_of(cloud.containers()["worker"])


def test_azure_tokens_are_written_by_the_owner_of_their_volume(cloud):
    """Fargate makes a volume that no image declares root's, 0755; who writes there is root, without a capability."""
    if "azure-token" not in cloud.containers():
        pytest.skip("dev keeps recordings in S3")
    container = cloud.containers()["azure-token"]
    (mount,) = [each for each in container["mountPoints"] if not each["readOnly"]]
    declared = re.search(r"^VOLUME (.*)$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)[1]

    assert mount["containerPath"] not in json.loads(declared)
    assert container["user"] == "0:0"
    assert container["linuxParameters"]["capabilities"]["drop"] == ["ALL"]


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
    ports = {"80": "HTTP_PORT", "443": "HTTPS_PORT", "8444": "OPERATOR_PORT"}
    assert published == {outside: nginx["environment"][name] for outside, name in ports.items()}
    variables = set(re.findall(r"\$\{(\w+)\}", (DOCKER / "nginx" / "parley.conf.template").read_text()))
    assert variables == nginx["environment"].keys()


def test_jetson_publishes_and_announces_the_wyoming_port():
    """Setting, published port and announcement name one port; clients are of the tenant `default`."""
    gateway = compose(JETSON / "compose.yaml")["gateway"]
    settings = settings_from(gateway["environment"], NO_FILE, {})
    (service,) = ET.parse(JETSON / "avahi-wyoming.service").iter("service")

    assert settings.wyoming_port == 10300
    assert (settings.wyoming_tenant, settings.wyoming_zeroconf) == ("default", False)
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
    assert writable == volumes
    assert "tmpfs" not in gateway  # what is written there may be larger than memory
    assert gateway["environment"]["PARLEY_MODELS_DIR"] in {each["target"] for each in gateway["volumes"]}
    assert any(gateway["environment"]["PARLEY_AUDIO_STORAGE_DIR"].startswith(path) for path in volumes)


def test_load_balancer_forwards_the_public_routes_alone(cloud):
    """By rules of five values; whatever they do not match is 404. Operators have a listener of their own."""
    rules = cloud.of("aws_lb_listener_rule", "public")
    (public,) = cloud.of("aws_lb_listener", "https")
    values = [
        one["regex_values"] for each in rules for condition in each["condition"] for one in condition["path_pattern"]
    ]

    assert public["default_action"][0]["fixed_response"][0]["status_code"] == "404"
    assert all(len(each) <= 5 for each in values)
    expected = json.loads((TERRAFORM / "modules" / "gateway" / "public_routes.json").read_text())
    assert sorted(value for each in values for value in each) == sorted(expected)
    assert len({each["priority"] for each in rules}) == len(rules)
    assert cloud.of("aws_lb_listener", "operators") == []  # nobody, where no range is named


def test_nginx_publishes_the_private_listener_on_this_host_alone(host):
    """The public ones on every address."""
    nginx = host["nginx"]
    published = {each["published"]: each.get("host_ip") for each in nginx["ports"]}

    assert published == {"80": None, "443": None, nginx["environment"]["OPERATOR_PORT"]: "127.0.0.1"}


def test_nginx_takes_the_largest_body_that_the_gateway_takes(host):
    """A recording and the form around it; not without limit."""
    settings = settings_from(host["gateway"]["environment"], NO_FILE, {})
    largest = int(host["nginx"]["environment"]["LARGEST_BODY"].removesuffix("m"))

    assert settings.recording_max_mb < largest <= settings.recording_max_mb + 64


# -- Times ------------------------------------------------------------------------------------------


def test_terraform_timeouts_allow_pings_and_drain(cloud):
    """Nothing cuts a silent socket between two pings, and nothing kills a task that is still storing last words."""
    (lb,) = cloud.of("aws_lb")

    assert lb["idle_timeout"] >= 3 * PING_SECONDS
    assert lb["idle_timeout"] < KEEP_ALIVE_SECONDS
    for name in OURS:
        if name in cloud.containers():
            assert STOP_SECONDS < cloud.containers()[name]["stopTimeout"] <= 120


def test_compose_timeouts_allow_pings_and_drain(host):
    """The same for compose, NGINX and systemd."""
    assert seconds(host["nginx"]["environment"]["IDLE_TIMEOUT"]) >= 3 * PING_SECONDS
    assert seconds(host["gateway"]["stop_grace_period"]) > STOP_SECONDS
    unit = (JETSON / "parley.service").read_text()
    assert int(re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)[1]) >= seconds(
        host["gateway"]["stop_grace_period"]
    )


def test_terraform_metrics_match_the_embedded_metrics(cloud):
    """Metric filters read fields the line has; sums divide by as many lines as there are in a minute."""
    line = json.loads(embedded_metrics(3, 32, 0.5))
    filters = cloud.of("aws_cloudwatch_log_metric_filter", "this")
    assert len(filters) == 3
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


# -- Secrets ----------------------------------------------------------------------------------------

PUBLISHED = {("aws_ssm_parameter", "value")}
"""The machine image's id, which AWS publishes; the provider calls every parameter sensitive."""
KEYS_THAT_ARE_OFF = {"azurerm_storage_account"}
"""Whose keys Azure hands out with every account, and refuses where shared_access_key_enabled is false."""


def test_terraform_state_holds_no_secret(cloud):
    """Every attribute that the providers call sensitive is empty, whatever made it."""
    found, accounts = set(), []
    for resource in json.loads(cloud.state)["resources"]:
        provider = re.search(r"hashicorp/(\w+)", resource["provider"])[1]
        kind = "data_source_schemas" if resource["mode"] == "data" else "resource_schemas"
        block = provider_schema(provider)[kind][resource["type"]]["block"]
        for instance in resource["instances"]:
            held = {name for name, path in sensitive(block) if holds(instance["attributes"], path)}
            found |= {(resource["type"], name) for name in held}
            accounts += [instance["attributes"]] if resource["type"] in KEYS_THAT_ARE_OFF else []

    assert {each for each in found - PUBLISHED if each[0] not in KEYS_THAT_ARE_OFF} == set()
    assert all(account["shared_access_key_enabled"] is False for account in accounts)
    assert "postgresql+asyncpg://parley:" not in cloud.state


def provider_schema(name: str):
    """As the provider prints it."""
    folder = Path(os.environ.get("PARLEY_TERRAFORM_SCHEMAS", ROOT.parent / "shared" / "terraform"))
    return json.loads(gzip.decompress((folder / f"{name}.schema.json.gz").read_bytes()))


def sensitive(block, above: tuple[str, ...] = ()):
    """The name and the path of every attribute of the block that the provider calls sensitive."""
    for name, attribute in block.get("attributes", {}).items():
        if attribute.get("sensitive"):
            yield name, (*above, name)
    for name, nested in block.get("block_types", {}).items():
        yield from sensitive(nested["block"], (*above, name))


def holds(value, path: tuple[str, ...]) -> bool:
    if not path:
        return bool(value)
    if isinstance(value, list):
        return any(holds(each, path) for each in value)
    return isinstance(value, dict) and holds(value.get(path[0]), path[1:])


def test_database_gets_the_password_that_the_secret_has():
    """A run that fails between both is repeated without a second password."""
    text = (TERRAFORM / "modules" / "data" / "main.tf").read_text()
    database = text[text.index('resource "aws_db_instance"') :]

    assert re.search(r"password_wo += ephemeral\.aws_secretsmanager_secret_version\.this\.secret_string\n", database)
    assert "random_password" not in database


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
