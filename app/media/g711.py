"""G.711, the 8-bit companded audio of telephony: mu-law (PCMU) and A-law (PCMA), to and from PCM16.

Every code decodes to the value that ITU-T G.711 gives it, scaled to 16 bits; a sample is encoded as the code whose
value is nearest.
"""

from functools import cache
from typing import Literal, TypeAlias

import numpy as np

RATE = 8000
"""Samples per second, in telephony."""

Law: TypeAlias = Literal["ulaw", "alaw"]
_Values: TypeAlias = np.ndarray[tuple[int], np.dtype[np.int16]]
_Codes: TypeAlias = np.ndarray[tuple[int], np.dtype[np.uint8]]


def decode_g711(codes: bytes, law: Law) -> bytes:
    """As PCM16: one sample for each byte."""
    return _values(law)[np.frombuffer(codes, np.uint8)].astype("<i2").tobytes()


def encode_g711(pcm: bytes, law: Law) -> bytes:
    """One byte for each sample of PCM16."""
    samples = np.frombuffer(pcm, "<i2")
    return _codes(law)[samples.astype(np.int32) + 32768].tobytes()


@cache
def _values(law: Law) -> _Values:
    """The sample of each code."""
    codes = np.arange(256)
    bits = (~codes if law == "ulaw" else codes ^ 0x55) & 0xFF
    exponent, mantissa = (bits >> 4) & 7, bits & 15
    if law == "ulaw":
        magnitude = (((mantissa << 3) + 132) << exponent) - 132
        negative = bits & 0x80 != 0
    else:
        linear = (mantissa << 4) + 8
        magnitude = np.where(exponent == 0, linear, (linear + 256) << np.maximum(exponent - 1, 0))
        negative = bits & 0x80 == 0
    values: _Values = np.where(negative, -magnitude, magnitude).astype(np.int16)
    return values


@cache
def _codes(law: Law) -> _Codes:
    """The code of each sample, from -32768 on."""
    values = _values(law).astype(np.int32)
    order = np.argsort(values, kind="stable")
    bounds = (values[order][1:] + values[order][:-1]) / 2
    codes: _Codes = order[np.searchsorted(bounds, np.arange(-32768, 32768), side="right")].astype(np.uint8)
    return codes
