"""What is said in a file becomes a message of a conversation, and is answered: the last step of the file's job."""

from dataclasses import dataclass, replace

from app.domain.conversations.message import MAX_SPOKEN_CHARACTERS, MessageKind, StoredMessage
from app.domain.errors import (
    BudgetExhausted,
    ClientError,
    ClientFault,
    ConversationFull,
    ConversationNotFound,
    ProviderError,
    RequestRefused,
)
from app.domain.recording.manifest import Manifest
from app.domain.tenant import Tenant
from app.domain.transcript import join
from app.runtime.conversations.chat import Chat
from app.runtime.jobs.job_lease import JobLease

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


@dataclass(frozen=True, slots=True)
class SpokenFiles:
    chat: Chat

    async def answer(self, lease: JobLease, tenant: Tenant) -> None:
        """Append the text of the job's recording to its conversation, and the reply. Repeatable: each is kept once.

        What cannot be appended or answered is a warning of the job, because its recording is there all the same.
        Raises ConversationBusy while another writer has the conversation.
        """
        job, table = lease.job, self.chat.table
        if await lease.until_available(lambda: table.is_answered(job.conversation, job.message_id)):
            return
        manifest = await lease.until_available(lambda: lease.files.uploader.recordings.manifest(job.id))
        try:
            message = recorded_message(replace(self.chat.user_message(""), id=job.message_id), manifest)
            found = await lease.until_available(lambda: table.get(job.conversation))
            answer = await lease.until_available(
                lambda: self.chat.answer(found, message, tenant, profile=job.profile or None, keeps_unanswered=True)
            )
        except (ClientError, ConversationNotFound, ConversationFull, ProviderError) as error:
            lease.warnings.append(f"not in the conversation: {error or 'it was deleted'}")
            return
        try:
            await answer.run.finished()
        except (ProviderError, RequestRefused, BudgetExhausted, ConversationNotFound) as error:
            lease.warnings.append(f"no reply, or not all of it: {error}")
