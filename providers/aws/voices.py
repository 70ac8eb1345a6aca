"""Chooses the Polly voice for a name, a locale or a language."""

from collections.abc import Mapping

from app.domain.errors import RequestRefused

VOICES: Mapping[str, str] = {
    "ar": "Hala",
    "ca": "Arlet",
    "da": "Sofie",
    "de": "Vicki",
    "en": "Joanna",
    "en-AU": "Olivia",
    "en-GB": "Amy",
    "en-IN": "Kajal",
    "es": "Lupe",
    "es-ES": "Lucia",
    "fi": "Suvi",
    "fr": "Lea",
    "fr-CA": "Gabrielle",
    "hi": "Kajal",
    "it": "Bianca",
    "ja": "Takumi",
    "ko": "Seoyeon",
    "nl": "Laura",
    "no": "Ida",
    "pl": "Ola",
    "pt": "Camila",
    "pt-PT": "Ines",
    "sv": "Elin",
    "zh": "Zhiyu",
}
"""A neural voice per language or locale."""


def voice_for(asked: str | None, *, default: str, voices: Mapping[str, str] = VOICES) -> str:
    """The voice of a name ("Joanna"), a locale ("en-GB") or a language ("de"); the default where nothing is asked.

    Languages begin with a small letter and voices with a capital, so nothing is both. Raises RequestRefused for a
    language without a voice; whether a name exists is for the service to know.
    """
    if asked is None:
        return default
    if asked[:1].isupper():
        return asked
    known = voices.get(asked) or voices.get(asked.partition("-")[0])
    if known is None:
        raise RequestRefused("polly", f"there is no voice for {asked!r}")
    return known
