"""Profiles are read from files; what is wrong in them is named."""

import pytest

from app.domain.errors import ClientError, ClientFault, SettingsError
from app.domain.interruption_mode import InterruptionMode
from app.domain.profile import Profile
from app.domain.tenant import Tenant
from app.domain.tools import Tool
from app.domain.turn_mode import TurnMode
from app.policy.profiles_file import SHIPPED_PROFILES, read_profile, read_profiles
from app.policy.reloading_file import open_reloading_file
from app.runtime.profiles import ProfileCatalogue

FULL = """
description = "Orders pizza."
instructions = "You take orders."
engine = "openai"
model = "gpt-4o"
voice = "Matthew"
languages = ["Italian", "en-GB"]
key_terms = ["Margherita", "Quattro Stagioni"]
vocabulary = "pizzas"
history_tokens = 500
max_rounds = 2
turns = "silence"
silence_ms = 2500
interruptions = "any"
end_after_ms = 900
end_after_done_ms = 350
reply_after_ms = 1500
reply_after_done_ms = 0
adaptive_waits = false
echo_detection = false
events = true

[[tools]]
name = "menu"
description = "What there is."
url = "https://menu.example/all"

[[tools]]
name = "order"
description = "Order a pizza."
url = "https://pizza.example/orders"
method = "POST"
timeout_s = 3
max_bytes = 500
hosts = ["pizza.example", "orders.pizza.example"]
private = true
headers.Authorization = "Bearer ${PIZZA_KEY}"
[tools.parameters]
type = "object"
properties.size = { type = "string" }
"""


def written(folder, text: str, name: str = "pizza"):
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


def test_a_profile_with_every_key(tmp_path):
    """Each has its place; a header has the variable's value; a tool without hosts has that of its URL."""
    profile = read_profile(written(tmp_path, FULL), {"PIZZA_KEY": "s3cret"})

    menu = Tool("menu", "What there is.", "https://menu.example/all", hosts=frozenset({"menu.example"}))
    order = Tool(
        "order",
        "Order a pizza.",
        "https://pizza.example/orders",
        "POST",
        {"type": "object", "properties": {"size": {"type": "string"}}},
        {"Authorization": "Bearer s3cret"},
        3,
        500,
        frozenset({"pizza.example", "orders.pizza.example"}),
        private=True,
    )
    assert profile == Profile(
        "pizza",
        "Orders pizza.",
        "You take orders.",
        "openai",
        "gpt-4o",
        "Matthew",
        ("it", "en"),
        ("Margherita", "Quattro Stagioni"),
        "pizzas",
        500,
        (menu, order),
        2,
        TurnMode.SILENCE,
        2500,
        InterruptionMode.ANY,
        900,
        350,
        1500,
        0,
        adaptive_waits=False,
        echo_detection=False,
        events=True,
    )
    assert profile.language == "it,en"


def test_the_shipped_profiles_name_no_engine():
    """They work with whatever the settings have."""
    profiles = read_profiles(None, {})

    assert sorted(profiles) == ["assistant", "code", "custom"]
    assert all(profile.instructions and profile.description and not profile.engine for profile in profiles.values())


def test_every_commented_line_of_the_example_is_valid(tmp_path):
    """Whoever removes the signs has a profile that can be read."""
    lines = (SHIPPED_PROFILES / "custom.toml").read_text().splitlines()
    keys = [line.removeprefix("# ") for line in lines if line.startswith("# ") and (" = " in line or "[" in line[:4])]
    plain = [line for line in lines if line and not line.startswith("#")]

    profile = read_profile(written(tmp_path, "\n".join([*plain, *keys])), {"WEATHER_KEY": "k"})

    assert (profile.engine, profile.voice, profile.languages) == ("ollama", "Matthew", ("en", "de"))
    assert profile.tools[0].headers == {"Authorization": "Bearer k"}
    assert profile.tools[0].parameters["required"] == ["city"]


def test_an_own_profile_replaces_the_shipped_one_of_its_name(tmp_path):
    """The others stay."""
    written(tmp_path, 'instructions = "Mine."', "assistant")

    profiles = read_profiles(tmp_path, {})

    assert profiles["assistant"].instructions == "Mine."
    assert sorted(profiles) == ["assistant", "code", "custom"]


