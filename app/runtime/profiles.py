"""The profiles in force, and which of them a client may choose."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from app.domain.errors import ClientError, ClientFault
from app.domain.profile import Profile
from app.domain.tenant import Tenant


@dataclass(frozen=True, slots=True)
class ProfileCatalogue:
    profiles: Callable[[], Mapping[str, Profile]] = dict
    """By name, as the files have them now."""
    default: str = ""
    """For clients that choose none; empty: the settings alone."""

    def offered(self, tenant: Tenant) -> Sequence[Profile]:
        """What clients of this tenant may choose, by name."""
        profiles = self.profiles()
        return [profiles[name] for name in sorted(profiles) if tenant.profiles is None or name in tenant.profiles]

    def find(self, name: str, tenant: Tenant) -> Profile:
        """Raises ClientError where there is none of this name that the tenant may use."""
        offered = {profile.name: profile for profile in self.offered(tenant)}
        if name not in offered:
            names = ", ".join(offered) or "none"
            raise ClientError(ClientFault.UNKNOWN_PROFILE, f"there is no profile {name[:64]!r}; there are: {names}")
        return offered[name]

    def choose(self, name: str | None, tenant: Tenant) -> Profile | None:
        """The profile of this name; without one the default, or the first where the tenant may not use that.

        None: the settings alone. Raises ClientError, as `find` does.
        """
        if name:
            return self.find(name, tenant)
        offered = self.offered(tenant)
        default = next((profile for profile in offered if profile.name == self.default), None)
        if default is None and tenant.profiles is not None and offered:
            return offered[0]
        return default
