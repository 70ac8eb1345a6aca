"""The web application of `parley serve`: sockets, REST and the page, over one open service."""

from functools import partial

from litestar import Litestar
from litestar.datastructures import State
from litestar.middleware import ASGIMiddleware
from litestar.types import ControllerRouterHandler

from app.runtime.draining import drain_sessions
from app.runtime.service import Service
from app.web.admin.api_keys import router as keys
from app.web.admin.audit import audit_log
from app.web.admin.sessions import router as admin
from app.web.auth.audit import AuditMiddleware
from app.web.auth.middleware import AuthMiddleware
from app.web.auth.rate_limit import RateLimitMiddleware, key_of, network_of
from app.web.browser.headers import add_response_headers
from app.web.browser.middleware import BrowserMiddleware
from app.web.conversations.messages import post_chat
from app.web.conversations.router import router as conversations
from app.web.deepgram.files import listen_file
from app.web.deepgram.routes import flux_socket, listen_socket
from app.web.deepgram.speak import speak, speak_socket
from app.web.earlier.root import root
from app.web.engines import engines
from app.web.errors import handle_http_error, report_socket_defect
from app.web.health import health, metrics, ready
from app.web.http import DRAIN, ON_STOP
from app.web.jobs.router import router as jobs
from app.web.known_parameters import refuse_unknown_parameters
from app.web.liveness import live
from app.web.openai.chat import chat_completions
from app.web.openai.models import gateway_models, model, models
from app.web.openai.responses import responses
from app.web.openai.speech import speech, speech_models, voices
from app.web.openai.transcriptions import transcriptions, translations
from app.web.page import create_page
from app.web.parley.resumable_sessions import ResumableSessions
from app.web.parley.sockets import raw, transcribe
from app.web.policy.router import decisions, explain, summary
from app.web.profiles import profiles
from app.web.realtime.client_secrets import create_client_secret
from app.web.realtime.routes import realtime
from app.web.recordings.router import router as recordings
from app.web.request_body import MAX_BODY_BYTES
from app.web.request_metrics import RequestMetricsMiddleware
from app.web.schema.router import create_schema_router
from app.web.session_tokens import create_session_token
from app.web.socket_handshake import refuse
from app.web.text_fields import QueryMiddleware
from app.web.tracing import TraceMiddleware
from app.web.transcribed_files import GatewayFiles
from app.web.twilio.call_tokens import CallTokens
from app.web.twilio.router import answer_call, stream_call


def create_app(service: Service) -> Litestar:
    """The application over a service that its caller opens and closes."""
    api: list[ControllerRouterHandler] = [
        health,
        ready,
        live,
        profiles,
        engines,
        recordings,
        conversations,
        post_chat,
        jobs,
        decisions,
        summary,
        explain,
        metrics,
        admin,
        keys,
        audit_log,
        create_session_token,
        create_client_secret,
        transcriptions,
        translations,
        speech,
        voices,
        speech_models,
        chat_completions,
        responses,
        listen_file,
        speak,
        models,
        model,
    ]
    resumable, telephony = ResumableSessions(), service.telephony
    sockets: list[ControllerRouterHandler] = [root, transcribe, raw, realtime, listen_socket, flux_socket, speak_socket]
    calls: list[ControllerRouterHandler] = [answer_call, stream_call] if telephony else []
    return Litestar(
        [*sockets, *calls, *api, create_schema_router(api), create_page()],
        state=State(
            {
                "service": service,
                "resumable": resumable,
                "files": GatewayFiles(service),
                "models": gateway_models(service),
                "calls": CallTokens(telephony.auth_token) if telephony else None,
                ON_STOP: (resumable.stop,),
                DRAIN: partial(drain_sessions, service.running_sessions),
            }
        ),
        middleware=_middleware(service),
        guards=[refuse_unknown_parameters],
        before_send=[add_response_headers],
        exception_handlers={Exception: handle_http_error},
        after_exception=[report_socket_defect],
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=None,  # because its pages load scripts from elsewhere; see app/web/schema
        logging_config=None,
    )


def _middleware(service: Service) -> list[ASGIMiddleware]:
    """In the order of a request: an address is counted before its key is checked, a key after it."""
    auth = AuthMiddleware(
        lambda: service.authenticator, refuse_socket=refuse, count_refusal=service.metrics.count_refused_key
    )
    counting = RequestMetricsMiddleware(service.metrics.count_request)
    checks = [BrowserMiddleware(refuse), QueryMiddleware(refuse), AuditMiddleware(), auth]
    rate = service.client_limits.requests_per_s
    if not rate:
        return [TraceMiddleware(), counting, *checks]
    by_address, by_key = (RateLimitMiddleware(rate, part, refuse) for part in (network_of, key_of))
    return [TraceMiddleware(), counting, by_address, *checks, by_key]
