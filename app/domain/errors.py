"""The exceptions of this service.

ParleyError
├── ClientError              the client sent something wrong; carries a stable code
├── ProviderError            an engine failed; carries its name and whether a retry may help
│   ├── ProviderDown         cannot be reached, or went away                 retryable
│   ├── ProviderBusy         has no capacity now                             retryable
│   ├── ProviderRefused      will refuse everyone: credentials, quota
│   │   └── BlobUnreadable   a blob is there, but damaged, of an unknown format, or under another key
│   └── ProviderMisbehaved   answered with something it should not           retryable
├── NoCapacity               every session slot is taken; another server, or a later moment, may have one
│   └── Draining             this server takes no new sessions, because it is about to stop
├── RateLimited              this client sends requests too fast; carries after how many seconds it may go on
├── RequestRefused           this engine cannot serve this request: language, content; neither side is at fault
│   └── AnswerWithheld       the model, or a filter around it, declines to answer
├── NoDrafts                 no model for drafts knows the language; finals come as always
├── BudgetExhausted          a budget is spent, and no free engine can do this
├── ModelUnavailable         a model is missing, damaged or cannot be stored
├── SettingsError            a setting has a value that cannot work
├── BlobNotFound             no blob has this key
├── ConversationNotFound     no conversation of this id belongs to whoever asks
├── ConversationBusy         one reply at a time: another one is being generated
├── TooManyConversations     the tenant, or the person, has as many as it may have
├── ConversationFull         it has as many messages as a conversation may have
├── SessionStillLive         a session must be over before this can be done to its recording
├── LeaseLost                another process works on this job, or it is over
├── ModelNotFound            no model here has this name
└── SessionNotRunning        no session of this id runs in this process
"""

from enum import StrEnum


class ParleyError(Exception):
    """Base of every error this service raises on purpose."""


class ClientFault(StrEnum):
    """The stable codes a client may rely on."""

    BAD_PACKET = "bad_packet"
    BAD_METADATA = "bad_metadata"
    BAD_SAMPLE_RATE = "bad_sample_rate"
    ODD_PCM = "odd_pcm"
    FRAME_TOO_LARGE = "frame_too_large"
    BAD_AUDIO = "bad_audio"
    BAD_MESSAGE = "bad_message"
    UNKNOWN_MESSAGE = "unknown_message"
    UNKNOWN_PROFILE = "unknown_profile"
    UNKNOWN_LANGUAGE = "unknown_language"
    SAY_REFUSED = "say_refused"
    SAY_TOO_OFTEN = "say_too_often"
    TEXT_TOO_LONG = "text_too_long"
    TEXT_TOO_OFTEN = "text_too_often"
    TOO_SLOW = "client_too_slow"
    ORIGIN_REFUSED = "origin_refused"
    HOST_REFUSED = "host_refused"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    TIMED_OUT = "client_timed_out"
    ENDED_BY_ADMIN = "session_ended_by_admin"
    SESSION_IDLE = "session_idle"
    SESSION_SILENT = "session_silent"
    SESSION_TOO_LONG = "session_too_long"
    TOO_MANY_MESSAGES = "too_many_messages"
    BODY_TOO_SLOW = "body_too_slow"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    UNSUPPORTED_VERSION = "unsupported_version"
    AUDIO_GAP = "audio_gap"
    RESUME_REFUSED = "resume_refused"
    SESSION_RESUMED = "session_resumed"


