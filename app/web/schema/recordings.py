"""The document's tables of `/recordings`."""

from typing import Any

from app.domain.recording.deletion import DeletionReceipt
from app.domain.recording.manifest import ArchivedFinal, Manifest
from app.web.schema.errors import EVERY_READER_OF_THE_ARCHIVE
from app.web.schema.operation import DocumentedBody, DocumentedOperation, DocumentedResponse, Operations, ok
from app.web.schema.parameters import SESSION, value

_FOLDER = f"sessions/2026-01-31/{SESSION}"
_FINAL = {
    "start": 0,
    "end": 56641,
    "text": "Where is the light switch?",
    "turn": 1,
    "utterance": 1,
    "speech": [8000, 52000],
    "route": "local",
    "language": "en",
    "ttfs_ms": 212,
    "words": [{"text": "Where", "start": 12800, "end": 16640, "confidence": 0.981}],
    "speaker": None,
}
_MANIFEST: dict[str, Any] = {
    "session": SESSION,
    "started": "2026-01-31T12:00:00.000+00:00",
    "ended": "2026-01-31T12:00:09.120+00:00",
    "recovered": False,
    "samples": 56641,
    "chunks": [{"key": f"{_FOLDER}/000000000000.flac", "start": 0, "end": 56641, "sha256": "7b257d" * 10, "lost": []}],
    "finals": [_FINAL],
    "replies": [
        {
            "turn": 1,
            "text": "By the door.",
            "cancelled": None,
            "played": None,
            "key": f"{_FOLDER}/replies/0001.flac",
            "samples": 14400,
            "sha256": "559903" * 10,
            "tools": [],
        }
    ],
    "transcripts": [],
    "audio": "flac",
    "tenant": "acme",
    "person": None,
    "warnings": [],
    "format": 1,
    "sample_rate": 16000,
}
_SUMMARY = {
    "id": SESSION,
    "tenant": "acme",
    "person": None,
    "started": "2026-01-31T12:00:00.000+00:00",
    "ended": "2026-01-31T12:00:09.120+00:00",
    "kind": "ended",
    "seconds": 3.54,
    "utterances": 1,
    "languages": ["en"],
    "text": "Where is the light switch?",
}
_TRANSCRIPT = {
    "id": SESSION,
    "text": "Where is the light switch?",
    "segments": [
        {
            "start": 0.0,
            "end": 3.54,
            "text": "Where is the light switch?",
            "words": [{"word": "Where", "start": 0.8, "end": 1.04, "probability": 0.981}],
        }
    ],
    "warnings": [],
}
_RECEIPT = {
    "session": SESSION,
    "tenant": "acme",
    "at": "2026-02-28T12:00:00.000+00:00",
    "deleted": {"indexRows": 2, "blobs": 3, "spoolLogs": 0, "decisions": 1, "expenses": 0},
    "remaining": [],
}
_FAILED = {
    "id": SESSION,
    "state": "failed",
    "attempts": 1,
    "code": "bad_audio",
    "message": "there is no audio in the file",
    "warnings": [],
}

_AUDIO = tuple(DocumentedBody(media_type=kind) for kind in ("audio/wav", "audio/flac", "audio/mpeg"))
_WHOLE = DocumentedResponse("The audio, 16 kHz, mono.", 200, _AUDIO, ("Accept-Ranges", "Parley-Lost"))
_PART = DocumentedResponse(
    "The bytes that `Range` asks for.", 206, (_AUDIO[0],), ("Accept-Ranges", "Content-Range", "Parley-Lost")
)
_NO_SUCH_PART = DocumentedResponse(
    "The file has no such bytes.",
    416,
    (DocumentedBody({"refused": {"code": "range_not_satisfiable", "message": "the file has 64044 bytes"}}),),
    ("Content-Range",),
)
_ARCHIVE = DocumentedResponse(
    "A ZIP archive; for an administrator with decisions and audit entries.",
    200,
    (DocumentedBody(media_type="application/zip"),),
    ("Content-Disposition",),
)
_RANGES = (_WHOLE, _PART, _NO_SUCH_PART)

