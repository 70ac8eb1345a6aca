"""The document's tables of `/admin` and `/policy`."""

from app.web.admin.api_keys import NewKey
from app.web.policy.router import DecisionQuery, HypotheticalRequest
from app.web.schema.operation import DocumentedBody, DocumentedOperation, DocumentedResponse, Operations, ok
from app.web.schema.parameters import KEY_ID, SESSION, value

_SESSION = {
    "id": SESSION,
    "tenant": "acme",
    "keyName": "kiosk",
    "keyId": KEY_ID,
    "address": "203.0.113.7",
    "userAgent": "Mozilla/5.0",
    "started": "2026-01-31T12:00:00.000+00:00",
    "audioSeconds": 3.3,
    "costUsd": 0.006,
    "state": "active",
}
_KEY = {
    "id": KEY_ID,
    "name": "kiosk",
    "tenant": "acme",
    "scopes": ["speak"],
    "state": "active",
    "created": "2026-01-31T12:00:00+00:00",
    "expires": None,
    "revoked": None,
    "lastUsed": None,
}
_ENTRY = {
    "id": "01932c5e0a7b7def8123456789abcde0",
    "at": "2026-01-31T12:00:00.000+00:00",
    "key_id": KEY_ID,
    "key_name": "kiosk",
    "tenant": "acme",
    "peer": "203.0.113.7",
    "action": "session_started",
    "target": SESSION,
    "outcome": "done",
    "details": {},
}
_ENDED = ok("Ids of the sessions that were ended.", ended={"ended": [SESSION]})
_CANDIDATE = {
    "name": "local",
    "place": "on_prem",
    "price": {"usd_per_minute": 0.0, "minimum_s": 0.0},
    "health": "closed",
    "badness": 0.0,
    "p50_ms": 500.0,
    "p95_ms": 1000.0,
    "waiting": 0,
    "at_once": None,
    "languages": [],
    "longest_s": None,
    "quality": 0.5,
    "agreement": None,
    "streamed": 0.0,
    "live": False,
}
_DECISION = {
    "id": "1deae3661764463a911a615726972292",
    "at": "2026-01-31T12:00:04.000+00:00",
    "session": SESSION,
    "tenant": "acme",
    "utterance": 1,
    "rules": "private-first",
    "request": {
        "seconds": 1.4,
        "language": None,
        "allowed": "cloud_ok",
        "spent": {"session": 0.0, "tenant": 0.0, "day": 0.0},
        "deadline_ms": None,
        "speculative": False,
        "tenant_usd": None,
    },
    "fleet": [_CANDIDATE],
    "ranked": ["local"],
    "rejected": [],
    "panic": False,
    "chosen": "local",
    "place": "on_prem",
    "why": "fastest within budget",
    "hedged": False,
    "latency_ms": 212.0,
    "usd": 0.0,
    "attempts": [{"name": "local", "outcome": "delivered", "ms": 212.0, "usd": 0.0, "error": ""}],
    "agreement": 0.9,
}
_SUMMARY = {
    "rules": "private-first",
    "refusedChange": "",
    "routes": [
        {
            "name": "local",
            "finals": 1,
            "share": 1.0,
            "p50_ms": 212.0,
            "p95_ms": 212.0,
            "usd": 0.0,
            "asked": 1,
            "failures": 0,
            "stopped": 0,
            "hedged": 0,
            "agreement": 0.9,
        }
    ],
    "spend": {
        "day": "2026-01-31",
        "usd": 0.0,
        "budgetUsd": 5.0,
        "remainingUsd": 5.0,
        "ageS": None,
        "tenants": [{"tenant": "acme", "usd": 0.0, "budgetUsd": None, "remainingUsd": None}],
    },
}
_EXPLANATION = {
    "rules": "private-first",
    "panic": False,
    "choices": [
        {
            "name": "local",
            "place": "on_prem",
            "usd": 0.0,
            "expected_ms": 500.0,
            "tail_ms": 1000.0,
            "quality": 0.5,
            "live": False,
            "why": "fastest within budget",
        }
    ],
    "rejected": [{"name": "aws", "why": "this session's voice stays on the premises"}],
    "fleet": [_CANDIDATE],
}

ADMIN: Operations = {
    ("GET", "/admin/sessions"): DocumentedOperation(
        "listSessions",
        "List the running sessions",
        (ok("Of this process.", sessions={"draining": False, "sessions": [_SESSION]}),),
    ),
    ("DELETE", "/admin/sessions/{session}"): DocumentedOperation(
        "endSession", "End a session", (_ENDED,), ("not_found",)
    ),
    ("DELETE", "/admin/sessions"): DocumentedOperation("endSessions", "End the sessions of a tenant", (_ENDED,)),
    ("POST", "/admin/drain"): DocumentedOperation(
        "drain", "Begin no new sessions", (ok("Done.", draining={"draining": True, "sessions": 1}),)
    ),
    ("DELETE", "/admin/drain"): DocumentedOperation(
        "stopDraining", "Begin sessions again", (ok("Done.", serving={"draining": False, "sessions": 1}),)
    ),
    ("GET", "/admin/keys"): DocumentedOperation(
        "listKeys", "List API keys", (ok("The oldest first.", keys={"keys": [_KEY]}),), ("not_found",)
    ),
    ("POST", "/admin/keys"): DocumentedOperation(
        "createKey",
        "Create an API key",
        (
            DocumentedResponse(
                "The key, with its secret.",
                201,
                (DocumentedBody({"created": {"key": "parley_EXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLE1", **_KEY}}),),
            ),
        ),
        ("bad_message", "body_too_slow", "key_name_taken", "not_found", "provider_busy", "request_too_large"),
        DocumentedBody({"kiosk": {"name": "kiosk", "scopes": ["speak"], "tenant": "acme"}}, model=NewKey),
    ),
    ("DELETE", "/admin/keys/{key_id}"): DocumentedOperation(
        "revokeKey",
        "Revoke an API key",
        (DocumentedResponse("It is revoked.", 204),),
        ("not_found", "provider_busy"),
    ),
    ("GET", "/admin/audit"): DocumentedOperation(
        "listAuditEntries",
        "Read the audit log",
        (ok("One page, the newest first.", entries={"entries": [_ENTRY], "next": None}),),
        ("provider_busy",),
    ),
    ("GET", "/policy/decisions"): DocumentedOperation(
        "listDecisions",
        "List decisions about finals",
        (ok("The newest first.", decisions=[_DECISION]),),
        ("not_found", "provider_busy"),
        query=DecisionQuery,
    ),
    ("GET", "/policy/summary"): DocumentedOperation(
        "getSummary",
        "Read shares, latency and cost of the routes",
        (ok("Sums.", summary=_SUMMARY),),
        ("not_found", "provider_busy"),
        query=DecisionQuery,
    ),
    ("GET", "/policy/explain"): DocumentedOperation(
        "explainRanking",
        "Rank the routes for an utterance",
        (ok("The ranking, with reasons.", ranking=_EXPLANATION),),
        ("not_found", "unknown_language"),
        query=HypotheticalRequest,
        parameters={
            "language": value("Spoken language, as `de`, `de-DE` or `German`, or several with commas.", "en"),
            "place": value("Where its audio may be processed.", "cloud_ok"),
            "tenant": value("Whose budget counts.", "acme"),
        },
    ),
}
