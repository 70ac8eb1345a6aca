"""How alike two spellings sound, by the classes of their consonants. Pure; for words in Latin letters.

The classes are Soundex's (Russell, 1918), of all consonants and not of the first four. Vowels are one class, and cost
less than a consonant: names are misheard in their vowels first.
"""

import re
import unicodedata
from collections.abc import Sequence

_CLASSES = ("aeiouy", "bfpv", "cgjkqsxz", "dt", "l", "mn", "r")
_CLASS_OF = {letter: str(number) for number, letters in enumerate(_CLASSES) for letter in letters}
_VOWEL = "0"
_VOWEL_COST = 0.5


def sound_distance(one: str, other: str) -> float:
    """0 where they sound alike, 1 where they have nothing in common: edits between their sounds, to the longer one."""
    left, right = _sounds(one), _sounds(other)
    longest = max(_length(left), _length(right))
    return _edits(left, right) / longest if longest else 1.0


def sound_length(text: str) -> float:
    """How many sounds it has; a vowel counts half."""
    return _length(_sounds(text))


def _length(sounds: Sequence[str]) -> float:
    return sum(map(_cost, sounds))


def _sounds(text: str) -> str:
    """Classes of sounds, the same one not twice in a row; letters of other scripts stand for themselves."""
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", text.lower()) if sign.isalpha())
    return re.sub(r"(.)\1+", r"\1", "".join(_CLASS_OF.get(sign, sign) for sign in plain if sign not in "hw"))


def _cost(sound: str) -> float:
    return _VOWEL_COST if sound == _VOWEL else 1.0


def _edits(left: Sequence[str], right: Sequence[str]) -> float:
    above = [0.0]
    for sound in right:
        above.append(above[-1] + _cost(sound))
    for one in left:
        row = [above[0] + _cost(one)]
        for n, other in enumerate(right):
            change = 0.0 if one == other else max(_cost(one), _cost(other))
            row.append(min(above[n] + change, above[n + 1] + _cost(one), row[n] + _cost(other)))
        above = row
    return above[-1]
