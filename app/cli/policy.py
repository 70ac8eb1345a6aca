"""`parley policy`: explain, summarise, replay and simulate the routing policy."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import httpx
import msgspec
from rich.table import Table

from app.cli.command_group import CommandGroup
from app.cli.server_address import url_option
from app.cli.simulation_report import results_as_json, results_table, shown_simulations
from app.cli.tables import print_table, whole
from app.data.decision_json import decode_decision, decode_decisions
from app.domain.errors import SettingsError
from app.domain.routing.decision import DecisionRecord
from app.domain.routing.replay import Counterfactual, as_it_was, replay
from app.policy.plot import plot
from app.policy.rules_file import read_rules, rules_path
from app.policy.scenario import read_scenario
from app.policy.simulation import simulate
from app.proxies import proxy_of

TIMEOUT_S = 10.0


@click.group(cls=CommandGroup)
def policy() -> None:
    """Explain, summarise, replay and simulate the routing policy."""


@policy.command()
@url_option()
@click.option("--seconds", type=float, default=4.0, show_default=True, help="Length of the utterance.")
@click.option("--language", help="Spoken language, or several with commas.")
@click.option("--place", type=click.Choice(["on_prem_only", "cloud_ok"]), default="cloud_ok", show_default=True)
@click.option("--tenant", default="default", show_default=True, help="Tenant of the utterance.")
@click.option("--key", envvar="PARLEY_KEY", show_envvar=True, help="An operator's key, where the server asks for one.")
def explain(url: str, seconds: float, language: str | None, place: str, tenant: str, key: str | None) -> None:
    """How a running server would rank its routes for an utterance now."""
    query = {"seconds": str(seconds), "place": place, "tenant": tenant} | ({"language": language} if language else {})
    answer = _get(f"{url.rstrip('/')}/policy/explain", query, key)
    table = Table(
        "", whole("route"), "place", "why", "p50", "p95", "US$", title=f"rules: {answer['rules']}", title_justify="left"
    )
    for at, choice in enumerate(answer["choices"], 1):
        times = f"{choice['expected_ms']:.0f} ms", f"{choice['tail_ms']:.0f} ms"
        table.add_row(str(at), choice["name"], choice["place"], choice["why"], *times, f"{choice['usd']:.4f}")
    for rejected in answer["rejected"]:
        table.add_row("-", rejected["name"], "", rejected["why"], style="dim")
    print_table(table)


@policy.command()
@url_option()
@click.option("--key", envvar="PARLEY_KEY", show_envvar=True, help="An operator's key, where the server asks for one.")
def summary(url: str, key: str | None) -> None:
    """What a running server and those on its database spent today, against the budgets."""
    spend = _get(f"{url.rstrip('/')}/policy/summary", {}, key)["spend"]
    table = Table(whole("tenant"), "spent, US$", "budget, US$", "left, US$", title=spend["day"], title_justify="left")
    for line in spend["tenants"]:
        table.add_row(line["tenant"], *map(_usd, (line["usd"], line["budgetUsd"], line["remainingUsd"])))
    table.add_row("all", *map(_usd, (spend["usd"], spend["budgetUsd"], spend["remainingUsd"])), style="bold")
    print_table(table)


@policy.command("replay")
@click.argument("trace", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--rules", "names", multiple=True, required=True, help="A rules file or a shipped name; may be repeated.")
def replay_(trace: Path, names: tuple[str, ...]) -> None:
    """Compare the decisions of TRACE with those that other rules would have made.

    TRACE is what `/policy/decisions` answers, or one such decision a line.
    """
    records = read_trace(trace)
    columns = [as_it_was(records), *(replay(records, read_rules(rules_path(name))) for name in names)]
    print_table(_comparison_table(columns))


@policy.command("simulate")
@click.argument("scenario", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--rules", "names", multiple=True, help="Instead of the scenario's policies; may be repeated.")
@click.option("--plot", "picture", type=click.Path(dir_okay=False, path_type=Path), help="SVG file to draw.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def simulate_(scenario: Path, names: tuple[str, ...], picture: Path | None, *, as_json: bool) -> None:
    """Simulate SCENARIO (generated load, outages and price changes) under each policy."""
    parsed = read_scenario(scenario)
    policies = [read_rules(rules_path(name)) for name in names or parsed.policies]
    with shown_simulations(parsed.seconds, len(policies)) as begin:
        results = [simulate(parsed, rules, begin(rules.name)) for rules in policies]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(results_as_json(results))))
    else:
        print_table(results_table(results))
    if picture:
        try:
            picture.write_text(plot(results, parsed.seconds))
        except OSError as error:
            raise SettingsError(f"{picture} cannot be written: {error}") from error


def read_trace(path: Path) -> list[DecisionRecord]:
    """Decisions from a JSON array or from lines. Raises SettingsError."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    try:
        if text.lstrip()[:1] == b"[":
            return decode_decisions(text)
        return [decode_decision(line) for line in text.splitlines() if line.strip()]
    except msgspec.DecodeError as error:
        raise SettingsError(f"{path} is no trace of decisions: {error}") from error


def _comparison_table(columns: Sequence[Counterfactual]) -> Table:
    table = Table("", *(whole(f"{c.rules}{' (as it was)' if at == 0 else ''}") for at, c in enumerate(columns)))
    rows: list[tuple[str, list[str]]] = [
        ("utterances", [str(c.finals) for c in columns]),
        ("covered", [f"{c.covered:.1%}" for c in columns]),
        ("p50", [_ms(c.p50_ms) for c in columns]),
        ("p95", [_ms(c.p95_ms) for c in columns]),
        ("spend, US$", [f"{c.usd:.4f}" for c in columns]),
        ("in the cloud", [f"{c.cloud:.1%}" for c in columns]),
        ("privacy violations", [str(c.violations) for c in columns]),
        ("other route than then", [str(c.changed) for c in columns]),
    ]
    for name, cells in rows:
        table.add_row(name, *cells)
    return table


def _usd(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _get(url: str, query: dict[str, str], key: str | None) -> Any:
    """The JSON that a server answers. Raises SettingsError."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with httpx.Client(timeout=TIMEOUT_S, proxy=proxy_of(url), trust_env=False) as client:
            response = client.get(url, params=query, headers=headers)
            response.raise_for_status()
            return msgspec.json.decode(response.content)
    except UnicodeEncodeError as error:
        raise SettingsError("--key: this is no key: it has characters that no header can carry") from error
    except (httpx.UnsupportedProtocol, httpx.InvalidURL, ValueError) as error:
        raise SettingsError(f"{url} is not the address of a server: {error}") from error
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        why = "an operator's key is needed, see --key" if status in (401, 403) else f"it answers {status}"
        raise SettingsError(f"{url} refuses: {why}") from error
    except (httpx.TransportError, msgspec.DecodeError) as error:
        raise SettingsError(f"no Parley answers at {url}: {error}") from error
