"""Persons: the tenant's own identifier of the human who speaks, and who may say it."""

from app.domain.errors import ClientError, ClientFault
from app.domain.principal import Principal

MAX_CHARACTERS = 128

_REPLACEMENT = "\ufffd"
"""What decoders leave of bytes that are no UTF-8: two identifiers that differ in those would become one."""


def parse_person(text: str) -> str:
    """The same text, where it can identify a person. Raises ClientError, whose message does not repeat the text.

    It is opaque: compared character by character, and unique within its tenant alone.
    """
    is_plain = text.isprintable() and text == text.strip() and _REPLACEMENT not in text
    if not (is_plain and 0 < len(text) <= MAX_CHARACTERS):
        raise ClientError(
            ClientFault.BAD_MESSAGE,
            f"person must have 1 to {MAX_CHARACTERS} printable characters, and no space at either end",
        )
    return text


def speaking_person(principal: Principal, named: str | None) -> str | None:
    """Who speaks: as the principal's token says, or without a token as the client names it; None: nobody says.

    Raises ClientError for what identifies no person, and where this principal may not name this one.
    """
    if named is None:
        return principal.person
    person = parse_person(named)
    if person != principal.person and not _may_name(principal):
        raise ClientError(
            ClientFault.FORBIDDEN, "only the holder of a key may name the person; a token names one itself, or none"
        )
    return person


def _may_name(principal: Principal) -> bool:
    """Whether it holds a key; where none is asked for, whether it is a client on this machine."""
    return not principal.by_token and principal.person is None and (bool(principal.key_id) or principal.is_admin)
