"""Parameters and headers of the HTTP API: what they mean, and an example of each."""

from dataclasses import dataclass
from typing import Any

SESSION = "01932c5e0a7b7def8123456789abcdef"
KEY_ID = "2a158c59a51b"


@dataclass(frozen=True, slots=True)
class DocumentedValue:
    description: str
    example: Any


def value(description: str, example: Any) -> DocumentedValue:
    return DocumentedValue(description, example)


PARAMETERS = {
    "action": value("Of this action, such as `recording_read`.", "recording_read"),
    "before": value("The `next` of the previous page.", None),
    "end": value("To this second.", 12.5),
    "format": value("Of the audio. Only wav has HTTP ranges.", "mp3"),
    "keyTerms": value("Names and jargon that are likely in the audio, with commas between them.", "Siobhan,Parley"),
    "key": value("Of the key with this id.", KEY_ID),
    "key_id": value("Id of the key, as `GET /admin/keys` lists it; not its secret.", KEY_ID),
    "kind": value("Sessions that are going on, that have ended, or that a crash cut off.", "ended"),
    "language": value(
        "Spoken language, as `de`, `de-DE` or `German`, or several with commas; without it the configured one.", "en"
    ),
    "limit": value("Most entries of one answer.", 20),
    "model": value("Its name.", "whisper-1"),
    "name": value("Name of the upload, from the `Location` it was created with.", SESSION),
    "number": value("Counted from 1.", 1),
    "outcome": value("`done`, `refused` or `failed`.", "refused"),
    "peer": value("Requested from this IP address.", "203.0.113.7"),
    "person": value("Who speaks, by the tenant's own identifier.", "visitor-17"),
    "place": value("`on_prem` or `cloud`.", "on_prem"),
    "profile": value(
        "Languages and key terms of this profile, a name of `GET /profiles`, where not named here.", "assistant"
    ),
    "receipt": value("Answer with what was deleted and what remains, instead of nothing.", True),
    "route": value("With a final of this route.", "local"),
    "seconds": value("Length of the utterance.", 4.0),
    "session": value("Id of the session, which is that of its recording: 32 hexadecimal digits.", SESSION),
    "since": value("From this day or time on (ISO 8601).", "2026-01-31"),
    "source": value(
        "Link to a file in Google Drive, fetched with the service's own account; for administrators. "
        "The request has no body then.",
        None,
    ),
    "state": value("In this state.", "running"),
    "start": value("From this second.", 2.0),
    "target": value("Of this session, key or file.", SESSION),
    "tenant": value("Of this tenant. Whoever is no administrator sees its own alone.", "acme"),
    "text": value(
        'With all of these words, `"phrases"` and `prefixes*`; case and diacritics do not count.',
        '"light switch" kitchen',
    ),
    "until": value("Up to this day or time (ISO 8601).", "2026-02-28"),
    "wait": value("Whether the answer waits for the transcript.", False),
}
REQUEST_HEADERS = {
    "Range": value("Part of the wav file.", "bytes=0-65535"),
    "Tus-Resumable": value("Version of the tus protocol that the client speaks.", "1.0.0"),
    "Upload-Length": value("Bytes of the whole file.", 1048576),
    "Upload-Offset": value("Position of the first byte of the body; bytes that are here already.", 0),
}
RESPONSE_HEADERS = {
    "Accept-Ranges": value("`bytes`: parts of it can be asked for; `none`: they cannot.", "bytes"),
    "Content-Disposition": value("Name for the file.", f'attachment; filename="{SESSION}.zip"'),
    "Content-Range": value("Which bytes, of how many.", "bytes 0-65535/1133204"),
    "Location": value("Where to go on.", f"/recordings/jobs/{SESSION}"),
    "Parley-Kept-Until": value(
        "The last day that the recording is kept; without it, it is kept until it is deleted.", "2026-03-02"
    ),
    "Parley-Lost": value("Seconds that are silence, because their audio is missing or damaged.", "3.2-4.7"),
    "Parley-Recording": value("Id of the recording; there once the upload is complete.", SESSION),
    "Retry-After": value("Seconds after which another attempt may succeed.", 1),
    "Tus-Resumable": value("Version of the tus protocol.", "1.0.0"),
    "Tus-Version": value("Versions of the tus protocol that this server speaks.", "1.0.0"),
    "Upload-Length": value("Bytes of the whole file.", 1048576),
    "Upload-Offset": value("Bytes that are here.", 524288),
    "WWW-Authenticate": value("How to authenticate.", 'Bearer realm="parley"'),
}
