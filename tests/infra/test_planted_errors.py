"""Errors planted in copies of what is shipped, and what catches each."""

from dataclasses import dataclass

import pytest

from tests.infra.shipped import applied


@dataclass(frozen=True, slots=True)
class Planted:
    file: str
    """Below infra/terraform."""

    right: str
    wrong: str
    says: str
    """What Terraform complains of."""


VALIDATE = {
    "an argument misspelt": Planted(
        "modules/gateway/main.tf", "idle_timeout  ", "idle_timeuot  ", "Unsupported argument"
    ),
    "a block that does not exist": Planted(
        "modules/gateway/main.tf", "deployment_circuit_breaker {", "deployment_fuse {", "Unsupported block type"
    ),
    "a resource type that does not exist": Planted(
        "modules/data/main.tf", '"aws_db_subnet_group"', '"aws_database_subnet_group"', "Invalid resource type"
    ),
    "an argument of an older provider": Planted(
        "modules/archive_azure/main.tf",
        "https_traffic_only_enabled  ",
        "enable_https_traffic_only   ",
        "Unsupported argument",
    ),
    "a required argument left out": Planted(
        "modules/archive_azure/main.tf",
        '  account_tier                      = "Standard"\n',
        "",
        "Missing required argument",
    ),
    "an attribute that is only read": Planted(
        "modules/network/main.tf", "enable_dns_support   = true", 'arn = "x"', "Invalid Configuration|decided by"
    ),
    "a variable nobody declared": Planted(
        "modules/worker/main.tf", "var.max_workers\n", "var.most_workers\n", "undeclared input variable"
    ),
    "a reference to an attribute that does not exist": Planted(
        "modules/gateway/outputs.tf", "aws_lb.this.arn_suffix", "aws_lb.this.suffix", "Unsupported attribute"
    ),
    "a variable of a module forgotten": Planted(
        "environments/prod/main.tf", "  image             = var.image\n", "", "Missing required argument"
    ),
    "a word for a number": Planted(
        "modules/gateway/main.tf", "unhealthy_threshold = 4", 'unhealthy_threshold = "often"', "Incorrect attribute"
    ),
}
APPLY = {
    "a policy that is no JSON": Planted(
        "modules/data/main.tf",
        "data.aws_iam_policy_document.monitoring_assume.json",
        '"{oops"',
        "is not JSON",
    ),
    "a value the variable refuses": Planted(
        "environments/prod/main.tf", '"per_zone"', '"everywhere"', "Invalid value for variable"
    ),
    "a count nobody can know": Planted(
        "modules/archive_azure/main.tf",
        "count = local.federated ? 0 : 1",
        'count = azurerm_storage_account.this.id == "" ? 0 : 1',
        "Invalid count argument",
    ),
}


def plant(tree, planted: Planted) -> None:
    file = tree / planted.file
    text = file.read_text()
    assert planted.right in text
    file.write_text(text.replace(planted.right, planted.wrong, 1))


@pytest.mark.parametrize("name", VALIDATE)
def test_validate_catches(terraform, tree, tmp_path, name):
    """The real schemas refuse it."""
    plant(tree, VALIDATE[name])
    root = tree / "environments" / "prod"
    started = terraform.run(root, "init", "-backend=false", "-no-color", scratch=tmp_path)

    done = terraform.run(root, "validate", "-no-color", scratch=tmp_path)

    said = started.stdout + started.stderr + done.stdout + done.stderr
    assert done.returncode != 0
    assert any(words in said for words in VALIDATE[name].says.split("|")), said


@pytest.mark.parametrize("name", APPLY)
def test_planning_catches(terraform, tree, tmp_path, name):
    """Values are refused where they are made."""
    plant(tree, APPLY[name])

    with pytest.raises(AssertionError) as failed:
        applied(terraform, tree, "prod", tmp_path)

    assert APPLY[name].says in str(failed.value)


AGREEMENT = {
    "a right too many": (
        Planted(
            "modules/identity/main.tf",
            '"polly:SynthesizeSpeech"]',
            '"polly:SynthesizeSpeech", "polly:DescribeVoices"]',
            "",
        ),
        "test_the_gateway_may_do_what_its_code_does_and_nothing_else",
    ),
    "a right too few": (
        Planted("modules/identity/main.tf", '["transcribe:StartStreamTranscription", "polly', '["polly', ""),
        "test_the_gateway_may_do_what_its_code_does_and_nothing_else",
    ),
    "a variable the code does not read": (
        Planted("modules/gateway/main.tf", "PARLEY_MAX_SESSIONS      =", "SESSIONS_MAX      =", ""),
        "test_the_cloud_sets_what_the_code_reads",
    ),
    "a health check at the wrong door": (
        Planted("modules/gateway/main.tf", '"/health"', '"/healthz"', ""),
        "test_the_cloud_knocks_where_the_gateway_listens",
    ),
    "a container on another port": (
        Planted("modules/gateway/main.tf", "containerPort = var.port", "containerPort = 8080", ""),
        "test_the_cloud_knocks_where_the_gateway_listens",
    ),
    "an idle timeout as short as a ping": (
        Planted("modules/gateway/main.tf", "= var.idle_timeout_seconds", "= 20", ""),
        "test_the_cloud_waits_as_long_as_the_server_needs",
    ),
    "no time for last words": (
        Planted("modules/gateway/main.tf", "= var.stop_timeout_seconds", "= 10", ""),
        "test_the_cloud_waits_as_long_as_the_server_needs",
    ),
    "a metric that is never told": (
        Planted("modules/gateway/main.tf", "Occupancy = ", "Fullness = ", ""),
        "test_vitals_are_counted_as_they_are_told",
    ),
    "an option the command does not have": (
        Planted("modules/gateway/main.tf", '"--vitals"', '"--verbose"', ""),
        "test_commands_exist",
    ),
    "a root that may be written to": (
        Planted("modules/gateway/main.tf", "readonlyRootFilesystem = true", "readonlyRootFilesystem = false", ""),
        "test_what_is_written_to_may_be_written_to",
    ),
}


@pytest.mark.parametrize("name", AGREEMENT)
def test_agreement_catches(terraform, tree, tmp_path, name):
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

    with pytest.raises((AssertionError, KeyError, ValueError)):
        check(**({"cloud": cloud} | ({"host": compose(DOCKER / "compose.yaml")} if "host" in wanted else {})))
