"""Reads the tenants and the fingerprints of their API keys from a TOML file, one table each."""

import re
from pathlib import Path
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from app.domain.errors import SettingsError
from app.domain.key_terms import MAX_KEY_TERMS
from app.domain.residency import Residency
from app.domain.tenant import MAX_KEEP_DAYS, Tenant
from app.policy.profiles_file import VocabularyName, require_key_terms
from app.policy.routes_file import known_languages
from app.policy.rules_file import Amount
from app.toml_file import TomlDocument, given, parse_document, read_document

Fingerprint: TypeAlias = Annotated[str, Meta(pattern="^sha256:[0-9a-f]{64}$")]
Count: TypeAlias = Annotated[int, Meta(ge=1)]

PROBES = "probes"
"""Reserved name: expenses of the service itself, such as probes, are booked under it."""


class TenantTable(Struct, frozen=True, forbid_unknown_fields=True):
    keys: tuple[Fingerprint, ...] = ()
    operator: bool = False
    max_sessions: Count | None = None
    max_conversations: Annotated[int, Meta(ge=0)] | None = None
    budget_usd_per_day: Amount | None = None
    archive: bool | None = None
    keep_days: Annotated[int, Meta(ge=0, le=MAX_KEEP_DAYS)] | None = None
    place: Residency = Residency.CLOUD_OK
    profiles: Annotated[tuple[str, ...], Meta(min_length=1)] | None = None
    languages: tuple[str, ...] = ()
    key_terms: Annotated[tuple[str, ...], Meta(max_length=MAX_KEY_TERMS)] = ()
    vocabulary: VocabularyName | None = None


TENANT_NAME_RULE = f"a tenant's name has up to 63 small letters, digits and hyphens, and is not {PROBES}"


def read_tenants(path: Path) -> tuple[Tenant, ...]:
    """Blocking. Raises SettingsError that names the line and the key."""
    return _tenants(read_document(path, setting="PARLEY_TENANTS"))


def parse_tenants(text: str, source: str) -> tuple[Tenant, ...]:
    return _tenants(parse_document(text, source))


def is_tenant_name(name: str) -> bool:
    return bool(re.fullmatch("[a-z0-9][a-z0-9-]{0,62}", name)) and name != PROBES


def _tenants(document: TomlDocument) -> tuple[Tenant, ...]:
    tenants, owners, source = list[Tenant](), dict[str, str](), document.source
    for name in document.table:
        if not is_tenant_name(name):
            raise SettingsError(f"{source}: {name}: {TENANT_NAME_RULE}")
        table = document.convert(TenantTable, under=name)
        languages = known_languages(document, f"{name}.languages", table.languages)
        tenant = Tenant(name, **{**given(table), "languages": languages})
        require_key_terms(document, f"{name}.key_terms", tenant.key_terms)
        for key in tenant.keys:
            if key in owners:
                raise SettingsError(f"{source}: {name}.keys: {key[:15]}... is a key of {owners[key]} already")
            owners[key] = name
        tenants.append(tenant)
    return tuple(tenants)
