"""Deepgram's shape of an error: `{"err_code", "err_msg", "request_id"}`, and the code in a header too."""

from app.runtime.ids import new_id

PATHS = ("/v1/listen", "/v2/listen", "/v1/speak")
CODES = {
    "unauthorized": "INVALID_AUTH",
    "rate_limited": "TOO_MANY_REQUESTS",
    "too_many_attempts": "TOO_MANY_REQUESTS",
    "budget_exhausted": "ASR_PAYMENT_REQUIRED",
}
"""Deepgram's own words for codes of ours; all other codes are ours."""


def is_deepgram(path: str) -> bool:
    """Whether errors on this path have Deepgram's shape."""
    return path.rstrip("/") in PATHS


def deepgram_error(status: int, code: str, message: str) -> tuple[int, dict[str, str]]:
    """Status and body. A file that is no audio is 400; a server without room asks for fewer requests (429)."""
    status = {415: 400, 503: 429}.get(status, status) if code in ("bad_audio", "no_capacity") else status
    return status, {"err_code": CODES.get(code, code), "err_msg": message, "request_id": new_id()}


def deepgram_headers(code: str, message: str) -> dict[str, str]:
    """What clients that see no body show."""
    text = message.encode("ascii", "replace").decode()
    return {"dg-error": f"{CODES.get(code, code)}: {text}"}
