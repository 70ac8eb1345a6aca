"""How Twilio signs its requests.

The signature is the HMAC-SHA1, under the account's auth token, of the public URL and the fields of the form, ordered by
name (https://www.twilio.com/docs/usage/security#validating-requests).
"""

import base64
import hmac
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

Fields = Sequence[tuple[str, str]]
"""Of a form, as they came."""

_PORTS = {"https": 443, "wss": 443, "http": 80, "ws": 80}


def signature(auth_token: str, url: str, fields: Fields = ()) -> str:
    """As `X-Twilio-Signature` has it."""
    signed = url + "".join(name + value for name, value in sorted(set(fields)))
    return base64.b64encode(hmac.digest(auth_token.encode(), signed.encode(), "sha1")).decode()


def is_signed(auth_token: str, url: str, fields: Fields, presented: str) -> bool:
    """Whether this account signed this request; Twilio writes a default port into the URL at times."""
    return any(
        hmac.compare_digest(signature(auth_token, spelt, fields).encode(), presented.encode())
        for spelt in _spellings(urlsplit(url))
    )


def _spellings(url: SplitResult) -> set[str]:
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname or ""
    if url.port not in (None, _PORTS.get(url.scheme)):
        return {url.geturl()}
    return {url._replace(netloc=netloc).geturl() for netloc in (host, f"{host}:{_PORTS[url.scheme]}")}
