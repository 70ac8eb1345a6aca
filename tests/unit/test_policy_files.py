"""Rules and routes are read from files; what is wrong in them is named."""

import os

import pytest

from app.domain.errors import SettingsError
from app.domain.residency import Place
from app.domain.routing.cost import Price
from app.domain.routing.rules import Objective
from app.policy.reloading_file import ReloadingFile, open_reloading_file
from app.policy.routes_file import OpenAIRoute, read_routes, route_spec
from app.policy.rules_file import parse_rules, read_rules, rules_path, shipped
from app.policy.scenario import Scenario, read_scenario
from app.policy.tenants_file import read_tenants
from app.toml_file import read_toml


def test_shipped_rules_are_valid():
    """Six names need no file."""
    rules = {name: read_rules(rules_path(name)) for name in shipped()}

    assert sorted(rules) == ["accuracy", "cheapest-in-time", "cloud-first", "fastest", "offline", "private-first"]
    assert all(rules[name].name == name for name in rules)
    assert rules["offline"].places == (Place.ON_PREM,)
    assert rules["cloud-first"].prefer == (Place.CLOUD,)
    assert rules["cheapest-in-time"].objective is Objective.COST
    assert rules["accuracy"].cascade is not None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('objective = "speed"', r"rules.toml, line 1: objective: .*speed"),
        ("[hedge]\nenabled = true\nshare = 3", r"rules.toml, line 3: hedge.share: "),
        ('deadline_ms = "soon"', r"rules.toml, line 1: deadline_ms: "),
        ("\n\nmax_usd = 1", r"rules.toml, line 3: max_usd: object contains unknown field"),
        ("[budgets]\nday = 1\nweek = 3", r"rules.toml, line 3: budgets.week: "),
        ('places = ["moon"]', r"rules.toml, line 1: places: "),
        ("places = []", r"rules.toml, line 1: places: "),
        ("x = = 2", r"rules.toml: invalid value \(at line 1"),
    ],
)
def test_invalid_rules_name_the_line_and_the_key(text, words):
    """The source, the line, the key, and what is wrong with it."""
    with pytest.raises(SettingsError, match=words):
        parse_rules(text, "rules", "rules.toml")


def test_an_unknown_policy_name_is_refused_with_the_shipped_names():
    """Neither shipped nor a file."""
    with pytest.raises(SettingsError, match=r"PARLEY_POLICY: 'fast' .*fastest, offline"):
        rules_path("fast")


@pytest.mark.anyio
async def test_reload_of_a_changed_file_and_refusal_of_an_invalid_one(tmp_path):
    """The old rules stay until the file is right again."""
    path = tmp_path / "mine.toml"
    path.write_text('objective = "latency"')
    rules = await open_reloading_file(path, read_rules)

    for text, objective, refused in [
        ('objective = "cost"', Objective.COST, False),
        ('objective = "cheap"', Objective.COST, True),
        ('objective = "accuracy"', Objective.ACCURACY, False),
    ]:
        path.write_text(text)
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))
        await rules.reload_if_changed()
        assert rules.value.objective is objective
        assert bool(rules.error) is refused

    path.unlink()
    await rules.reload_if_changed()
    assert rules.value.objective is Objective.ACCURACY


ROUTES = """
[local]
engine = "local"

[jetson]
engine = "openai"
base_url = "http://10.0.0.7:8001/v1"
model = "whisper-small"
place = "on_prem"
at_once = 2

[openai]
engine = "openai"
minimum_s = 1

[aws]
engine = "aws"
region = "eu-central-1"
languages = ["en", "de"]
"""


def test_routes_file_with_places_prices_and_defaults(tmp_path):
    """Place, price and limits, with careful defaults: what is remote is in the cloud and costs money."""
    path = tmp_path / "routes.toml"
    path.write_text(ROUTES)

    routes = read_routes(path)
    specs = {name: route_spec(name, route) for name, route in routes.items()}

    assert list(routes) == ["local", "jetson", "openai", "aws"]
    assert isinstance(routes["jetson"], OpenAIRoute)
    assert [p.place for p in specs.values()] == [Place.ON_PREM, Place.ON_PREM, Place.CLOUD, Place.CLOUD]
    assert specs["aws"].price == Price(0.024, 15)
    assert specs["aws"].live
    assert specs["openai"].price == Price(0.006, 1)
    assert specs["jetson"].price.is_free
    assert list(read_routes(None)) == ["local"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[jetson]\nengine = "ollama"', r"line 2: jetson.engine: invalid value 'ollama'"),
        ('[jetson]\nengine = "openai"\nplace = "moon"', r"line 3: jetson.place: "),
        ('[aws]\nengine = "aws"', r"line 1: aws: .*region"),
        ('[aws]\nengine = "aws"\nregion = "x"\nplace = "on_prem"', r"aws.place: Amazon"),
        ('[local]\nengine = "local"\nplace = "cloud"', r"local.place: the model in this process"),
        ('[a]\nengine = "local"\n[b]\nengine = "local"', r"more than one"),
        ("", r"names no route"),
    ],
)
def test_invalid_routes_name_the_line_and_the_key(tmp_path, text, words):
    """No server starts on a route that cannot be meant."""
    path = tmp_path / "routes.toml"
    path.write_text(text)

    with pytest.raises(SettingsError, match=words):
        read_routes(path)


