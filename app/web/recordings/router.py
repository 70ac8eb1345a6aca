"""All of it, under one roof."""

from litestar import Router

from app.web.recordings.access import GUARDS
from app.web.recordings.create import create
from app.web.recordings.listing import recordings
from app.web.recordings.reading import audio, forget, links, manifest, reply_audio, utterance, utterance_audio
from app.web.recordings.uploads import append, begin, drop, offset

uploads = Router("/uploads", route_handlers=[begin, offset, append, drop])
router = Router(
    "/recordings",
    route_handlers=[
        recordings,
        manifest,
        audio,
        utterance,
        utterance_audio,
        reply_audio,
        links,
        forget,
        create,
        uploads,
    ],
    guards=GUARDS,
)
