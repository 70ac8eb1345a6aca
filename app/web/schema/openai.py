"""The document's table of OpenAI's API."""

from typing import Any

from app.web.openai.chat_request import ChatCompletionRequest
from app.web.openai.speech import SpeechRequest
from app.web.realtime.client_secrets import NewClientSecret
from app.web.realtime.session_object import described, new_session
from app.web.schema.operation import DocumentedBody, DocumentedOperation, DocumentedResponse, Operations, ok

_USAGE = {"type": "duration", "seconds": 4}
_TEXT = "His hands were cold."
_SEGMENT = {
    "id": 0,
    "seek": 0,
    "start": 0.0,
    "end": 3.54,
    "text": _TEXT,
    "tokens": [],
    "temperature": 0.0,
    "avg_logprob": 0.0,
    "compression_ratio": 0.7143,
    "no_speech_prob": 0.0,
}
_VERBOSE: dict[str, Any] = {
    "task": "transcribe",
    "language": "english",
    "duration": 3.54,
    "text": _TEXT,
    "segments": [_SEGMENT],
    "usage": _USAGE,
    "warnings": [],
}
_EVENTS = (
    f'data: {{"type":"transcript.text.delta","delta":"{_TEXT}"}}\n\n'
    f'data: {{"type":"transcript.text.done","text":"{_TEXT}","usage":{{"type":"duration","seconds":4}}}}\n\n'
    "data: [DONE]\n\n"
)
_SPOKEN = (
    'data: {"type":"speech.audio.delta","audio":"//NkxAAA"}\n\n'
    'data: {"type":"speech.audio.done","usage":{"input_tokens":5,"output_tokens":30,"total_tokens":35}}\n\n'
    "data: [DONE]\n\n"
)
_QUESTION = {"role": "user", "content": "Will it rain?"}
_HEAD: dict[str, Any] = {"id": "chatcmpl-01932c5e0a7b7def8123456789abcdef", "created": 1764201600, "model": "cook"}
_COMPLETION: dict[str, Any] = {
    **_HEAD,
    "object": "chat.completion",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Not today.", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7},
}
_CHUNKS = (
    'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1764201600,"model":"cook",'
    '"choices":[{"index":0,"delta":{"content":"Not today."},"logprobs":null,"finish_reason":null}]}\n\n'
    "data: [DONE]\n\n"
)
_MODEL = {"id": "whisper-1", "object": "model", "created": 1764201600, "owned_by": "parley"}
_FILE_ERRORS = (
    "bad_audio",
    "bad_message",
    "body_too_slow",
    "frame_too_large",
    "provider_busy",
    "provider_misbehaved",
    "request_refused",
    "request_too_large",
    "unknown_language",
)

_SECRET: dict[str, Any] = {"value": "ek_eyJhbGciOiJIUzI1NiJ9.e30.c2ln", "expires_at": 1764201600}
_SESSION = described(new_session("realtime", "01932c5e0a7b7def8123456789abcdef", None))

OPENAI: Operations = {
    ("POST", "/v1/realtime/client_secrets"): DocumentedOperation(
        "createClientSecret",
        "Make a client secret for Realtime, as OpenAI does",
        (ok("The secret.", secret={**_SECRET, "session": {**_SESSION, "client_secret": _SECRET}}),),
        ("bad_message", "body_too_slow", "not_found", "request_too_large"),
        DocumentedBody(
            {"browser": {"expires_after": {"seconds": 600}, "session": {"type": "realtime"}}}, model=NewClientSecret
        ),
    ),
    ("POST", "/v1/audio/transcriptions"): DocumentedOperation(
        "createTranscription",
        "Transcribe a file, as OpenAI does",
        (
            DocumentedResponse(
                "The transcript, in the format asked for.",
                200,
                (
                    DocumentedBody({"json": {"text": _TEXT, "usage": _USAGE}, "verbose": _VERBOSE}),
                    DocumentedBody({"text": f"{_TEXT}\n"}, "text/plain"),
                    DocumentedBody({"vtt": f"WEBVTT\n\n00:00:00.000 --> 00:00:03.540\n{_TEXT}\n"}, "text/vtt"),
                    DocumentedBody({"events": _EVENTS}, "text/event-stream"),
                ),
            ),
        ),
        _FILE_ERRORS,
        DocumentedBody(media_type="multipart/form-data"),
    ),
    ("POST", "/v1/audio/translations"): DocumentedOperation(
        "createTranslation",
        "Ask for a translation, as of OpenAI",
        (),
        ("bad_message", "request_too_large"),
        DocumentedBody(media_type="multipart/form-data"),
    ),
    ("POST", "/v1/audio/speech"): DocumentedOperation(
        "createSpeech",
        "Have a text spoken, as by OpenAI",
        (
            DocumentedResponse(
                "The speech, in the format asked for.",
                200,
                (
                    DocumentedBody(media_type="audio/mpeg"),
                    DocumentedBody(media_type="audio/ogg"),
                    DocumentedBody(media_type="audio/aac"),
                    DocumentedBody(media_type="audio/flac"),
                    DocumentedBody(media_type="audio/wav"),
                    DocumentedBody(media_type="audio/pcm"),
                    DocumentedBody({"events": _SPOKEN}, "text/event-stream"),
                ),
            ),
        ),
        (
            "bad_message",
            "body_too_slow",
            "budget_exhausted",
            "provider_busy",
            "provider_misbehaved",
            "request_too_large",
        ),
        DocumentedBody({"speech": {"model": "tts-1", "voice": "alloy", "input": _TEXT}}, model=SpeechRequest),
    ),
    ("GET", "/v1/audio/voices"): DocumentedOperation(
        "listVoices",
        "List names of voices, as other servers of OpenAI's API do",
        (ok("The names.", voices={"voices": [{"id": "alloy", "name": "Alloy"}]}),),
    ),
    ("GET", "/v1/audio/models"): DocumentedOperation(
        "listSpeechModels",
        "List names of models for speech, as other servers of OpenAI's API do",
        (ok("The names.", models={"models": [{"id": "tts-1"}]}),),
    ),
    ("POST", "/v1/chat/completions"): DocumentedOperation(
        "createChatCompletion",
        "Have a conversation answered, as by OpenAI",
        (
            DocumentedResponse(
                "The reply.",
                200,
                (DocumentedBody({"reply": _COMPLETION}), DocumentedBody({"events": _CHUNKS}, "text/event-stream")),
            ),
        ),
        (
            "bad_audio",
            "bad_message",
            "body_too_slow",
            "budget_exhausted",
            "provider_busy",
            "provider_misbehaved",
            "provider_refused",
            "request_refused",
            "request_too_large",
        ),
        DocumentedBody({"question": {"model": "cook", "messages": [_QUESTION]}}, model=ChatCompletionRequest),
    ),
    ("POST", "/v1/responses"): DocumentedOperation(
        "createResponse",
        "Ask for the Responses API, which is not here",
        (),
        ("bad_message", "request_too_large"),
        DocumentedBody({"question": {"model": "cook", "input": "Will it rain?"}}),
    ),
    ("GET", "/v1/models"): DocumentedOperation(
        "listModels",
        "List the models, as OpenAI does",
        (ok("The models.", models={"object": "list", "data": [_MODEL]}),),
    ),
    ("GET", "/v1/models/{model}"): DocumentedOperation(
        "getModel", "Read one model, as OpenAI has it", (ok("The model.", one=_MODEL),), ("model_not_found",)
    ),
}