@pytest.mark.parametrize("read", [read_rules, read_routes, read_tenants, read_scenario])
@pytest.mark.parametrize("what", ["not UTF-8", "a directory", "missing"])
def test_an_unreadable_toml_file_is_a_settings_error(tmp_path, read, what):
    """Every file the command line reads answers with one sentence, never with a traceback."""
    path = tmp_path / "some.toml"
    if what == "not UTF-8":
        path.write_bytes(b"\xff\xfe")
    if what == "a directory":
        path.mkdir()

    with pytest.raises(SettingsError, match=r"some\.toml cannot be read: "):
        read(path)


def test_read_toml_names_the_line_and_the_key(tmp_path):
    """A typed file: the whole of it as one struct."""
    path = tmp_path / "some.toml"
    path.write_text("seconds = 2\nper_second = 0\n[routes.local]\nplace = 'on_prem'\np50_ms = 1\np95_ms = 2\n")

    with pytest.raises(SettingsError, match=r"some\.toml, line 2: per_second: "):
        read_toml(path, Scenario)


@pytest.mark.anyio
@pytest.mark.parametrize("error", [PermissionError, NotADirectoryError, IsADirectoryError, OSError(5, "I/O error")])
async def test_reload_of_a_file_that_cannot_be_read_keeps_the_value(tmp_path, error):
    """The value stays and the error is reported; it is read again as soon as it can be, though nothing else changed."""
    path, faults = tmp_path / "mine.toml", [error]
    path.write_text('objective = "latency"')

    def read(path):
        if faults:
            raise faults[0]
        return read_rules(path)

    rules = ReloadingFile(path, read, read_rules(path))

    await rules.reload_if_changed()
    refused = rules.error
    faults.clear()
    await rules.reload_if_changed()

    assert "mine.toml cannot be read" in refused
    assert rules.value.objective is Objective.LATENCY
    assert rules.error == ""


@pytest.mark.anyio
async def test_reload_of_a_path_that_is_no_file_any_more_keeps_the_value(tmp_path):
    """Not even its time can be asked for: ENOTDIR. A directory in its place is refused, too."""
    folder = tmp_path / "rules"
    folder.mkdir()
    path = folder / "mine.toml"
    path.write_text('objective = "cost"')
    rules = await open_reloading_file(path, read_rules)

    path.unlink()
    path.mkdir()
    await rules.reload_if_changed()
    as_directory = rules.error
    path.rmdir()
    folder.rmdir()
    folder.write_text("a file")
    await rules.reload_if_changed()
    under_a_file = rules.error

    assert "cannot be read" in as_directory
    assert "cannot be read" in under_a_file
    assert rules.value.objective is Objective.COST


def test_keys_of_toml_files_keep_their_names(tmp_path):
    """Files written for older releases are read: `patience_ms`, `patience_hedges`, `rest_s` and `troubles`."""
    routes, scenario = tmp_path / "routes.toml", tmp_path / "scenario.toml"
    routes.write_text('[local]\nengine = "local"\nrest_s = 7\nslow_ms = 900\n')
    scenario.write_text(
        '[routes.local]\nplace = "on_prem"\np50_ms = 1\np95_ms = 2\nrest_s = 7\n'
        '[[troubles]]\nroute = "local"\nat = 1\nuntil = 2\nstate = "fails"\n'
    )

    rules = parse_rules("patience_ms = 1000\npatience_hedges = 2\n", "mine", "mine.toml")
    breaker = route_spec("local", read_routes(routes)["local"]).breaker
    simulated = read_scenario(scenario)

    assert (rules.abandon_after_ms, rules.abandon_after_hedges) == (1000, 2)
    assert (breaker.open_s, breaker.slow_ms) == (7, 900)
    assert simulated.routes["local"].spec("local").breaker.open_s == 7
    assert [fault.state for fault in simulated.faults] == ["fails"]


def test_an_invalid_key_is_named_as_the_file_has_it(tmp_path):
    """Not by the name of the field."""
    path = tmp_path / "routes.toml"
    path.write_text('[local]\nengine = "local"\nrest_s = "long"\n')

    with pytest.raises(SettingsError, match=r"routes\.toml, line 3: local\.rest_s: "):
        read_routes(path)
    with pytest.raises(SettingsError, match=r"mine\.toml, line 1: patience_ms: "):
        parse_rules('patience_ms = "long"', "mine", "mine.toml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("deadline_ms = " + "[" * 3000, "nested too deep"),
        ("objective = " + "{a=" * 3000, "nested too deep"),
        ("deadline_ms = " + "9" * 5000, "digits"),
    ],
    ids=["arrays", "tables", "digits"],
)
def test_hostile_toml_is_a_settings_error_that_names_the_file(text, words):
    with pytest.raises(SettingsError, match=f"rules.toml: .*{words}"):
        parse_rules(text, "rules", "rules.toml")


def test_retention_beyond_any_date_is_refused(tmp_path):
    """Such a number would stop the deletion for all tenants."""
    path = tmp_path / "tenants.toml"
    path.write_text("[acme]\nkeep_days = 1000000\n")

    with pytest.raises(SettingsError, match=r"line 2: acme.keep_days: "):
        read_tenants(path)
