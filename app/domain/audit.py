"""Audit entries: who did what, to which object, with which outcome. Never what people said."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

Detail: TypeAlias = str | int | float | bool | None


class AuditAction(StrEnum):
    """What is audited. The values are stored."""

    SIGN_IN_REFUSED = "sign_in_refused"
    SESSION_STARTED = "session_started"
    SESSION_RESUMED = "session_resumed"
    """A client came back to it over another connection, or another client tried to."""
    SESSION_ENDED = "session_ended"
    RECORDING_CREATED = "recording_created"
    """Of an uploaded file."""
    JOB_CANCELLED = "job_cancelled"
    """Of an uploaded file that is not transcribed yet."""
    RECORDINGS_LISTED = "recordings_listed"
    RECORDING_READ = "recording_read"
    """Its manifest, or one utterance of it."""
    AUDIO_READ = "audio_read"
    """Listened to, or downloaded."""
    LINKS_SIGNED = "links_signed"
    RECORDING_DELETED = "recording_deleted"
    RECORDING_EXPORTED = "recording_exported"
    CONVERSATION_CREATED = "conversation_created"
    CONVERSATIONS_LISTED = "conversations_listed"
    CONVERSATION_READ = "conversation_read"
    CONVERSATION_RENAMED = "conversation_renamed"
    CONVERSATION_EXPORTED = "conversation_exported"
    CONVERSATION_DELETED = "conversation_deleted"
    MESSAGE_ANSWERED = "message_answered"
    """A text or audio was sent to be answered, in a conversation or without one."""
    KEY_CREATED = "key_created"
    KEY_REVOKED = "key_revoked"
    TOKEN_ISSUED = "token_issued"  # noqa: S105 because it names an action
    POLICY_CHANGED = "policy_changed"
    """The rules file."""
    TENANTS_CHANGED = "tenants_changed"
    """The tenants file."""
    ADMIN_ACCESS = "admin_access"
    """Any other request that needs the scope `admin`: decisions, sessions, the audit log itself."""


def person_target(person: str) -> str:
    """The target of what is done with all recordings of a person; no session's id looks like it."""
    return f"person:{person}"


class AuditOutcome(StrEnum):
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    id: str
    at: str
    """ISO 8601, UTC."""
    key_id: str
    """Of the key that the actor presented; empty where there was none."""
    key_name: str
    tenant: str
    """Whose object it is; the actor's tenant where the object belongs to nobody."""
    peer: str
    """The IP address that the request came from; empty for what the service did by itself."""
    action: AuditAction
    target: str
    """The object: a session, a key, a file's name; empty where there is none."""
    outcome: AuditOutcome
    details: Mapping[str, Detail] = field(default_factory=dict)
    """Numbers, names and codes. Never text of speech."""


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries; None matches all."""

    action: str | None = None
    tenant: str | None = None
    target: str | None = None
    key_id: str | None = None
    peer: str | None = None
    outcome: str | None = None
    since: datetime | None = None
    """Entries at this time or later; without an offset it is UTC."""
    until: datetime | None = None
    """Entries before this time."""
    before: str | None = None
    """The id of the last entry of the previous page."""
    limit: int = 100