class ClientError(ParleyError):
    """The client did something wrong. `fatal` ends its session; `param` names the field at fault, where one is."""

    def __init__(self, code: ClientFault, message: str, *, fatal: bool = False, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.fatal = fatal
        self.param = param


class TooManyAttempts(ClientError):
    """This address has presented too many wrong keys."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(ClientFault.TOO_MANY_ATTEMPTS, "too many wrong keys from this address; wait before the next")
        self.retry_after_s = retry_after_s


class ProviderError(ParleyError):
    """An engine failed. The message is this service's; the vendor's is in `__cause__`."""

    code = "provider_error"
    retryable = False

    def __init__(self, provider: str, message: str) -> None:
        super().__init__(f"{provider}: {message}")
        self.provider = provider


class ProviderDown(ProviderError):
    """Cannot be reached, or went away in the middle."""

    code = "provider_down"
    retryable = True


class ProviderBusy(ProviderError):
    """Has no capacity at the moment."""

    code = "provider_busy"
    retryable = True

    def __init__(self, provider: str, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(provider, message)
        self.retry_after_s = retry_after_s
        """When there is likely to be capacity; None where the engine does not say."""


class ProviderRefused(ProviderError):
    """Will refuse every request: credentials, quota. The breaker of its route counts it."""

    code = "provider_refused"


class BlobUnreadable(ProviderRefused):
    """A blob is there and cannot be read: it is damaged, of an unknown format, or encrypted with another key."""

    code = "unreadable"


class ProviderMisbehaved(ProviderError):
    """Answered with something it should not have."""

    code = "provider_misbehaved"
    retryable = True


class RequestRefused(ParleyError):
    """This engine cannot serve this one request: its language, its content. Not a fault of the route."""

    code = "request_refused"

    def __init__(self, provider: str, message: str) -> None:
        super().__init__(f"{provider}: {message}")
        self.provider = provider


class AnswerWithheld(RequestRefused):
    """The model, or a filter around it, declines to answer this: that is its answer, and no other engine is asked."""


class NoCapacity(ParleyError):
    """No further session may begin now, of anyone or of this tenant. The message is for the client."""

    code = "no_capacity"


class Draining(NoCapacity):
    """This server takes no new sessions, because it is about to stop."""

    code = "draining"


class RateLimited(ParleyError):
    """This client sends requests too fast."""

    code = "rate_limited"

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BudgetExhausted(ParleyError):
    """A budget is spent, and no free engine can do this. The message is for the client."""

    code = "budget_exhausted"


class NoDrafts(ParleyError):
    """No model for drafts knows the language of this session. The message is for the client."""

    code = "no_drafts"


class ModelUnavailable(ParleyError):
    """A model is missing, damaged, or cannot be stored. The message says what to do."""


class SettingsError(ParleyError):
    """A setting has a value that cannot work. The message names the variable."""


class KeyNameTaken(ParleyError):
    """The tenant has an active API key of this name. The message says what to do."""


class BlobNotFound(ParleyError):
    """No blob has this key."""


class ConversationNotFound(ParleyError):
    """No conversation of this id belongs to whoever asks."""


class ConversationBusy(ParleyError):
    """A message in text is being answered in this conversation, or a session speaks in it; for the client."""

    code = "conversation_busy"


class TooManyConversations(ParleyError):
    """The tenant or the person has as many conversations as it may have. The message is for the client."""

    code = "too_many_conversations"


class ConversationFull(ParleyError):
    """The conversation has as many messages as one may have. The message is for the client."""

    code = "conversation_full"


class SessionStillLive(ParleyError):
    """The session is not over, or its file is being transcribed, so that its recording cannot be deleted yet."""

    def __init__(self, session: str = "", *, is_job: bool = False) -> None:
        super().__init__(session)
        self.is_job = is_job


class LeaseLost(ParleyError):
    """Another process has taken this job since, or it is over: what this one made of it is discarded."""


class ModelNotFound(ParleyError):
    """No model of this server has this name."""


class SessionNotRunning(ParleyError):
    """No session of this id runs in this process."""


def flatten(error: BaseException) -> tuple[BaseException, ...]:
    """The exceptions inside an ExceptionGroup, groups within groups included; any other exception by itself."""
    if isinstance(error, BaseExceptionGroup):
        return tuple(leaf for inner in error.exceptions for leaf in flatten(inner))
    return (error,)
