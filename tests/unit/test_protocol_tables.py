"""The tables of client and feature in the docs are those of the tests that run the clients."""

import os
import re
from dataclasses import dataclass
from importlib import import_module

import pytest

from tests.proven_features import PROVEN, clients_of, table
from tests.source import ROOT

TRIED = (
    "test_deepgram",
    "test_earlier_clients",
    "test_mcp",
    "test_openai_chat",
    "test_openai_files",
    "test_openai_speech",
    "test_realtime",
    "test_realtime_node",
    "test_twilio",
    "test_wyoming",
    "test_wyoming_bench",
)
"""Test modules whose import fills the tables."""
for _name in TRIED:
    import_module(f"tests.integration.{_name}")
OVERVIEW = "docs/protocols/README.md"


@dataclass(frozen=True)
class Protocol:
    title: str
    address: str
    page: str
    """Path of the page with its table, from the root."""


PROTOCOLS = {
    "openai": Protocol("OpenAI's API", "`http://HOST:8000/v1`", "docs/protocols/openai.md"),
    "openai-realtime": Protocol("OpenAI Realtime", "`ws://HOST:8000/v1/realtime`", "docs/protocols/openai-realtime.md"),
    "deepgram": Protocol(
        "Deepgram",
        "`/v1/listen`, `/v2/listen` (Flux), `/v1/speak` below `http://HOST:8000` and `ws://HOST:8000`",
        "docs/protocols/deepgram.md",
    ),
    "wyoming": Protocol("Wyoming", "TCP, port `PARLEY_WYOMING_PORT`", "docs/protocols/wyoming.md"),
    "twilio": Protocol("Twilio Media Streams", "webhook `https://HOST/twilio/voice`", "docs/telephony.md"),
    "mcp": Protocol("Model Context Protocol", "`parley mcp`; over HTTP `http://HOST:8765/mcp`", "docs/mcp.md"),
    "earlier-clients": Protocol("Clients of earlier servers", "`ws://HOST:8000/`", "docs/earlier-clients.md"),
}


def with_table(page: str, rows: str) -> str:
    """The page with these rows between its marks; `PARLEY_WRITE_DOCS=1` writes it."""
    path = ROOT / page
    before, mark, after = path.read_text("utf-8").partition("<!-- clients -->\n")
    _, end, rest = after.partition("<!-- /clients -->")
    assert mark, page
    assert end, page
    now = f"{before}{mark}\n{rows}\n\n{end}{rest}"
    if os.environ.get("PARLEY_WRITE_DOCS"):
        path.write_text(now, "utf-8")
    return now


def overview() -> str:
    """Protocol x address, clients and page."""
    rows = ["| protocol | address | clients that tests have tried | page |", "| --- | --- | --- | --- |"]
    for name, protocol in PROTOCOLS.items():
        target = os.path.relpath(protocol.page, "docs/protocols")
        clients = ", ".join(clients_of(name))
        rows.append(
            f"| {protocol.title} | {protocol.address} | {clients} | [{protocol.page.split('/')[-1]}]({target}) |"
        )
    return "\n".join(rows)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_documented_table_of_clients_is_that_of_the_tests(name):
    page = PROTOCOLS[name].page

    assert with_table(page, table(name)) == (ROOT / page).read_text("utf-8")


def test_overview_names_every_protocol_that_has_a_table():
    assert PROTOCOLS.keys() == PROVEN.keys()
    assert with_table(OVERVIEW, overview()) == (ROOT / OVERVIEW).read_text("utf-8")


@pytest.mark.parametrize("package", ["mcp", "streamdouble", "twilio", "zeroconf"])
def test_versions_of_clients_in_the_tests_environment_are_the_pinned_ones(package):
    """Clients with an environment of their own are pinned by their fixtures."""
    pinned = re.search(rf"^{package}==(\d+\.\d+)", (ROOT / "requirements" / "dev.txt").read_text("utf-8"), re.MULTILINE)
    named = [client for name in PROVEN for client in clients_of(name) if client.split()[0] == package]

    assert pinned
    assert [client.split()[-1] for client in named] == [pinned[1]]
