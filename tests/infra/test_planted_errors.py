"""Errors planted in copies of what is shipped, and what catches each."""

from dataclasses import dataclass

import click
import pytest

from tests.infra.shipped import applied

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True)
class PlantedError:
    file: str
    """Below infra/terraform."""

    right: str
    wrong: str
    says: str
    """What Terraform complains of."""


VALIDATE = {
    "an argument misspelt": PlantedError(
        "modules/gateway/main.tf", "idle_timeout  ", "idle_timeuot  ", "Unsupported argument"
    ),
    "a block that does not exist": PlantedError(
        "modules/gateway/main.tf", "deployment_circuit_breaker {", "deployment_fuse {", "Unsupported block type"
    ),
    "a resource type that does not exist": PlantedError(
        "modules/data/main.tf", '"aws_db_subnet_group"', '"aws_database_subnet_group"', "Invalid resource type"
    ),
    "an argument of an older provider": PlantedError(
        "modules/archive_azure/main.tf",
        "https_traffic_only_enabled  ",
        "enable_https_traffic_only   ",
        "Unsupported argument",
    ),
    "a required argument left out": PlantedError(
        "modules/archive_azure/main.tf",
        '  account_tier                      = "Standard"\n',
        "",
        "Missing required argument",
    ),
    "an attribute that is only read": PlantedError(
        "modules/network/main.tf", "enable_dns_support   = true", 'arn = "x"', "Invalid Configuration|decided by"
    ),
    "a variable nobody declared": PlantedError(
        "modules/worker/main.tf", "var.max_workers\n", "var.most_workers\n", "undeclared input variable"
    ),
    "a reference to an attribute that does not exist": PlantedError(
        "modules/gateway/outputs.tf", "aws_lb.this.arn_suffix", "aws_lb.this.suffix", "Unsupported attribute"
    ),
    "a variable of a module forgotten": PlantedError(
        "environments/prod/main.tf", "  image             = var.image\n", "", "Missing required argument"
    ),
    "a word for a number": PlantedError(
        "modules/gateway/main.tf", "unhealthy_threshold = 4", 'unhealthy_threshold = "often"', "Incorrect attribute"
    ),
}
APPLY = {
    "a policy that is no JSON": PlantedError(
        "modules/data/main.tf",
        "data.aws_iam_policy_document.monitoring_assume.json",
        '"{oops"',
        "is not JSON",
    ),
    "a value the variable refuses": PlantedError(
        "environments/prod/main.tf", '"per_zone"', '"everywhere"', "Invalid value for variable"
    ),
    "a count nobody can know": PlantedError(
        "modules/archive_azure/main.tf",
        "count = var.issuer == null ? 1 : 0",
        'count = azurerm_storage_account.this.id == "" ? 0 : 1',
        "Invalid count argument",
    ),
}


def plant(tree, planted: PlantedError) -> None:
    file = tree / planted.file
    text = file.read_text()
    assert planted.right in text
    file.write_text(text.replace(planted.right, planted.wrong, 1))


@pytest.mark.parametrize("name", VALIDATE)
def test_planted_error_fails_terraform_validate(terraform, tree, tmp_path, name):
    """The real schemas refuse it."""
    plant(tree, VALIDATE[name])
    root = tree / "environments" / "prod"
    started = terraform.run(root, "init", "-backend=false", "-no-color", scratch=tmp_path)

    done = terraform.run(root, "validate", "-no-color", scratch=tmp_path)

    said = started.stdout + started.stderr + done.stdout + done.stderr
    assert done.returncode != 0
    assert any(words in said for words in VALIDATE[name].says.split("|")), said


@pytest.mark.parametrize("name", APPLY)
def test_planted_error_fails_terraform_plan(terraform, tree, tmp_path, name):
    """Values are refused where they are made."""
    plant(tree, APPLY[name])

    with pytest.raises(AssertionError) as failed:
        applied(terraform, tree, "prod", tmp_path)

    assert APPLY[name].says in str(failed.value)


AGREEMENT = {
    "a right too many": (
        PlantedError(
            "modules/identity/main.tf",
            '"polly:SynthesizeSpeech"]',
            '"polly:SynthesizeSpeech", "polly:DescribeVoices"]',
            "",
        ),
        "test_iam_grants_exactly_what_the_code_calls",
    ),
    "a right too few": (
        PlantedError("modules/identity/main.tf", '["transcribe:StartStreamTranscription", "polly', '["polly', ""),
        "test_iam_grants_exactly_what_the_code_calls",
    ),
    "a variable the code does not read": (
        PlantedError("modules/gateway/main.tf", "PARLEY_MAX_SESSIONS      =", "SESSIONS_MAX      =", ""),
        "test_terraform_sets_only_variables_that_the_code_reads",
    ),
    "a health check at the wrong door": (
        PlantedError("modules/gateway/main.tf", '"/health/live"', '"/healthz"', ""),
        "test_terraform_ports_and_health_check_match_the_gateway",
    ),
    "a container on another port": (
        PlantedError("modules/gateway/main.tf", "containerPort = var.port", "containerPort = 8080", ""),
        "test_terraform_ports_and_health_check_match_the_gateway",
    ),
    "an idle timeout as short as a ping": (
        PlantedError("modules/gateway/main.tf", "= var.idle_timeout_seconds", "= 20", ""),
        "test_terraform_timeouts_allow_pings_and_drain",
    ),
    "no time for last words": (
        PlantedError("modules/gateway/main.tf", "= var.stop_timeout_seconds", "= 10", ""),
        "test_terraform_timeouts_allow_pings_and_drain",
    ),
    "a metric that is never told": (
        PlantedError("modules/gateway/main.tf", "Occupancy = ", "Fullness = ", ""),
        "test_terraform_metrics_match_the_embedded_metrics",
    ),
    "an option the command does not have": (
        PlantedError("modules/gateway/main.tf", '"--vitals"', '"--verbose"', ""),
        "test_container_commands_exist_with_their_options",
    ),
    "a root that may be written to": (
        PlantedError("modules/gateway/main.tf", "readonlyRootFilesystem = true", "readonlyRootFilesystem = false", ""),
        "test_only_mounted_volumes_are_writable",
    ),
}


@pytest.mark.parametrize("name", AGREEMENT)
def test_planted_disagreement_with_the_code_is_found(terraform, tree, tmp_path, name):
    """Terraform finds nothing wrong with it; the comparison with the code does."""
    from tests.infra import test_deliveries_agree  # noqa: PLC0415 because its tests must not run here a second time
    from tests.infra.shipped import DOCKER, compose  # noqa: PLC0415

    planted, test = AGREEMENT[name]
    plant(tree, planted)
    if name == "a metric that is never told":
        text = (tree / "modules/gateway/main.tf").read_text()
        (tree / "modules/gateway/main.tf").write_text(text.replace('this["Occupancy"]', 'this["Fullness"]'))
    cloud = applied(terraform, tree, "dev", tmp_path)
    check = getattr(test_deliveries_agree, test)
    wanted = check.__code__.co_varnames[: check.__code__.co_argcount]

    with pytest.raises((AssertionError, KeyError, ValueError, click.UsageError)):
        check(**({"cloud": cloud} | ({"host": compose(DOCKER / "compose.yaml")} if "host" in wanted else {})))
