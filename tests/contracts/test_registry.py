"""A registry line without a test case does not get through."""

import pytest

from app import registry
from app.domain.errors import SettingsError
from tests.contracts.blob_cases import BLOB_CASES
from tests.contracts.detector_cases import DETECTOR_CASES
from tests.contracts.reply_cases import REPLY_CASES
from tests.contracts.synthesizer_cases import SYNTHESIZER_CASES
from tests.contracts.transcriber_cases import TRANSCRIBER_CASES

CASES = [
    (registry.DETECTORS, DETECTOR_CASES),
    (registry.TRANSCRIBERS, TRANSCRIBER_CASES),
    (registry.BLOB_STORES, BLOB_CASES),
    (registry.REPLY_GENERATORS, REPLY_CASES),
    (registry.SYNTHESIZERS, SYNTHESIZER_CASES),
]


@pytest.mark.parametrize(("table", "cases"), CASES)
def test_every_engine_has_a_case_in_its_contract(table, cases):
    """The contract suites run over the registry itself."""
    assert set(table) == set(cases)


@pytest.mark.parametrize(
    "table",
    [
        registry.DETECTORS,
        registry.TRANSCRIBERS,
        registry.REPLY_GENERATORS,
        registry.SYNTHESIZERS,
        registry.BLOB_STORES,
        registry.PROBES,
    ],
)
def test_every_line_leads_to_an_opener(table):
    """No name is misspelt."""
    for name in table:
        assert callable(registry.load(table, name))


def test_an_unknown_engine_is_refused_with_the_known_ones():
    """The sentence says what there is."""
    with pytest.raises(SettingsError, match="there are piper"):
        registry.load(registry.SYNTHESIZERS, "parrot")


def test_a_missing_extra_is_named():
    """What is not installed says how to install it."""
    table = {"parrot": registry.EngineEntry("no_such_package.parrot:open_parrot", "parrot")}

    with pytest.raises(SettingsError, match=r"pip install 'parley-voice\[parrot\]'"):
        registry.load(table, "parrot")
