"""A message made of what is said in a file or a recording."""

from dataclasses import replace

from app.domain.conversations.message import MAX_SPOKEN_CHARACTERS, MessageKind, StoredMessage
from app.domain.errors import ClientError, ClientFault
from app.domain.recording.manifest import Manifest
from app.domain.transcript import join

NO_WORDS = "there are no words in the audio"


def spoken_message(message: StoredMessage, texts: list[str], *, language: str | None) -> StoredMessage:
    """The message with these texts. Raises ClientError where there are no words, or too many."""
    text = join(texts)
    if not text:
        raise ClientError(ClientFault.BAD_AUDIO, NO_WORDS)
    if len(text) > MAX_SPOKEN_CHARACTERS:
        reason = f"what is said has {len(text)} characters; {MAX_SPOKEN_CHARACTERS} is the most"
        raise ClientError(ClientFault.TEXT_TOO_LONG, reason)
    return replace(message, text=text, kind=MessageKind.VOICE, language=language)


def recorded_message(message: StoredMessage, manifest: Manifest) -> StoredMessage:
    """The message with the finals of a recording. Raises ClientError, as `spoken_message` does."""
    finals = [final for final in manifest.finals if final.text]
    language = finals[0].language if finals else None
    spoken = spoken_message(message, [final.text for final in finals], language=language)
    start, end = (finals[0].speech or (finals[0].start, 0))[0], (finals[-1].speech or (0, finals[-1].end))[1]
    return replace(spoken, session=manifest.session, start=start, end=end)
