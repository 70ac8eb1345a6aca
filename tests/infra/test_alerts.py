"""Alert rules, dashboard and runbook: each outage is found, every metric exists, every page says what to do."""

import json
import re
import shutil
import subprocess

import click
import pytest

from app.cli import parley
from tests.infra.conftest import TERRAFORM
from tests.infra.stub.terraform import ROOT
from tests.strict import missing

RULES = ROOT / "infra" / "prometheus" / "alerts.yaml"
OUTAGES = RULES.with_name("alerts_test.yaml")
DASHBOARD = ROOT / "infra" / "grafana" / "parley.json"
RUNBOOK = ROOT / "docs" / "runbook"
PAGES = {path.stem for path in RUNBOOK.glob("*.md")} - {"README"}


def promtool(*words) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    if program is None:
        missing("promtool")
    return subprocess.run([program, *map(str, words)], capture_output=True, text=True, check=False)


def alerts() -> dict[str, str]:
    """Name and text of each rule."""
    blocks = RULES.read_text().split("      - alert: ")[1:]
    return {block.partition("\n")[0]: block for block in blocks}


def metrics_in(expression: str) -> set[str]:
    """Names of metrics, without what a histogram or a counter adds."""
    named = set(re.findall(r"\b(?:parley|process)_[a-z_]+", expression))
    return {re.sub(r"_(bucket|sum|count|total)$", "", name) for name in named}


def metrics_of_the_code() -> set[str]:
    sources = [path.read_text() for path in (ROOT / "app").rglob("*.py")]
    named = {name for text in sources for name in re.findall(r'"(parley_[a-z_]+)"', text)}
    return named | {"process_resident_memory_bytes", "process_start_time_seconds"}


def test_promtool_accepts_the_rules():
    """Their syntax and their expressions."""
    done = promtool("check", "rules", RULES)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_in_its_outage_and_not_before():
    """As promtool evaluates them; each rule has an outage in which it fires."""
    done = promtool("test", "rules", OUTAGES)
    fired = set(re.findall(r"alertname: (\w+)\n\s+exp_alerts", OUTAGES.read_text()))

    assert done.returncode == 0, done.stdout + done.stderr
    assert fired == alerts().keys()


def test_alerts_and_dashboard_name_metrics_that_exist():
    """A metric that is renamed leaves no rule behind that never fires."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    named = {name for text in (*alerts().values(), *expressions) for name in metrics_in(text)}

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert named - metrics_of_the_code() == set()


def test_every_alert_has_its_page_and_every_page_an_alert():
    """Of Prometheus or of CloudWatch."""
    pages = {name: re.search(r"runbook: ([a-z-]+)", text)[1] for name, text in alerts().items()}
    observability = (TERRAFORM / "modules" / "observability" / "main.tf").read_text()
    table = re.search(r"runbook = \{\n(.*?)\n  \}", observability, re.DOTALL)[1]
    of_clouds = set(re.findall(r'= "([a-z-]+)"', table))
    index = (RUNBOOK / "README.md").read_text()

    assert {*pages.values(), *of_clouds} == PAGES
    assert all(f"[{page}]({page}.md)" in index for page in PAGES)


@pytest.mark.parametrize("page", sorted(PAGES))
def test_page_says_where_to_look_what_to_do_and_when_it_is_over(page):
    """And the commands and variables in it exist."""
    text = (RUNBOOK / f"{page}.md").read_text()

    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Look", "Do", "It is over when"]
    for words in re.findall(r"`parley ([a-z][a-z -]*[a-z])", text):
        command = parley
        for word in words.split():
            if word.startswith("-") or not isinstance(command, click.Group):
                break
            command = command.get_command(click.Context(command), word)
            assert command is not None, words
    assert metrics_in(text) - metrics_of_the_code() == set()
