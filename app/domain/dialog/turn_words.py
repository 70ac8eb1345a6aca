"""Words of each language that say something about whose turn it is. A language without a table has none."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from app.domain.transcript import bare_word


@dataclass(frozen=True, slots=True)
class TurnWords:
    """Of one language; every word as bare_word() returns it."""

    backchannels: frozenset[str] = frozenset()
    """They show that one listens, and do not ask for the turn."""
    incomplete_endings: frozenset[str] = frozenset()
    """A sentence seldom ends on them, whatever stands behind."""
    dictated: frozenset[str] = frozenset()
    """Numbers, and the names of signs in an address."""


def turn_words(language: str | None) -> TurnWords | None:
    """Of this language, `de` or `de-DE`; None where it is unknown, or has no table."""
    return _TABLES.get(language.partition("-")[0]) if language else None


def last_word(text: str) -> str:
    """Without case and the punctuation around it; empty where there is none."""
    return next((word for word in map(bare_word, reversed(text.split())) if word), "")


def is_hummed(word: str) -> bool:
    """Whether it is a sound of listening in any language: "mm", "hm-hm", "uh-huh", "aha"; and "OK"."""
    return word in _OTHER_HUMS or (len(word) > 1 and _HUM.fullmatch(word) is not None)


def is_dictated(word: str, words: TurnWords | None) -> bool:
    """Whether it is a number, in digits or words, or a letter or a sign that is spelled out."""
    return any(map(str.isdigit, word)) or (words is not None and (word in words.dictated or _is_letter(word)))


def _is_letter(word: str) -> bool:
    return len(word) == 1 and word.isalpha()


def _words(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


_HUM = re.compile(r"[hm-]+|([aeiouäöüåæø])\1*[hm]*(?:-?h*\1+[hm]*)*")  # without a vowel, or always with the same
_OTHER_HUMS = frozenset(["ok", "okay", "okej", "окей", "угу", "ага", "ого", "мм", "мгм", "хм", "嗯", "うん", "응"])  # noqa: RUF001 because it is Cyrillic
_HUMMED = "mm mhm hm hmm mm-hm mm-hmm mhmm ah oh ok okay"
_TABLES = {
    "en": TurnWords(
        backchannels=_words(_HUMMED, "uh uh-huh um yeah yes yep right sure thank you thanks"),
        incomplete_endings=_words(
            "a an the and or but so because if when while that which who of to in on at for with from by as than then",
            "is are was were be been has have had will would can could should my your his her its our their this",
            "i we they he she it's i'm um uh er not very really about into like",
        ),
        dictated=_words(
            "zero oh one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen",
            "seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand",
            "double triple dot dash hyphen slash underscore",
        ),
    ),
    "de": TurnWords(
        # Without "an", "auf", "zu" and other prefixes of verbs, on which sentences end: "Ruf mich an."
        backchannels=_words(_HUMMED, "aha ach so achso äh ähm ja jaja jo genau stimmt klar richtig gut danke"),
        incomplete_endings=_words(
            "der die den dem des ein eine einen einem einer eines und oder aber weil dass ob wenn denn sowie in im am",
            "zum zur beim vom für von mit mein meine meinen meinem meiner dein deine deinen deinem deiner sehr äh ähm",
        ),
        dictated=_words(
            "null eins zwei zwo drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn",
            "sechzehn siebzehn achtzehn neunzehn zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig",
            "hundert tausend punkt bindestrich unterstrich schrägstrich",
        ),
    ),
    "fr": TurnWords(
        backchannels=_words(_HUMMED, "euh oui ouais d'accord voilà exactement bien sûr bon merci"),
        incomplete_endings=_words(
            "le la les un une des du de et ou mais que parce car pour dans sur chez à au aux mon ma mes ton ta tes",
            "ses notre votre très euh",
        ),
        dictated=_words(
            "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize vingt",
            "trente quarante cinquante soixante cent mille point arobase tiret",
        ),
    ),
    "es": TurnWords(
        backchannels=_words(_HUMMED, "ajá aja sí si claro vale bueno bien ya exacto gracias"),
        incomplete_endings=_words(
            "el la los las un una de del y o pero porque que con para por en a al mi mis tu tus su sus muy cuando",
        ),
        dictated=_words(
            "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince veinte treinta",
            "cuarenta cincuenta sesenta setenta ochenta noventa cien mil punto arroba guion guión",
        ),
    ),
}


def all_in(spoken: Iterable[str], words: frozenset[str]) -> bool:
    """Whether each of these is among the words, written with whichever apostrophe."""
    return all(word.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'") in words for word in spoken)
