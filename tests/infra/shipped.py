"""What Terraform, compose and the Dockerfile set, as plain values."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.infra.stub.terraform import ROOT, Terraform
from tests.strict import missing

DOCKER = ROOT / "infra" / "docker"
JETSON = ROOT / "infra" / "jetson"


@dataclass(frozen=True, slots=True)
class Applied:
    """An environment as Terraform would have made it."""

    resources: tuple[Mapping[str, Any], ...]
    variables: str = ""
    """The file with its variables, and the declarations with their defaults."""
    state: str = ""
    """The state that Terraform keeps, as JSON."""

    def of(self, kind: str, name: str | None = None, module: str | None = None) -> list[Mapping[str, Any]]:
        """The attributes of every resource of that kind."""
        return [
            each["values"]
            for each in self.resources
            if each["type"] == kind
            and (name is None or each["name"] == name)
            and (module is None or each["address"].startswith(f"module.{module}"))
        ]

    def containers(self) -> dict[str, Mapping[str, Any]]:
        """Every container of every task, by name."""
        definitions = self.of("aws_ecs_task_definition")
        return {each["name"]: each for one in definitions for each in json.loads(one["container_definitions"])}


def applied(terraform: Terraform, tree: Path, environment: str, scratch: Path) -> Applied:
    """Apply the environment with its example's variables, and read what there is then."""
    folder = tree / "environments" / environment
    (folder / "terraform.tfvars").write_text((folder / "terraform.tfvars.example").read_text())
    (folder / "zz_override.tf").write_text('terraform {\n  backend "local" {}\n}\n')
    for words in (("init",), ("apply", "-auto-approve")):
        done = terraform.run(folder, *words, "-no-color", scratch=scratch)
        assert done.returncode == 0, done.stdout + done.stderr
    shown = json.loads(terraform.run(folder, "show", "-json", scratch=scratch).stdout)
    modules = shown["values"]["root_module"]["child_modules"]
    variables = (folder / "terraform.tfvars").read_text() + (folder / "variables.tf").read_text()
    resources = tuple(each for module in modules for each in module.get("resources", ()))
    return Applied(resources, variables, (folder / "terraform.tfstate").read_text())


def environment_of(container: Mapping[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container.get("environment", ())}


def tool(name: str) -> str:
    """A tool that pip installs beside Python, or that is on the path."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        missing(name)
    return found


KEYS = ("PARLEY_ADMIN_KEY", "PARLEY_WORKER_KEY")
"""Variables that compose requires, besides the database's password."""


def compose(file: Path, **variables: str) -> dict[str, Any]:
    """The services of a compose file, every profile, resolved by compose itself."""
    done = subprocess.run(
        [tool("docker-compose"), "-f", str(file), "--profile", "*", "config", "--format", "json"],
        env={**os.environ, "POSTGRES_PASSWORD": "secret", **dict.fromkeys(KEYS, "k" * 32), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    services: dict[str, Any] = json.loads(done.stdout)["services"]
    return services


def dockerfile_environment(file: Path) -> dict[str, str]:
    """Every variable its ENV sets."""
    lines = re.sub(r"\\\n\s*", " ", file.read_text())
    return dict(pair.split("=", 1) for env in re.findall(r"^ENV (.*)$", lines, re.MULTILINE) for pair in env.split())


def seconds(text: str) -> int:
    """`1m0s`, `90s` or `60` in seconds."""
    minutes, _, rest = text.rpartition("m") if "m" in text else ("0", "", text)
    return 60 * int(minutes or 0) + int(rest.rstrip("s") or 0)
