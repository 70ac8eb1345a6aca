"""Maps a two-letter language to the locale that Transcribe recognises it by."""

from app.domain.errors import RequestRefused
from app.domain.language import allowed_languages

_LOCALES = {
    "ar": "ar-SA",
    "cs": "cs-CZ",
    "da": "da-DK",
    "de": "de-DE",
    "el": "el-GR",
    "en": "en-US",
    "es": "es-US",
    "fi": "fi-FI",
    "fr": "fr-FR",
    "he": "he-IL",
    "hi": "hi-IN",
    "id": "id-ID",
    "it": "it-IT",
    "ja": "ja-JP",
    "ko": "ko-KR",
    "nl": "nl-NL",
    "no": "no-NO",
    "pl": "pl-PL",
    "pt": "pt-BR",
    "ru": "ru-RU",
    "sv": "sv-SE",
    "th": "th-TH",
    "tl": "tl-PH",
    "uk": "uk-UA",
    "vi": "vi-VN",
    "zh": "zh-CN",
}


def locale_for(language: str | None, *, default: str) -> str:
    """The configured locale where it is of this language, else the language's usual one. Raises RequestRefused.

    Of several languages with commas between it is the configured locale's, or the first: nothing is detected.
    """
    allowed = allowed_languages(language)
    if not allowed or language_of(default) in allowed:
        return default
    try:
        return _LOCALES[allowed[0]]
    except KeyError:
        raise RequestRefused(
            "aws", f"Transcribe has no streaming recognition for the language {allowed[0]!r}"
        ) from None


def language_of(locale: str) -> str:
    """The two letters of a locale: "de" of "de-AT"."""
    return locale.partition("-")[0]
