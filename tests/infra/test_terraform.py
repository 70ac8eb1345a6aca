"""Terraform itself reads, checks, plans and applies what is shipped; only the clouds are stubs."""

import json
import re
from pathlib import Path

import pytest

from tests.infra.conftest import TERRAFORM
from tests.infra.stub.terraform import PROVIDERS

pytestmark = pytest.mark.slow

MODULES = sorted(path.name for path in (TERRAFORM / "modules").iterdir())
ROOTS = ("environments/dev", "environments/prod", "bootstrap")
LOCAL = 'terraform {\n  backend "local" {}\n}\n'


def test_terraform_is_formatted(terraform, tmp_path):
    """`terraform fmt` would change nothing."""
    done = terraform.run(TERRAFORM, "fmt", "-check", "-recursive", "-diff", scratch=tmp_path)

    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("root", [*ROOTS, *(f"modules/{name}" for name in MODULES)])
def test_terraform_validates(terraform, tree, tmp_path, root):
    """Every argument exists in the providers' real schemas, and has the right type."""
    assert _ok(terraform.run(tree / root, "init", "-backend=false", "-no-color", scratch=tmp_path))

    assert _ok(terraform.run(tree / root, "validate", "-no-color", scratch=tmp_path))


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_terraform_applies_and_a_second_plan_is_empty(terraform, tree, tmp_path, environment):
    """One apply makes everything and prints the endpoint; a second finds nothing to do; no password is kept."""
    folder = tree / "environments" / environment
    (folder / "terraform.tfvars").write_text((folder / "terraform.tfvars.example").read_text())
    (folder / "zz_override.tf").write_text(LOCAL)
    assert _ok(terraform.run(folder, "init", "-no-color", scratch=tmp_path))

    assert _ok(terraform.run(folder, "apply", "-auto-approve", "-no-color", scratch=tmp_path))

    again = terraform.run(folder, "plan", "-detailed-exitcode", "-no-color", scratch=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    printed = json.loads(terraform.run(folder, "output", "-json", scratch=tmp_path).stdout)
    domain = re.search(r'^domain\s*=\s*"(.*)"', (folder / "terraform.tfvars").read_text(), re.MULTILINE)[1]
    assert printed["endpoint"]["value"] == f"https://{domain}/"
    assert printed["websocket_urls"]["value"]["transcribe"] == f"wss://{domain}/ws/transcribe"
    assert _passwords(json.loads((folder / "terraform.tfstate").read_text())) == {}


@pytest.mark.parametrize("module", MODULES)
def test_terraform_module_tests_pass(terraform, tree, tmp_path, module):
    """`terraform test`, as it runs beside the module."""
    folder = tree / "modules" / module
    assert _ok(terraform.run(folder, "init", "-no-color", scratch=tmp_path))

    assert _ok(terraform.run(folder, "test", "-no-color", scratch=tmp_path))


@pytest.mark.parametrize("module", MODULES)
def test_terraform_module_has_its_five_files(module):
    """main, variables, outputs, versions, README; everything described and typed."""
    folder = TERRAFORM / "modules" / module

    assert {path.name for path in folder.iterdir() if path.is_file()} - {"public_routes.json"} == {
        "main.tf",
        "variables.tf",
        "outputs.tf",
        "versions.tf",
        "README.md",
    }
    readme = (folder / "README.md").read_text()
    for kind in ("variable", "output"):
        blocks = _blocks(folder / f"{kind}s.tf", kind)
        assert blocks
        for name, body in blocks.items():
            assert re.search(r'^  description = "\S', body, re.MULTILINE), name
            assert f"`{name}`" in readme, f"{module}/README.md leaves out {name}"
            if kind == "variable":
                assert re.search(r"^  type +=", body, re.MULTILINE), name


def test_terraform_environments_hold_module_calls_only():
    """What is built is said in modules; an environment says of which size."""
    for main in (TERRAFORM / "environments").glob("*/main.tf"):
        kinds = re.findall(r"^(\w+) ", main.read_text(), re.MULTILINE)
        assert set(kinds) - {"#"} == {"module"}, main


def test_terraform_providers_are_those_of_the_checked_schemas():
    """Roots pin the very versions, which the stub could not tell from others; modules take later minor ones as well."""
    files = [*TERRAFORM.glob("*/*/versions.tf"), TERRAFORM / "bootstrap" / "main.tf"]
    for file in files:
        named = dict(re.findall(r'source  = "hashicorp/(\w+)"\n\s+version = "([^"]+)"', file.read_text()))
        of_module = file.parents[1].name == "modules"
        expected = {name: f"~> {'.'.join(version.split('.')[:2])}" for name, version in PROVIDERS.items()}
        assert named
        assert named.items() <= (expected if of_module else PROVIDERS).items(), file


def _ok(done) -> bool:
    assert done.returncode == 0, done.stdout + done.stderr
    return True


def _blocks(file: Path, kind: str) -> dict[str, str]:
    return dict(re.findall(rf'^{kind} "(\w+)" \{{\n(.*?)^\}}', file.read_text(), re.MULTILINE | re.DOTALL))


def _passwords(state: dict) -> dict:
    """Attributes of the database that hold a password."""
    (database,) = (each for each in state["resources"] if each["type"] == "aws_db_instance")
    attributes = database["instances"][0]["attributes"]
    return {name: value for name, value in attributes.items() if "password" in name and isinstance(value, str)}
