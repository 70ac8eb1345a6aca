"""Which of the service's locales answers for a two-letter language."""

from app.domain.errors import ProviderRefused

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
    """The locale to ask for: the configured one where it speaks this language. Raises ProviderRefused."""
    if language is None or language_of(default) == language:
        return default
    try:
        return _LOCALES[language]
    except KeyError:
        raise ProviderRefused("aws", f"Transcribe has no streaming recognition for the language {language!r}") from None


def language_of(locale: str) -> str:
    """The two letters of a locale."""
    return locale.partition("-")[0]
