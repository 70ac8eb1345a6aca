"""Limits of what uploaded files may take, on all processes together, before they are transcribed."""

from dataclasses import dataclass

from app.domain.errors import ClientError, ClientFault, ProviderBusy

MAX_PARTS = 10_000
"""Of one file: so many requests may bring it, besides one for each part of a long body."""


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What the files of unfinished jobs may take, whichever process received them."""

    max_bytes: int = 512 << 20
    """Of one file."""
    total_bytes: int = 1 << 30
    """Of all files of all tenants."""
    per_tenant: int = 16
    """Files of one tenant."""
    per_tenant_bytes: int = 1 << 30

    @property
    def largest_file(self) -> int:
        return min(self.max_bytes, self.total_bytes)

    def require_size(self, size: int) -> None:
        """Raises ClientError where one file may not have so many bytes."""
        if size > self.largest_file:
            raise ClientError(ClientFault.FRAME_TOO_LARGE, f"the file is larger than {self.largest_file >> 20} MB")

    def require_quota(self, own: "UploadUsage", length: int) -> None:
        """Raises ProviderBusy where a tenant with these other files may have no further one of this length."""
        if own.files >= self.per_tenant:
            raise ProviderBusy(
                "recordings", f"{own.files} of your uploads are not transcribed yet; finish, delete or wait for one"
            )
        if own.files and own.reserved + length > self.per_tenant_bytes:
            raise ProviderBusy("recordings", "your uploads that are not transcribed yet are too large to take one more")

    def require_room(self, received: int, size: int) -> None:
        """Raises ProviderBusy where so many bytes more are too many, beside those of all files."""
        if received + size > self.total_bytes:
            raise ProviderBusy("recordings", "there is no room for uploads at the moment")


@dataclass(frozen=True, slots=True)
class UploadUsage:
    """What unfinished jobs take."""

    files: int
    reserved: int
    """Bytes that are here or announced."""
