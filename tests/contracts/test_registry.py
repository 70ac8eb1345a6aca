"""Registry of engines: every entry has an opener and a contract test."""

import pytest

from app import registry
from app.domain.errors import SettingsError
from tests.contracts.blob_cases import BLOB_CASES
from tests.contracts.detector_cases import DETECTOR_CASES
from tests.contracts.reply_cases import REPLY_CASES
from tests.contracts.speaker_cases import SPEAKER_CASES
from tests.contracts.synthesizer_cases import SYNTHESIZER_CASES
from tests.contracts.transcriber_cases import TRANSCRIBER_CASES

CASES = [
    (registry.DETECTORS, DETECTOR_CASES),
    (registry.TRANSCRIBERS, TRANSCRIBER_CASES),
    (registry.BLOB_STORES, BLOB_CASES),
    (registry.REPLY_GENERATORS, REPLY_CASES),
    (registry.SPEAKER_EMBEDDERS, SPEAKER_CASES),
    (registry.SYNTHESIZERS, SYNTHESIZER_CASES),
]


@pytest.mark.parametrize(("table", "cases"), CASES)
def test_every_registered_engine_has_a_contract_case(table, cases):
    """The contract suites run over the registry itself."""
    assert set(table) == set(cases)


@pytest.mark.parametrize(
    "table",
    [
        registry.DETECTORS,
        registry.TRANSCRIBERS,
        registry.REPLY_GENERATORS,
        registry.SPEAKER_EMBEDDERS,
        registry.SYNTHESIZERS,
        registry.BLOB_STORES,
        registry.PROBES,
    ],
)
def test_every_registry_entry_has_an_opener(table):
    """No name is misspelt."""
    for name in table:
        assert callable(registry.load(table, name))


def test_unknown_engine_error_lists_known_engines():
    """The sentence says what there is."""
    with pytest.raises(SettingsError, match="there are piper"):
        registry.load(registry.SYNTHESIZERS, "parrot")


def test_missing_extra_error_names_the_extra():
    """What is not installed says how to install it."""
    table = {"parrot": registry.EngineEntry("no_such_package.parrot:open_parrot", "parrot")}

    with pytest.raises(SettingsError, match=r"pip install 'parley-voice\[parrot\]'"):
        registry.load(table, "parrot")
