"""Replay of stored decisions under other rules, and the simulation of generated load."""

import json
from dataclasses import replace

import msgspec
import pytest
from click.testing import CliRunner
from msgspec import structs

from app.cli import parley
from app.cli.policy import read_trace
from app.domain.errors import SettingsError
from app.domain.residency import Place, Residency
from app.domain.routing.cost import Budgets, Price
from app.domain.routing.decision import DecisionRecord
from app.domain.routing.replay import as_it_was, replay
from app.domain.routing.request import Candidate, RouteRequest
from app.domain.routing.rules import Objective, RoutingRules
from app.policy.plot import plot
from app.policy.scenario import RouteModel, Scenario, ScheduledFault, read_scenario
from app.policy.simulation import simulate

FLEET = (
    Candidate("local", Place.ON_PREM, p50_ms=500, p95_ms=700),
    Candidate("aws", Place.CLOUD, Price(0.024, 15), p50_ms=200, p95_ms=300),
)


def record(number: int, residency: Residency = Residency.CLOUD_OK) -> DecisionRecord:
    return DecisionRecord(
        id=str(number),
        at=f"2026-01-02T10:{number:02}:00+00:00",
        session="s",
        tenant="t",
        utterance=number,
        rules="private-first",
        request=RouteRequest(4.0, "en", residency),
        fleet=FLEET,
        ranked=("local", "aws"),
        rejected=(),
        panic=False,
        chosen="local",
        place=Place.ON_PREM,
        why="",
        hedged=False,
        latency_ms=480.0,
        usd=0.0,
        attempts=(),
    )


RECORDS = [record(n, Residency.ON_PREM_ONLY if n % 4 == 0 else Residency.CLOUD_OK) for n in range(20)]


def test_replay_of_the_same_utterances_under_other_rules():
    """Faster and more expensive; restricted utterances stay on premises, whatever the rules."""
    was, fast = as_it_was(RECORDS), replay(RECORDS, RoutingRules("fastest", Objective.LATENCY))

    assert (was.p50_ms, was.usd, was.cloud, was.violations) == (480.0, 0.0, 0.0, 0)
    assert (fast.p50_ms, fast.usd, fast.cloud) == (200.0, pytest.approx(15 * 0.006), 0.75)
    assert (fast.changed, fast.violations, fast.covered) == (15, 0, 1.0)


def test_replay_counts_budgets_anew():
    """The first few are made in the cloud, the others on premises."""
    capped = replay(RECORDS, RoutingRules("capped", budgets=Budgets(day=0.02)))

    assert capped.usd == pytest.approx(0.024)
    assert capped.changed == 4


def test_replay_counts_residency_violations_of_the_trace():
    """Violations of the past are counted too."""
    leak = replace(RECORDS[0], place=Place.CLOUD, chosen="aws")

    assert as_it_was([leak]).violations == 1


def test_replay_coverage_counts_utterances_without_a_route():
    """A cloud-only fleet has nothing for a private session."""
    lonely = [replace(one, fleet=FLEET[1:]) for one in RECORDS]

    assert replay(lonely, RoutingRules()).covered == 0.75


def test_replay_command_compares_rules_side_by_side(tmp_path):
    """A JSON array or lines; side by side."""
    array, lines = tmp_path / "a.json", tmp_path / "a.jsonl"
    array.write_bytes(msgspec.json.encode(RECORDS))
    lines.write_bytes(b"\n".join(map(msgspec.json.encode, RECORDS)))
    assert read_trace(array) == read_trace(lines) == RECORDS

    result = CliRunner().invoke(parley, ["policy", "replay", str(array), "--rules", "fastest", "--rules", "offline"])

    assert result.exit_code == 0
    assert "privacy violations" in result.output


def test_replay_refuses_a_file_that_is_no_trace(tmp_path):
    """With a sentence."""
    path = tmp_path / "x"
    path.write_text(json.dumps({"a": 1}))

    with pytest.raises(SettingsError, match="no trace"):
        read_trace(path)


SCENARIO = Scenario(
    {
        "local": RouteModel(Place.ON_PREM, 400, 700),
        "aws": RouteModel(Place.CLOUD, 200, 400, usd_per_minute=0.024, minimum_s=15, failures=0.01),
    },
    seconds=20,
    per_second=50,
    on_prem_only=0.3,
    faults=(ScheduledFault("aws", 5, 10, "stalls"), ScheduledFault("aws", 12, 15, "fails")),
)


@pytest.mark.parametrize(
    "rules", [RoutingRules("a"), RoutingRules("b", Objective.COST), RoutingRules("c", prefer=(Place.CLOUD,))]
)
def test_simulated_outage_loses_no_final_and_violates_no_residency(rules):
    """No restricted utterance is sent to the cloud, and the cloud is used again afterwards."""
    result = simulate(SCENARIO, rules)

    assert result.lost == 0
    assert result.violations == 0
    assert result.finals.total() == pytest.approx(1000, rel=0.15)
    if rules.objective is Objective.LATENCY:
        assert result.finals_by_second[7]["aws"] < result.finals_by_second[19]["aws"]


