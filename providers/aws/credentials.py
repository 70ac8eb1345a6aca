"""Finds AWS credentials by the SDK's ordinary chain: environment, profile, web identity, container role."""

import time
from dataclasses import dataclass
from pathlib import Path

import aioboto3

from app.domain.errors import ProviderRefused
from providers.aws.errors import translate_errors

_MIN_VALID_S = 60
"""Credentials that end sooner are not worth opening a stream with."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """One set of keys; a stream is signed with the same ones from start to finish."""

    access_key: str
    secret_key: str
    token: str | None
    valid_for_s: float
    """Seconds from now; infinite for keys that do not end."""

    def __repr__(self) -> str:
        return f"Credentials({self.access_key[:4]}…, valid_for_s={self.valid_for_s:.0f})"


class CredentialChain:
    """Finds credentials once and refreshes them before they end."""

    def __init__(self, session: aioboto3.Session) -> None:
        self._session = session

    async def freeze(self, provider: str) -> Credentials:
        """The newest credentials. Raises ProviderRefused where there are none, or they are about to end."""
        with translate_errors(provider):
            # because aioboto3 hands out credentials that it cannot freeze, while its own core can do both
            found = await self._session._session.get_credentials()  # noqa: SLF001
            frozen = await found.get_frozen_credentials() if found is not None else None
        if found is None or frozen is None:
            raise ProviderRefused(provider, "there are no AWS credentials")
        ends_at = getattr(found, "_expiry_time", None)  # because the package has no public name for it
        valid_for_s = float("inf") if ends_at is None else ends_at.timestamp() - time.time()
        if valid_for_s < _MIN_VALID_S:
            raise ProviderRefused(provider, "the AWS credentials are about to expire and cannot be refreshed")
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token, valid_for_s)


def trusted_certificates(session: aioboto3.Session) -> Path | None:
    """The authorities to trust instead of the system's, where `AWS_CA_BUNDLE` or the profile names them."""
    bundle = session._session.get_config_variable("ca_bundle")  # noqa: SLF001 because aioboto3 does not show its chain
    return Path(bundle) if bundle else None
