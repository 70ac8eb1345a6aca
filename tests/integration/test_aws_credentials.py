"""Credentials come from the ordinary chain, and a stream keeps the ones it was opened with."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import aioboto3
import anyio
import pytest

from app.domain.errors import ProviderRefused
from providers.aws.credentials import CredentialChain
from providers.aws.transcribe import open_transcribe
from tests.emulators.account import aws_account
from tests.emulators.certificates import Certificates
from tests.emulators.transcribe import TranscribeEmulator
from tests.emulators.utterances import utterance
from tests.integration.transcripts import final_text, hypotheses_of

pytestmark = pytest.mark.anyio


class ContainerRole:
    """The credentials endpoint of a container: each answer has another key, and lasts as long as `lasts_s`."""

    def __init__(self, lasts_s: float) -> None:
        self.lasts_s = lasts_s
        self.answers = 0

    def answer(self) -> bytes:
        self.answers += 1
        ends = datetime.now(UTC) + timedelta(seconds=self.lasts_s)
        return json.dumps(
            {
                "AccessKeyId": f"ROLE{self.answers}",
                "SecretAccessKey": "testing",
                "Token": f"token {self.answers}",
                "Expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        ).encode()


@contextmanager
def serving(role: ContainerRole) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = role.answer()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/role"
        finally:
            server.shutdown()
            thread.join()


async def test_a_container_role_is_refreshed_and_each_stream_keeps_its_own_keys(certificates: Certificates) -> None:
    """The role's keys change under a running stream, and the stream does not notice: its chain of signatures holds."""
    accounts = {f"ROLE{n}": "testing" for n in range(1, 20)}
    role = ContainerRole(lasts_s=300)  # so short that every look refreshes them
    with (
        serving(role) as url,
        aws_account(certificates, AWS_CONTAINER_CREDENTIALS_FULL_URI=url),
        TranscribeEmulator(certificates, accounts=accounts) as emulator,
    ):
        async with (
            open_transcribe(region="us-east-1", endpoint_url=emulator.url) as engine,
            engine.session() as one,
            engine.session() as other,
        ):
            await final_text(one, utterance(500))
            await final_text(other, utterance(500))
            assert await final_text(one, utterance(500)) == "light on"

        keys = [stream.headers["authorization"].split("Credential=")[1].split("/")[0] for stream in emulator.streams]
        tokens = [stream.headers["x-amz-security-token"] for stream in emulator.streams]
    assert len(set(keys)) == 2
    assert tokens == [key.replace("ROLE", "token ") for key in keys]


async def test_credentials_about_to_expire_open_no_stream(certificates: Certificates) -> None:
    """A role that only hands out dying keys is a refusal, in our words."""
    with (
        serving(ContainerRole(lasts_s=20)) as url,
        aws_account(certificates, AWS_CONTAINER_CREDENTIALS_FULL_URI=url),
        TranscribeEmulator(certificates) as emulator,
    ):
        async with open_transcribe(region="us-east-1", endpoint_url=emulator.url) as engine:
            with pytest.raises(ProviderRefused):
                await hypotheses_of(engine, utterance(500))
        assert emulator.streams == []


async def test_credentials_of_a_profile_are_used(
    certificates: Certificates, emulator: TranscribeEmulator, tmp_path: Path
) -> None:
    """Keys in a file are as good as keys in the environment."""
    file = tmp_path / "credentials"
    file.write_text("[work]\naws_access_key_id = testing\naws_secret_access_key = testing\n")
    with aws_account(certificates, AWS_PROFILE="work", AWS_SHARED_CREDENTIALS_FILE=str(file)):
        async with open_transcribe(region="us-east-1", endpoint_url=emulator.url) as engine:
            assert await final_text(engine, utterance(500)) == "turn the"


async def test_missing_credentials_are_provider_refused(
    certificates: Certificates, emulator: TranscribeEmulator
) -> None:
    """Nothing is sent without an identity."""
    with aws_account(certificates, AWS_REGION="us-east-1"):
        async with open_transcribe(region="us-east-1", endpoint_url=emulator.url) as engine:
            with pytest.raises(ProviderRefused), anyio.fail_after(2):
                await hypotheses_of(engine, utterance(500))


async def test_a_session_token_is_not_shown(certificates: Certificates) -> None:
    """A log of the credentials has no secret in it."""
    with aws_account(AWS_ACCESS_KEY_ID="AKIAEXAMPLE", AWS_SECRET_ACCESS_KEY="hush", AWS_SESSION_TOKEN="hush"):
        credentials = await CredentialChain(aioboto3.Session()).freeze("aws")

    assert "hush" not in repr(credentials)
