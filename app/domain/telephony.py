"""The account of a telephone service whose calls are sessions."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TwilioAccount:
    auth_token: str
    """Signs what Twilio sends."""
    public_url: str
    """Of this server, as Twilio reaches it: scheme, host and path, without a slash at its end."""
    tenant: str
    """Whose sessions the calls are."""
