"""The tables of client and feature in docs/protocols are those of the tests that run the clients."""

import os

import pytest

from tests.integration import test_realtime, test_realtime_node
from tests.proven_features import table
from tests.source import ROOT

TRIED = {"openai-realtime": (test_realtime, test_realtime_node)}
"""Page to the test modules whose import fills its table."""


@pytest.mark.parametrize("page", TRIED)
def test_documented_table_of_clients_is_that_of_the_tests(page):
    """`PARLEY_WRITE_DOCS=1` writes it."""
    path = ROOT / "docs" / "protocols" / f"{page}.md"
    before, mark, after = path.read_text().partition("<!-- clients -->\n")
    _, end, rest = after.partition("<!-- /clients -->")
    now = f"{before}{mark}\n{table(page)}\n\n{end}{rest}"
    if os.environ.get("PARLEY_WRITE_DOCS"):
        path.write_text(now)

    assert mark
    assert end
    assert path.read_text() == now
