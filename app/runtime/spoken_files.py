"""What is said in a file becomes a message of a conversation, and is answered: the last step of the file's job."""

from dataclasses import dataclass, replace

from app.domain.conversations.spoken import recorded_message
from app.domain.errors import (
    BudgetExhausted,
    ClientError,
    ConversationFull,
    ConversationNotFound,
    ProviderError,
    RequestRefused,
)
from app.domain.tenant import Tenant
from app.runtime.conversations.chat import Chat
from app.runtime.jobs.job_lease import JobLease


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
                lambda: self.chat.answer(found, message, tenant, profile=job.profile or None, is_repeatable=True)
            )
        except (ClientError, ConversationNotFound, ConversationFull, ProviderError) as error:
            lease.warnings.append(f"not in the conversation: {error or 'it was deleted'}")
            return
        try:
            await answer.run.finished()
        except (ProviderError, RequestRefused, BudgetExhausted, ConversationNotFound) as error:
            lease.warnings.append(f"no reply, or not all of it: {error}")