RECORDINGS: Operations = {
    ("GET", "/recordings"): DocumentedOperation(
        "listRecordings",
        "List recordings",
        (
            ok(
                "One page, the newest first.",
                list={"recordings": [_SUMMARY], "next": None, "unreadable": 0, "indexing": False},
            ),
        ),
        ("provider_busy", "provider_refused"),
    ),
    ("POST", "/recordings"): DocumentedOperation(
        "createRecording",
        "Transcribe a file",
        (
            DocumentedResponse("The transcript.", 201, (DocumentedBody({"transcript": _TRANSCRIPT}),)),
            DocumentedResponse(
                "With `wait=false`: the file is here.",
                202,
                (DocumentedBody({"accepted": {"id": SESSION}}),),
                ("Location",),
            ),
        ),
        (
            *("bad_audio", "bad_message", "body_too_slow", "draining", "frame_too_large", "not_found"),
            *("provider_busy", "provider_misbehaved", "provider_refused", "request_refused", "unknown_language"),
            "unknown_profile",
        ),
        DocumentedBody(media_type="application/octet-stream"),
    ),
    ("GET", "/recordings/{session}/manifest"): DocumentedOperation(
        "getManifest",
        "Read the manifest of a recording",
        (
            DocumentedResponse(
                "The manifest.", 200, (DocumentedBody({"manifest": _MANIFEST}, model=Manifest),), ("Parley-Kept-Until",)
            ),
        ),
        EVERY_READER_OF_THE_ARCHIVE,
    ),
    ("GET", "/recordings/{session}/audio"): DocumentedOperation(
        "getAudio",
        "Download the audio of a recording",
        _RANGES,
        EVERY_READER_OF_THE_ARCHIVE,
        optional_headers=("Range",),
    ),
    ("GET", "/recordings/{session}/utterances/{number}"): DocumentedOperation(
        "getUtterance",
        "Read one utterance",
        (ok("Its final; positions are in samples.", ArchivedFinal, utterance=_FINAL),),
        EVERY_READER_OF_THE_ARCHIVE,
    ),
    ("GET", "/recordings/{session}/utterances/{number}/audio"): DocumentedOperation(
        "getUtteranceAudio",
        "Download the audio of one utterance",
        _RANGES,
        EVERY_READER_OF_THE_ARCHIVE,
        optional_headers=("Range",),
    ),
    ("GET", "/recordings/{session}/replies/{number}/audio"): DocumentedOperation(
        "getReplyAudio",
        "Download the audio of one reply",
        (DocumentedResponse("The audio, 16 kHz, mono.", 200, (_AUDIO[0],)),),
        EVERY_READER_OF_THE_ARCHIVE,
        parameters={"number": value("Place in the manifest's `replies`, counted from 1; not the turn.", 1)},
    ),
    ("GET", "/recordings/{session}/links"): DocumentedOperation(
        "getLinks",
        "Sign links to the audio",
        (
            ok(
                "A link for each blob.",
                signed={f"{_FOLDER}/000000000000.flac": "https://bucket.s3.amazonaws.com/...&X-Amz-Expires=3600"},
                folder={f"{_FOLDER}/000000000000.flac": None},
            ),
        ),
        EVERY_READER_OF_THE_ARCHIVE,
    ),
    ("GET", "/recordings/{session}/export"): DocumentedOperation(
        "exportRecording",
        "Download everything that is kept of a recording",
        (_ARCHIVE,),
        EVERY_READER_OF_THE_ARCHIVE,
    ),
    ("GET", "/recordings/export"): DocumentedOperation(
        "exportPerson",
        "Download everything that is kept of a person",
        (_ARCHIVE,),
        (*EVERY_READER_OF_THE_ARCHIVE, "bad_message"),
    ),
    ("DELETE", "/recordings/{session}"): DocumentedOperation(
        "deleteRecording",
        "Delete a recording",
        (
            DocumentedResponse("It is deleted.", 204),
            ok("With `receipt=true`: what was deleted.", DeletionReceipt, receipt=_RECEIPT),
        ),
        (*EVERY_READER_OF_THE_ARCHIVE, "still_live"),
    ),
    ("GET", "/recordings/jobs/{session}"): DocumentedOperation(
        "getRecordingJob",
        "Ask what has become of a recording of a file",
        (
            ok(
                "Its state.",
                queued={"id": SESSION, "state": "queued", "attempts": 0},
                running={"id": SESSION, "state": "running", "attempts": 1},
                done={"id": SESSION, "state": "done", "warnings": []},
                failed=_FAILED,
                cancelled={"id": SESSION, "state": "cancelled", "attempts": 0},
            ),
        ),
        EVERY_READER_OF_THE_ARCHIVE,
    ),
}

_OFFSET = ("Tus-Resumable", "Upload-Offset", "Parley-Recording")
UPLOADS: Operations = {
    ("POST", "/recordings/uploads"): DocumentedOperation(
        "createUpload",
        "Begin a resumable upload",
        (
            DocumentedResponse(
                "Where to send it.",
                201,
                (DocumentedBody({"begun": {"id": SESSION}}),),
                ("Location", "Tus-Resumable"),
            ),
        ),
        (
            *("bad_audio", "bad_message", "bad_metadata", "draining", "frame_too_large", "provider_busy"),
            *("unknown_language", "unknown_profile", "unsupported_version"),
        ),
        headers=("Upload-Length",),
        optional_headers=("Tus-Resumable",),
    ),
    ("HEAD", "/recordings/uploads/{name}"): DocumentedOperation(
        "getUploadOffset",
        "Ask how much of an upload is here",
        (DocumentedResponse("In the headers.", 200, (), (*_OFFSET, "Upload-Length")),),
        ("not_found", "unsupported_version"),
        optional_headers=("Tus-Resumable",),
    ),
    ("PATCH", "/recordings/uploads/{name}"): DocumentedOperation(
        "appendToUpload",
        "Send a part of a file",
        (DocumentedResponse("It is stored.", 204, (), _OFFSET),),
        (
            *("bad_message", "bad_metadata", "bad_packet", "body_too_slow", "draining", "frame_too_large"),
            *("not_found", "provider_busy", "unsupported_media_type", "unsupported_version"),
        ),
        DocumentedBody(media_type="application/offset+octet-stream"),
        headers=("Upload-Offset",),
        optional_headers=("Tus-Resumable",),
    ),
    ("DELETE", "/recordings/uploads/{name}"): DocumentedOperation(
        "deleteUpload",
        "Discard an unfinished upload",
        (DocumentedResponse("It is gone.", 204),),
        ("bad_packet", "not_found", "provider_busy", "unsupported_version"),
        optional_headers=("Tus-Resumable",),
    ),
}
