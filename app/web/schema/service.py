"""The document's tables of health, metrics, session tokens and the document itself."""

from app.web.schema.operation import DocumentedBody, DocumentedOperation, DocumentedResponse, Operations, ok
from app.web.session_tokens import NewSessionToken

_OK = {"status": "ok"}
_STATUS = {
    "status": "ok",
    "sessions": 1,
    "connections": 1,
    "maxSessions": 4,
    "capacity": None,
    "archive": {"waiting": 0, "bytes": 0, "oldestSeconds": 0.0, "full": False, "error": None},
    "database": "ok",
    "index": {"status": "complete", "indexed": 12043, "waiting": 0},
    "runs": {"finals": "local; policy private-first"},
}
_PROFILE = {
    "name": "assistant",
    "description": "A friendly voice assistant: one or two short sentences.",
    "languages": [],
    "default": False,
}
_ENGINES = {
    "replies": [{"engine": "ollama", "model": "llama3.2", "demonstration": False}],
    "languages": ["en"],
}
_METRICS = "# TYPE parley_sessions gauge\nparley_sessions 1.0\n"
_TOKEN = {
    "token": "eyJhbGciOiJIUzI1NiIsImtpZCI6IjEifQ.eyJpc3MiOiJwYXJsZXkifQ.c2ln",
    "expiresAt": "2026-01-31T12:10:00+00:00",
}

SERVICE: Operations = {
    ("GET", "/health"): DocumentedOperation(
        "getHealth", "Read the status of the service", (ok("The status.", anyone=_OK, administrator=_STATUS),)
    ),
    ("GET", "/health/ready"): DocumentedOperation(
        "getReadiness",
        "Ask whether a session may begin here",
        (
            ok("It may.", ready={**_OK, "reasons": []}),
            DocumentedResponse(
                "It may not, for these reasons: `draining`, `full`, `database`, `store`.",
                503,
                (
                    DocumentedBody(
                        {
                            "full": {"status": "full", "reasons": ["full"]},
                            "draining": {"status": "draining", "reasons": ["draining"]},
                            "storeDown": {"status": "ok", "reasons": ["store"]},
                        }
                    ),
                ),
            ),
        ),
    ),
    ("GET", "/health/live"): DocumentedOperation(
        "getLiveness",
        "Ask whether the process works",
        (
            ok("It works.", live=_OK),
            DocumentedResponse("Restart it.", 503, (DocumentedBody({"stuck": {"status": "stuck"}}),)),
        ),
    ),
    ("GET", "/profiles"): DocumentedOperation(
        "listProfiles", "List the profiles", (ok("What a client may choose.", profiles=[_PROFILE]),)
    ),
    ("GET", "/engines"): DocumentedOperation(
        "listEngines", "Ask which engines answer", (ok("In their order.", engines=_ENGINES),)
    ),
    ("GET", "/metrics"): DocumentedOperation(
        "getMetrics",
        "Read the metrics",
        (DocumentedResponse("Metrics.", 200, (DocumentedBody({"metrics": _METRICS}, "text/plain"),)),),
    ),
    ("POST", "/auth/session-tokens"): DocumentedOperation(
        "createSessionToken",
        "Make a session token",
        (DocumentedResponse("The token.", 201, (DocumentedBody({"token": _TOKEN}),)),),
        ("bad_message", "body_too_slow", "not_found", "request_too_large"),
        DocumentedBody({"browser": {"scopes": ["speak"], "ttl_s": 600, "name": "visitor"}}, model=NewSessionToken),
    ),
    ("GET", "/schema"): DocumentedOperation(
        "getReference",
        "Read this reference",
        (DocumentedResponse("A web page.", 200, (DocumentedBody(media_type="text/html"),)),),
    ),
    ("GET", "/schema/openapi.json"): DocumentedOperation(
        "getDocument",
        "Read this document",
        (ok("An OpenAPI document.", beginning={"openapi": "3.1.0", "info": {"title": "Parley"}}),),
    ),
}
