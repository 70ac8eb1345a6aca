"""The document's table of OpenAI's API."""

from typing import Any

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

OPENAI: Operations = {
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
    ("GET", "/v1/models"): DocumentedOperation(
        "listModels",
        "List the models, as OpenAI does",
        (ok("The models.", models={"object": "list", "data": [_MODEL]}),),
    ),
    ("GET", "/v1/models/{model}"): DocumentedOperation(
        "getModel", "Read one model, as OpenAI has it", (ok("The model.", one=_MODEL),), ("model_not_found",)
    ),
}
