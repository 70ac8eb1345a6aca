"""Checks whether an AWS account can be used now: identity, Transcribe and Polly."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import aioboto3
import anyio
from botocore.config import Config

from app.domain.errors import ParleyError, ProviderRefused
from providers.aws.credentials import CredentialChain, trusted_certificates
from providers.aws.errors import translate_errors
from providers.aws.streaming_client import TranscribeClient


@dataclass(frozen=True, slots=True)
class AwsCheckResult:
    """What the check of one service found."""

    service: str
    region: str
    identity: str | None = None
    """ARN of the caller, where AWS says."""

    round_trip_ms: float | None = None
    problem: str | None = None
    """What is wrong, in a sentence; None where the service works."""


async def check(
    *,
    region: str,
    transcribe_endpoint_url: str | None = None,
    polly_endpoint_url: str | None = None,
    sts_endpoint_url: str | None = None,
    language: str = "en-US",
    voice: str = "Joanna",
    engine: str = "neural",
    timeout_s: float = 5.0,
) -> tuple[AwsCheckResult, ...]:
    """Ask for our identity, open and close a Transcribe stream without audio, and look the voice up on Polly.

    Never raises for what it finds. No user's voice and no text is sent.
    """
    session = aioboto3.Session(region_name=region)
    config = Config(connect_timeout=timeout_s, read_timeout=timeout_s, retries={"total_max_attempts": 1})

    async def identity() -> str:
        async with session.client("sts", endpoint_url=sts_endpoint_url, config=config) as sts:
            arn: str = (await sts.get_caller_identity())["Arn"]
            return arn

    async def transcribe() -> None:
        credentials = await CredentialChain(session).freeze("transcribe")
        certificates = trusted_certificates(session)
        client = await anyio.to_thread.run_sync(
            lambda: TranscribeClient(region=region, endpoint_url=transcribe_endpoint_url, ca_file=certificates)
        )
        connection = await client.open(locale=language, vocabulary=None, credentials=credentials, timeout_s=timeout_s)
        connection.close()

    async def polly() -> None:
        async with session.client("polly", endpoint_url=polly_endpoint_url, config=config) as client:
            known = (await client.describe_voices(Engine=engine))["Voices"]
        if voice not in {each["Id"] for each in known}:
            raise ProviderRefused("polly", f"there is no {engine} voice {voice} in {region}")

    who = await _probe("sts", region, identity)
    probes = (("transcribe", transcribe), ("polly", polly))
    found = [await _probe(service, region, ask) for service, ask in probes]
    return (who, *(replace(finding, identity=who.identity) for finding in found))


async def _probe(service: str, region: str, ask: Callable[[], Awaitable[str | None]]) -> AwsCheckResult:
    began = time.perf_counter()
    try:
        with translate_errors(service):
            identity = await ask()
    except ParleyError as error:
        return AwsCheckResult(service, region, problem=_sentence(error))
    return AwsCheckResult(service, region, identity, round_trip_ms=(time.perf_counter() - began) * 1000)


def _sentence(error: ParleyError) -> str:
    """Ours, and the vendor's own words behind it, which an operator may see and a client may not."""
    cause = error.__cause__
    words = getattr(cause, "message", None) or str(cause or "")
    return f"{error} ({words or type(cause).__name__})" if cause is not None else str(error)
