"""The worker's application: the local engine behind OpenAI's `POST /v1/audio/transcriptions`.

It keeps nothing between two requests, so any number of workers stand behind any balancer.
"""

from typing import Any

from litestar import Litestar, get
from litestar.datastructures import State

from app.domain.principal import Scope
from app.runtime.worker import Worker
from app.web.auth.middleware import ANYONE, AuthMiddleware
from app.web.errors import handle_http_error
from app.web.liveness import live
from app.web.openai.models import ServedModels, model, models
from app.web.openai.transcriptions import transcriptions, translations
from app.web.text_fields import QueryMiddleware
from app.web.tracing import TraceMiddleware
from app.web.transcribed_files import WorkerFiles


@get("/health", opt=ANYONE)
async def health(state: State) -> dict[str, Any]:
    """The load of this worker, for a balancer and for gateways that rank it."""
    worker: Worker = state.worker
    queue = worker.queue
    return {
        "status": "full" if queue.is_full else "ok",
        "model": worker.model,
        "queue": queue.pending,
        "atOnce": queue.concurrency,
        "p50Ms": queue.latencies.percentile(0.5),
        "p95Ms": queue.latencies.percentile(0.95),
    }


def create_worker(worker: Worker) -> Litestar:
    """The application of an open worker."""
    served = ServedModels(lambda _: (worker.model,), (Scope.TRANSCRIBE,))
    return Litestar(
        [transcriptions, translations, models, model, health, live],
        state=State({"worker": worker, "files": WorkerFiles(worker), "models": served}),
        middleware=[TraceMiddleware(), QueryMiddleware(), AuthMiddleware(lambda: worker.authenticator)],
        openapi_config=None,
        logging_config=None,
        exception_handlers={Exception: handle_http_error},
    )
