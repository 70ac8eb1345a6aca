"""Ids that begin with the time, so that they sort like what they name."""

import secrets
import time

_CHANCE_BITS = 16


def new_id() -> str:
    """A UUID of version 7, as 32 hexadecimal digits: of a session, a recording or a conversation."""
    milliseconds = time.time_ns() // 1_000_000
    chance = secrets.randbits(74)
    number = milliseconds << 80 | 7 << 76 | (chance >> 62) << 64 | 2 << 62 | chance & (1 << 62) - 1
    return f"{number:032x}"


def new_row_number() -> int:
    """63 bits, for a row that its writer numbers: nanoseconds, the lowest bits by chance."""
    return time.time_ns() >> _CHANCE_BITS << _CHANCE_BITS | secrets.randbits(_CHANCE_BITS)