TOOL = '[[tools]]\nname = "menu"\ndescription = "M."\nurl = "https://menu.example"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('engine = "gpt"', r"pizza.toml, line 1: engine: "),
        ('\nmodel = "gpt-4o"', r"pizza.toml, line 2: model: name the engine that has this model"),
        ('engine = "receiver"\nmodel = "x"', r"pizza.toml, line 2: model: a receiver"),
        ("history_tokens = 0", r"pizza.toml, line 1: history_tokens: "),
        ('languages = ["xx"]', r"pizza.toml, line 1: languages: "),
        ('vocabulary = "piz zas"', r"pizza.toml, line 1: vocabulary"),
        ('key_terms = ["Ann", "a, b"]', r"pizza.toml, line 1: key_terms: term 2 must have printable"),
        ('instruction = "x"', r"pizza.toml, line 1: instruction: object contains unknown field"),
        (TOOL + TOOL, r"pizza.toml.*tools: two tools are named menu"),
        (TOOL + "timeout_s = 0", r"pizza.toml, line 5: tools.timeout_s: "),
        (TOOL + '[[tools]]\nname = "a b"\ndescription = "x"\nurl = "x"', r"pizza.toml, line 6: tools.name: "),
        (TOOL.replace("https", "ftp"), r"pizza.toml, line 4: tools.url: it is no http or https URL"),
        (TOOL + 'hosts = ["other.example"]', r"line 4: tools.url: menu.example is not among its hosts"),
        (TOOL + '[tools.parameters]\ntype = "string"', r"line 5: tools.parameters: the schema of an object"),
        (TOOL + '[tools.headers]\nkey = "${NO_SUCH}"', r"line 6: tools.headers.key: the variable NO_SUCH is not set"),
        (TOOL + '[tools.headers]\nHost = "evil.example"', r"line 6: tools.headers.Host: no header of a tool"),
        (TOOL + '[tools.headers]\nkey = "${BREAK}"', r"line 6: tools.headers.key: no header of a tool"),
        ("x = = 2", r"pizza.toml: invalid value"),
    ],
)
def test_invalid_profiles_name_the_file_the_line_and_the_key(tmp_path, text, words):
    """And never the value of a header."""
    with pytest.raises(SettingsError, match=words) as raised:
        read_profile(written(tmp_path, text), {"BREAK": "se\r\ncret"})

    assert "cret" not in str(raised.value)


def test_a_profiles_name_is_that_of_a_file(tmp_path):
    """It stands in addresses and in the tenants file."""
    with pytest.raises(SettingsError, match="a profile's name has"):
        read_profile(written(tmp_path, "", "My Profile"), {})


def test_a_folder_that_does_not_exist_is_an_error(tmp_path):
    """The setting is named."""
    with pytest.raises(SettingsError, match=r"PARLEY_PROFILES: .*nowhere is no folder"):
        read_profiles(tmp_path / "nowhere", {})


@pytest.mark.anyio
async def test_a_changed_a_new_and_a_removed_file_take_effect(tmp_path):
    """An invalid one changes nothing until it is right again."""
    path = written(tmp_path, 'instructions = "One."')
    files = await open_reloading_file(tmp_path, lambda folder: read_profiles(folder, {}))

    path.write_text('instructions = "Two and more."')
    await files.reload_if_changed()
    changed = files.value["pizza"].instructions
    path.write_text("instructions = ")
    await files.reload_if_changed()
    kept, error = files.value["pizza"].instructions, files.error
    path.unlink()
    written(tmp_path, "", "pasta")
    await files.reload_if_changed()

    assert (changed, kept) == ("Two and more.", "Two and more.")
    assert "pizza.toml" in error
    assert sorted(files.value) == ["assistant", "code", "custom", "pasta"]
    assert files.error == ""


A, B, C = (Profile(name) for name in "abc")
ALL, SOME = Tenant("t"), Tenant("t", profiles=("b", "c", "gone"))


@pytest.mark.parametrize(
    ("name", "tenant", "default", "chosen"),
    [
        ("a", ALL, "", A),
        ("a", ALL, "b", A),
        (None, ALL, "", None),
        ("", ALL, "b", B),
        (None, SOME, "c", C),
        (None, SOME, "a", B),
        (None, SOME, "", B),
        ("c", SOME, "b", C),
    ],
)
def test_who_chooses_no_profile_gets_the_default(name, tenant, default, chosen):
    """Where the tenant may not use it, the first that it may."""
    catalogue = ProfileCatalogue(lambda: {"a": A, "b": B, "c": C}, default)

    assert catalogue.choose(name, tenant) is chosen


@pytest.mark.parametrize(("name", "tenant"), [("x", ALL), ("a", SOME), ("gone", SOME)])
def test_an_unknown_profile_is_an_error_with_a_code(name, tenant):
    """The same where another tenant may use it."""
    catalogue = ProfileCatalogue(lambda: {"a": A, "b": B, "c": C})

    with pytest.raises(ClientError, match=f"there is no profile '{name}'; there are: .*b, c") as raised:
        catalogue.find(name, tenant)
    assert raised.value.code is ClientFault.UNKNOWN_PROFILE
