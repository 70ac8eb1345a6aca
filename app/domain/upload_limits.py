"""Limits of what uploaded files may take, on all processes together, before they are transcribed."""

from dataclasses import dataclass

from app.domain.errors import ClientError, ClientFault, ProviderBusy

PERSON_SHARE = 4
"""A person's token gets one part in so many of what its tenant may have, at least one file."""
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
    per_tenant_bytes: int = 512 << 20
    """Less than `total_bytes`, so that one tenant does not stop the others."""

    @property
    def largest_file(self) -> int:
        return min(self.max_bytes, self.total_bytes)

    def require_size(self, size: int) -> None:
        """Raises ClientError where one file may not have so many bytes."""
        if size > self.largest_file:
            raise ClientError(ClientFault.FRAME_TOO_LARGE, f"the file is larger than {self.largest_file >> 20} MB")

    def require_quota(self, own: "UploadUsage", length: int, *, by_person: bool = False) -> None:
        """Raises ProviderBusy where a tenant with these other files may have no further one of this length.

        `by_person`: neither may the person, who has a share of it.
        """
        _require(own.files, own.reserved + length, self.per_tenant, self.per_tenant_bytes)
        if by_person:
            files, size = max(1, self.per_tenant // PERSON_SHARE), self.per_tenant_bytes // PERSON_SHARE
            _require(own.person_files, own.person_reserved + length, files, size)

    def require_growth(self, own: "UploadUsage", size: int) -> None:
        """Raises ProviderBusy where so many bytes more of a file without a length are too many for its tenant."""
        if own.files > 1:
            _require_bytes(own.reserved + size, self.per_tenant_bytes)

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
    person_files: int = 0
    """Of these, those of the person of the new one."""
    person_reserved: int = 0


def _require(files: int, size: int, most_files: int, most_bytes: int) -> None:
    if files >= most_files:
        raise ProviderBusy(
            "recordings", f"{files} of your uploads are not transcribed yet; finish, delete or wait for one"
        )
    if files:
        _require_bytes(size, most_bytes)


def _require_bytes(size: int, most: int) -> None:
    if size > most:
        raise ProviderBusy("recordings", "your uploads that are not transcribed yet are too large to take more")
