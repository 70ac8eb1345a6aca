"""Persons: which identifiers are accepted, and who may name one."""

import msgspec
import pytest

from app.domain.errors import ClientError
from app.domain.person import parse_person, speaking_person
from app.domain.principal import TENANT_SCOPES, Principal, Scope
from app.domain.recording.manifest import Manifest
from app.json_input import decode_json
from app.runtime.jobs import earlier_files
from app.runtime.recording import journal

KEY = Principal(key_id="0123456789ab")
TOKEN = Principal(key_id="0123456789ab", by_token=True)
TOKEN_OF_ANNA = Principal(key_id="0123456789ab", by_token=True, person="anna")
ISSUER_TOKEN = Principal(key_id="jwt:anna", person="anna")
STRANGER = Principal(scopes=frozenset({Scope.SPEAK}))
LOCAL = Principal(scopes=frozenset(Scope))


@pytest.mark.parametrize(
    "text",
    ["7", "visitor 17", "auth0|5f7c", "a" * 128, "Grüße 💬", "../../etc/passwd", "a\"b'c\\d", "<b>", "%00", "NULL"],
)
def test_person_of_printable_characters_is_taken_as_it_is(text):
    assert parse_person(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        " a",
        "a ",
        "a" * 129,
        "a\nb",
        "a\x00",
        "a\x1b[31m",
        "a\u202eb",
        "a\u200bb",
        "\ud800",
        "a\u2028b",
        "a\ufffd",
    ],
)
def test_person_that_cannot_be_told_from_another_or_forges_a_log_line_is_refused(text):
    with pytest.raises(ClientError, match="1 to 128 printable characters") as refusal:
        parse_person(text)

    assert refusal.value.code == "bad_message"


def test_refusal_of_a_person_does_not_repeat_it():
    """It would be in the log, and in what is shown."""
    with pytest.raises(ClientError) as refusal:
        parse_person("anna@example.org\n")

    assert "anna" not in str(refusal.value)


@pytest.mark.parametrize(
    ("principal", "named", "speaking"),
    [
        (KEY, None, None),
        (KEY, "bert", "bert"),
        (LOCAL, "bert", "bert"),
        (TOKEN, None, None),
        (TOKEN_OF_ANNA, None, "anna"),
        (TOKEN_OF_ANNA, "anna", "anna"),
        (ISSUER_TOKEN, None, "anna"),
        (STRANGER, None, None),
    ],
)
def test_who_speaks_is_what_the_token_says_or_else_what_the_holder_of_a_key_names(principal, named, speaking):
    assert speaking_person(principal, named) == speaking


@pytest.mark.parametrize("principal", [TOKEN, TOKEN_OF_ANNA, ISSUER_TOKEN, STRANGER])
def test_who_holds_no_key_cannot_name_a_person(principal):
    with pytest.raises(ClientError) as refusal:
        speaking_person(principal, "bert")

    assert refusal.value.code == "forbidden"


def test_an_administrators_token_cannot_name_a_person_either():
    with pytest.raises(ClientError):
        speaking_person(Principal(scopes=TENANT_SCOPES | {Scope.ADMIN}, key_id="jwt:anna", person="anna"), "bert")


# -- What earlier versions stored -------------------------------------------------------------------


def test_manifest_of_an_earlier_version_has_no_person():
    old = b'{"session": "one", "started": "2026-01-02T12:00:00.000+00:00", "tenant": "acme", "format": 1}'

    manifest = msgspec.json.decode(old, type=Manifest)

    assert (manifest.tenant, manifest.person) == ("acme", None)


def test_journals_of_an_earlier_version_have_no_person():
    recorded = b'{"type": "opened", "session": "one", "started": "2026-01-02", "audio": "flac", "tenant": "acme"}'
    uploaded = b'{"type": "opened", "tenant": "acme", "at": "2026-01-02", "length": 3, "language": "en"}'

    opened = msgspec.json.decode(recorded, type=journal.Entry)
    found = journal.SessionJournal()
    found.apply(opened)

    assert found.manifest(is_live=True).person is None
    assert decode_json(uploaded, earlier_files.decoder) == earlier_files.FileOpened("acme", "2026-01-02", 3, "en")
