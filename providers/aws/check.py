"""Whether AWS would work for us right now, and what is wrong where it would not."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import aioboto3
import anyio
from botocore.config import Config

from app.domain.errors import ProviderError, ProviderRefused
from providers.aws.credentials import CredentialChain, trusted_certificates
from providers.aws.errors import in_our_words
from providers.aws.streaming_client import Recognition, TranscribeClient


@dataclass(frozen=True, slots=True)
class AwsCheckResult:
    """What was found out about one service."""

    service: str
    region: str
    identity: str | None = None
    """ARN of whoever asks, where AWS says."""

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
    within_s: float = 5.0,
) -> tuple[AwsCheckResult, ...]:
    """Ask for our identity, open and close a Transcribe stream without audio, and look the voice up on Polly.

    Never raises for what it finds. No user's voice and no text is sent.
    """
    session = aioboto3.Session(region_name=region)
    config = Config(connect_timeout=within_s, read_timeout=within_s, retries={"total_max_attempts": 1})

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
        wire = await client.open(locale=language, recognition=Recognition(), credentials=credentials, within_s=within_s)
        wire.close()

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
        with in_our_words(service):
            identity = await ask()
    except ProviderError as fault:
        return AwsCheckResult(service, region, problem=_sentence(fault))
    return AwsCheckResult(service, region, identity, round_trip_ms=(time.perf_counter() - began) * 1000)


def _sentence(fault: ProviderError) -> str:
    """Ours first, and the vendor's own words behind it: whoever runs the check is not a client."""
    cause = fault.__cause__
    words = getattr(cause, "message", None) or str(cause or "")
    return f"{fault} ({words or type(cause).__name__})" if cause is not None else str(fault)
