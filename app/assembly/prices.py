"""Prices of the configured reply engine and voice: from the settings, or as the vendors listed them."""

from urllib.parse import urlsplit

from app.config import Settings
from app.domain.spending import CharacterPrice, TokenPrice

LISTED = "2026-03"
"""When the vendors' lists below were read; a setting overrides each."""

OPENAI_MODELS = {
    "gpt-4o-mini": TokenPrice(0.15, 0.60),
    "gpt-4o": TokenPrice(2.50, 10.00),
    "gpt-4.1": TokenPrice(2.00, 8.00),
    "gpt-4.1-mini": TokenPrice(0.40, 1.60),
    "gpt-4.1-nano": TokenPrice(0.10, 0.40),
    "gpt-5": TokenPrice(1.25, 10.00),
    "gpt-5-mini": TokenPrice(0.25, 2.00),
    "gpt-5-nano": TokenPrice(0.05, 0.40),
    "gpt-5-pro": TokenPrice(15.00, 120.00),
}
"""US dollars per million tokens, prompt and generated (https://openai.com/api/pricing)."""

HIGHEST = max(OPENAI_MODELS.values(), key=lambda price: price.usd_per_million_generated)

POLLY_ENGINES = {"neural": CharacterPrice(16.00), "standard": CharacterPrice(4.00)}
"""US dollars per million characters (https://aws.amazon.com/polly/pricing)."""


def reply_price(settings: Settings, provider: str) -> TokenPrice:
    """What replies of this provider cost. Models in this process, Ollama's and a receiver cost nothing.

    A model that OpenAI has and the list has not counts as the most expensive of the list. Any other server costs
    nothing unless the settings give a price.
    """
    if provider != "openai":
        return TokenPrice()
    prompt, generated = settings.reply_usd_per_million_prompt_tokens, settings.reply_usd_per_million_generated_tokens
    listed = TokenPrice()
    if _is_openai(settings):
        listed = listed_price(settings.openai_model) or HIGHEST
    return TokenPrice(
        listed.usd_per_million_prompt if prompt is None else prompt,
        listed.usd_per_million_generated if generated is None else generated,
    )


def is_price_assumed(settings: Settings, provider: str) -> bool:
    """Whether replies are counted at the highest price of the list, because nothing says what their model costs."""
    given = (settings.reply_usd_per_million_prompt_tokens, settings.reply_usd_per_million_generated_tokens)
    return (
        provider == "openai" and _is_openai(settings) and None in given and listed_price(settings.openai_model) is None
    )


def _is_openai(settings: Settings) -> bool:
    """Whether replies come from OpenAI itself, and not from a server with the same API."""
    return urlsplit(settings.openai_base_url).hostname == "api.openai.com"


def listed_price(model: str) -> TokenPrice | None:
    """The price of this model of OpenAI, or of a dated version of it such as `gpt-4o-2024-08-06`."""
    name, separator, version = model.partition("-20")
    if separator and not version[:2].isdecimal():
        name = model
    return OPENAI_MODELS.get(name)


def speech_price(settings: Settings, provider: str) -> CharacterPrice:
    """What this voice costs. Piper costs nothing."""
    if provider != "polly":
        return CharacterPrice()
    if settings.speech_usd_per_million_characters is not None:
        return CharacterPrice(settings.speech_usd_per_million_characters)
    return POLLY_ENGINES[settings.polly_engine]
