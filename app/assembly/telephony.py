"""The account whose calls are answered, from the settings."""

from app.config import Settings
from app.domain.errors import SettingsError
from app.domain.telephony import TwilioAccount


def twilio_account(settings: Settings) -> TwilioAccount | None:
    """None: no calls are answered. Raises SettingsError."""
    if settings.twilio_auth_token is None:
        return None
    if not settings.public_url:
        raise SettingsError("PARLEY_PUBLIC_URL: Twilio's requests are signed with the address it calls; set it")
    return TwilioAccount(settings.twilio_auth_token.get_secret_value(), settings.public_url, settings.twilio_tenant)
