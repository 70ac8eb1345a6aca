"""`/health` for operators, `/health/ready` for balancers, `/metrics` for Prometheus."""

from typing import Any

from litestar import Request, Response, get
from litestar.datastructures import State

from app.domain.principal import Principal, Scope
from app.runtime.metrics import CONTENT_TYPE
from app.runtime.recording.uploader import UploaderStatus
from app.runtime.service import Service
from app.runtime.speech_capacity import SpeechCapacity
from app.web.auth.audit import NOT_AUDITED
from app.web.auth.middleware import ANYONE, requires


@get("/health", opt=ANYONE)
async def health(request: Request[Principal | None, Any, Any], state: State) -> dict[str, Any]:
    """Whether a session may begin here; and, for an operator, what runs in this process."""
    service: Service = state.service
    status = {"status": _status(service)}
    if not (request.user and request.user.is_admin):
        return status
    return {
        **status,
        "sessions": len(service.admission.sessions),
        "connections": len(service.running_sessions.sessions),
        "maxSessions": service.admission.max_sessions,
        "capacity": _capacity(service.speech_capacity),
        "archive": _archive(service.uploader.status()),
        "database": _database(service),
        "index": _index(service),
        "runs": dict(service.components),
    }


@get("/health/ready", opt=ANYONE)
async def ready(state: State) -> Response[dict[str, Any]]:
    """200 where a session may begin here and what it needs answers; 503 with every reason: send new clients elsewhere.

    The engines are warm before the server answers anything.
    """
    reasons = _reasons(state.service)
    return Response({"status": _status(state.service), "reasons": reasons}, status_code=503 if reasons else 200)


@get("/metrics", opt={**requires(Scope.ADMIN), **NOT_AUDITED})
async def metrics(state: State) -> Response[bytes]:
    """Every metric of the service, in Prometheus's text format."""
    service: Service = state.service
    return Response(service.metrics.exposition(), media_type=CONTENT_TYPE)


def _reasons(service: Service) -> list[str]:
    """Why this process should get no new client; none where it should. What is said does not depend on who asks."""
    found = {
        "draining": service.admission.is_draining,
        "full": service.admission.is_full,
        "database": not service.database_answers,
        "store": bool(service.uploader.status().error),
    }
    return [reason for reason, holds in found.items() if holds]


def _status(service: Service) -> str:
    if service.admission.is_draining:
        return "draining"
    return "full" if service.admission.is_full else "ok"


def _database(service: Service) -> str | None:
    """None: there is none."""
    if service.keys is None:
        return None
    return "ok" if service.keys.is_available else "unavailable"


def _index(service: Service) -> dict[str, Any] | None:
    """The recordings index; None: there is none."""
    first = service.uploader.first_indexing
    if service.uploader.index is None or first is None:
        return None
    return {
        "status": "complete" if first.is_complete else "indexing",
        "indexed": first.progress,
        "waiting": len(service.uploader.index_writer.queue.waiting),
    }


def _capacity(speech: SpeechCapacity | None) -> dict[str, Any] | None:
    if speech is None:
        return None
    return {
        "sessions": speech.capacity,
        "queued": speech.queued(),
        "models": {
            model.job: {
                "model": model.name,
                "device": model.device,
                "precision": model.precision,
                "note": model.note,
                "encoder": model.encoder,
                "rtf": round(model.speed.rtf, 3),
                "finalMs": round(model.speed.final_s * 1000, 1),
                "draftMs": round(model.speed.draft_s * 1000, 1),
            }
            for model in speech.models
        },
    }


def _archive(state: UploaderStatus) -> dict[str, Any]:
    return {
        "waiting": state.waiting,
        "bytes": state.bytes,
        "oldestSeconds": state.oldest_s,
        "full": state.full,
        "error": state.error,
    }
