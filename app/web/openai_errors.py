"""OpenAI's shape of an error: `{"error": {"message", "type", "param", "code"}}`, all four, whatever the error."""

from collections.abc import Mapping
from typing import Any

CODES: Mapping[str, str] = {
    "unauthorized": "invalid_api_key",
    "too_many_attempts": "rate_limit_exceeded",
    "rate_limited": "rate_limit_exceeded",
    "budget_exhausted": "insufficient_quota",
}
"""OpenAI's own words for codes of ours; all other codes are ours."""
FINAL = frozenset({"budget_exhausted"})
"""Codes with which a status that the official clients repeat would be billed or refused again."""


def openai_error(status: int, code: str, message: str, param: str | None) -> tuple[int, dict[str, Any]]:
    """Status and body. OpenAI says 400 of a file that is no audio, where HTTP has 415."""
    status = 400 if status == 415 else status
    kind = "invalid_request_error" if status < 500 else "server_error"
    error = {"message": message, "type": kind, "param": param, "code": CODES.get(code, code)}
    return status, {"error": error}


def openai_headers(status: int, code: str) -> dict[str, str]:
    """The official clients send again what got 408, 409, 429 or 5xx, unless this header says that it is in vain."""
    if code in FINAL or status == 409:
        return {"x-should-retry": "false"}
    return {}
