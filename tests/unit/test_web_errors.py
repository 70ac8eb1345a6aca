"""The table from exceptions to what a client gets."""

import pytest
from litestar.exceptions import MethodNotAllowedException, NotFoundException

from app.domain.errors import (
    BlobNotFound,
    BlobUnreadable,
    ClientError,
    ClientFault,
    KeyNameTaken,
    NoCapacity,
    ProviderBusy,
    ProviderDown,
    ProviderMisbehaved,
    ProviderRefused,
    RequestRefused,
    SessionStillLive,
    SettingsError,
    TooManyConversations,
)
from app.web.errors import error_reply, has_defect

TABLE = [
    (ClientError(ClientFault.BAD_MESSAGE, "no"), 400, 1008, "bad_message"),
    (ClientError(ClientFault.UNAUTHORIZED, "no"), 401, 1008, "unauthorized"),
    (ClientError(ClientFault.FORBIDDEN, "no"), 403, 1008, "forbidden"),
    (ClientError(ClientFault.ORIGIN_REFUSED, "no"), 403, 1008, "origin_refused"),
    (ClientError(ClientFault.HOST_REFUSED, "no"), 400, 1008, "host_refused"),
    (ClientError(ClientFault.FRAME_TOO_LARGE, "no"), 413, 1008, "frame_too_large"),
    (ClientError(ClientFault.BAD_AUDIO, "no"), 415, 1008, "bad_audio"),
    (ClientError(ClientFault.TIMED_OUT, "no"), 400, 3008, "client_timed_out"),
    (RequestRefused("local", "does not know this language"), 400, 1008, "request_refused"),
    (NoCapacity("full"), 503, 1013, "no_capacity"),
    (BlobNotFound("one"), 404, 1008, "not_found"),
    (SessionStillLive("one"), 409, 1008, "still_live"),
    (SessionStillLive("one", is_job=True), 409, 1008, "still_live"),
    (TooManyConversations("full"), 409, 1008, "too_many_conversations"),
    (KeyNameTaken("web"), 409, 1008, "key_name_taken"),
    (ProviderDown("aws", "gone"), 503, 1011, "provider_down"),
    (ProviderBusy("aws", "full"), 503, 1011, "provider_busy"),
    (ProviderMisbehaved("aws", "nonsense"), 503, 1011, "provider_misbehaved"),
    (ProviderRefused("aws", "credentials"), 502, 1011, "provider_refused"),
    (NotFoundException(), 404, 1008, "not_found"),
    (MethodNotAllowedException(), 405, 1008, "method_not_allowed"),
    (SettingsError("a secret path"), 500, 1011, "internal_error"),
    (KeyError("a secret"), 500, 1011, "internal_error"),
]


@pytest.mark.parametrize(("error", "status", "close_code", "code"), TABLE, ids=lambda value: str(value)[:20])
def test_every_exception_has_a_status_a_close_code_and_a_stable_code(error, status, close_code, code):
    reply = error_reply(error)

    assert (reply.status, reply.close_code, reply.code) == (status, close_code, code)
    assert "secret" not in reply.message
    assert reply.is_defect == has_defect(error) == (code == "internal_error")


def test_in_an_exception_group_the_first_known_error_answers_and_a_defect_is_still_reported():
    group = ExceptionGroup("outer", [KeyError("a secret"), ExceptionGroup("inner", [ProviderBusy("spool", "full")])])

    assert error_reply(group).code == "provider_busy"
    assert has_defect(group)
    assert not has_defect(ExceptionGroup("known", [ProviderBusy("spool", "full")]))


def test_busy_engine_reply_has_retry_after():
    assert error_reply(ProviderBusy("worker", "full", retry_after_s=7)).headers == {"retry-after": "7"}
    assert error_reply(ProviderBusy("worker", "full")).headers == {"retry-after": "1"}


@pytest.mark.parametrize(
    "error",
    [
        BlobUnreadable("archive", "sessions/2026-01-01/secret/manifest.json is damaged"),
        BlobUnreadable("session log", "/var/lib/secret is encrypted, and PARLEY_ARCHIVE_KEY is not set"),
        ProviderRefused("filesystem", "cannot use /var/lib/secret: Permission denied"),
        ProviderDown("s3", "the store answered 500 from secret-bucket"),
        ProviderBusy("azure", "secret-account asks to slow down"),
        BlobNotFound("sessions/2026-01-01/secret/manifest.json"),
    ],
)
def test_no_path_key_or_word_of_a_store_reaches_a_client(error):
    message = error_reply(error).message

    assert "secret" not in message
    assert "/" not in message
    assert message


def test_absent_and_foreign_recordings_and_uploads_are_the_same_sentence():
    messages = {error_reply(BlobNotFound(key)).message for key in ("01JD", "sessions/d/01JD/manifest.json", "upload")}

    assert len(messages) == 1
