"""Router for `/recordings`: its handlers."""

from litestar import Router

from app.web.recordings.create import create
from app.web.recordings.export import get_export, get_person_export
from app.web.recordings.jobs import get_recording_job
from app.web.recordings.listing import list_recordings
from app.web.recordings.recording import (
    get_audio,
    get_links,
    get_manifest,
    get_reply_audio,
    get_utterance,
    get_utterance_audio,
    remove,
)
from app.web.recordings.uploads import (
    append_to_upload,
    create_upload,
    delete_upload,
    upload_capabilities,
    upload_offset,
)

# The first handler is the one for OPTIONS, because the framework makes its own for a path that begins without one.
uploads = Router(
    "/uploads", route_handlers=[upload_capabilities, create_upload, upload_offset, append_to_upload, delete_upload]
)
router = Router(
    "/recordings",
    route_handlers=[
        list_recordings,
        get_manifest,
        get_audio,
        get_utterance,
        get_utterance_audio,
        get_reply_audio,
        get_links,
        get_export,
        get_person_export,
        remove,
        create,
        get_recording_job,
        uploads,
    ],
)
