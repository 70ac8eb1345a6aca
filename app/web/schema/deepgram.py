"""The document's table of Deepgram's API; its sockets are in `docs/protocols/deepgram.md`."""

from typing import Any

from app.web.deepgram.results import MODEL, MODEL_UUID
from app.web.deepgram.speak import SpeakRequest
from app.web.schema.operation import DocumentedBody, DocumentedOperation, DocumentedResponse, Operations, ok
from app.web.schema.parameters import SESSION

_TEXT = "His hands were cold."
_WORD = {"word": "his", "start": 0.0, "end": 0.4, "confidence": 0.98, "punctuated_word": "His"}
_TRANSCRIPT: dict[str, Any] = {
    "metadata": {
        "transaction_key": "deprecated",
        "request_id": SESSION,
        "sha256": "7b257d" * 10,
        "created": "2026-01-31T12:00:00.000Z",
        "duration": 3.54,
        "channels": 1,
        "models": [MODEL_UUID],
        "model_info": {MODEL_UUID: MODEL},
    },
    "results": {"channels": [{"alternatives": [{"transcript": _TEXT, "confidence": 0.98, "words": [_WORD]}]}]},
}

DEEPGRAM: Operations = {
    ("POST", "/v1/listen"): DocumentedOperation(
        "listenToFile",
        "Transcribe a file, as Deepgram does",
        (ok("The transcript.", transcript=_TRANSCRIPT),),
        (
            "bad_audio",
            "bad_message",
            "body_too_slow",
            "provider_busy",
            "provider_misbehaved",
            "request_refused",
            "request_too_large",
            "unknown_language",
        ),
        DocumentedBody(media_type="application/octet-stream"),
    ),
    ("POST", "/v1/speak"): DocumentedOperation(
        "speakText",
        "Have a text spoken, as by Deepgram",
        (
            DocumentedResponse(
                "The speech, in the encoding asked for.",
                200,
                (
                    DocumentedBody(media_type="audio/mpeg"),
                    DocumentedBody(media_type="audio/wav"),
                    DocumentedBody(media_type="audio/pcm"),
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
        DocumentedBody({"text": {"text": _TEXT}}, model=SpeakRequest),
    ),
}