def test_simulation_repeats_with_the_same_seed():
    """The same seed, the same figures."""
    one, other = simulate(SCENARIO, RoutingRules()), simulate(SCENARIO, RoutingRules())

    assert (one.finals, one.latencies_ms, one.usd) == (other.finals, other.latencies_ms, other.usd)


def test_simulation_keeps_to_the_budget_of_the_day():
    """When the budget is spent, free routes make the finals."""
    result = simulate(SCENARIO, RoutingRules(budgets=Budgets(day=0.5)))

    assert result.usd <= 0.5 + 0.0121


def test_simulation_keeps_to_the_budgets_of_sessions_and_tenants():
    """Each is counted separately, and exceeded by the attempts in flight at most."""
    scenario = structs.replace(SCENARIO, sessions=20, tenants=4)

    by_session = simulate(scenario, RoutingRules(budgets=Budgets(session=0.03))).usd_by_session
    by_tenant = simulate(scenario, RoutingRules(budgets=Budgets(tenant=0.1))).usd_by_tenant

    assert len(by_session) == 20
    assert all(0.03 <= usd <= 0.03 + 0.0121 for usd in by_session.values())
    assert sorted(by_tenant) == [0, 1, 2, 3]
    assert all(0.1 <= usd <= 0.1 + 0.0121 for usd in by_tenant.values())


def test_simulate_command_prints_a_table_and_writes_an_svg(tmp_path):
    """A table and an SVG, a line of progress for each policy; a wrong route in it is named."""
    path, picture = tmp_path / "s.toml", tmp_path / "s.svg"
    text = (
        'seconds = 3\nper_second = 20\npolicies = ["fastest"]\n'
        '[routes.local]\nplace = "on_prem"\np50_ms = 300\np95_ms = 500\n'
    )
    path.write_text(text)
    result = CliRunner().invoke(parley, ["policy", "simulate", str(path), "--plot", str(picture)])
    path.write_text(text + '[[troubles]]\nroute = "moon"\nat = 1\nuntil = 2\n')

    assert (result.exit_code, result.stderr) == (0, "1/1 fastest\n")
    assert "by local" in result.stdout
    assert picture.read_text().startswith("<svg")
    with pytest.raises(SettingsError, match="moon"):
        read_scenario(path)


def test_simulation_of_five_policies_is_read_in_80_columns(tmp_path):
    """One line a figure, of policies with the longest names there are."""
    path = tmp_path / "s.toml"
    path.write_text('seconds = 1\nper_second = 20\n[routes.local]\nplace = "on_prem"\np50_ms = 300\np95_ms = 500\n')
    names = ("private-first", "cheapest-in-time", "fastest", "cloud-first", "offline")
    rules = [part for name in names for part in ("--rules", name)]
    table = CliRunner().invoke(parley, ["policy", "simulate", str(path), *rules]).stdout
    given = json.loads(CliRunner().invoke(parley, ["policy", "simulate", str(path), *rules, "--json"]).stdout)

    assert max(map(len, table.splitlines())) <= 80
    assert table.split()[:5] == list(names)
    assert "…" not in table
    assert [result["rules"] for result in given] == list(names)
    assert all(result["finals"] == pytest.approx(20, abs=15) and result["lost"] == 0 for result in given)
    assert given[0]["routes"] == {"local": 1.0}


def test_plot_of_no_results_is_an_svg():
    """No finals, no crash."""
    assert plot([], 1).startswith("<svg")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--url", "ftp://x"], "not the address of a server"),
        (["--url", "http://[::1"], "not the address of a server"),
        (["--url", "http://127.0.0.1:1"], "no Parley answers"),
        (["--url", "http://127.0.0.1:1", "--key", "\u00fc"], "this is no key"),
    ],
)
def test_explain_command_names_what_is_wrong_with_the_address_or_the_key(arguments, words):
    """A sentence, whatever the HTTP client raises."""
    result = CliRunner().invoke(parley, ["policy", "explain", *arguments])

    assert isinstance(result.exception, SettingsError)
    assert words in str(result.exception)


def test_simulate_command_names_a_picture_that_cannot_be_written(tmp_path):
    """After the table, with a sentence."""
    path = tmp_path / "s.toml"
    path.write_text('seconds = 1\nper_second = 5\n[routes.local]\nplace = "on_prem"\np50_ms = 300\np95_ms = 500\n')

    result = CliRunner().invoke(parley, ["policy", "simulate", str(path), "--plot", str(tmp_path / "no" / "s.svg")])

    assert isinstance(result.exception, SettingsError)
    assert "cannot be written" in str(result.exception)
