"""The audit log: who did what, to which object; one line and one stored entry each."""

from dataclasses import dataclass, field

import structlog.testing

from app.domain.audit import AuditAction, AuditEntry, AuditOutcome
from app.domain.principal import Principal
from app.domain.tenant import Tenant
from app.runtime.audit import MAX_TARGET, AuditLog
from app.runtime.authentication import Peer

KEY = Principal(Tenant("acme"), key_id="sha256:0123456789ab", name="front desk")


@dataclass
class MemoryAuditStore:
    entries: list[AuditEntry] = field(default_factory=list)

    def record(self, entry: AuditEntry) -> None:
        self.entries.append(entry)

    async def find(self, criteria):
        return self.entries[::-1]


def test_an_audit_entry_names_the_actor_the_object_and_the_outcome():
    """Key, tenant, address, action, object, outcome and details are those given."""
    store = MemoryAuditStore()

    AuditLog(store).record(
        AuditAction.AUDIO_READ, KEY, Peer("192.0.2.7"), target="s1", outcome=AuditOutcome.DONE, format="wav"
    )

    [entry] = store.entries
    assert (entry.key_id, entry.key_name, entry.tenant, entry.peer) == (KEY.key_id, "front desk", "acme", "192.0.2.7")
    assert (entry.action, entry.target, entry.outcome) == ("audio_read", "s1", "done")
    assert entry.details == {"format": "wav"}


def test_an_audit_entry_is_one_structured_log_line():
    """The line can be filtered by action, tenant and object, with or without a database."""
    with structlog.testing.capture_logs() as lines:
        AuditLog().record(AuditAction.RECORDING_DELETED, KEY, Peer("192.0.2.7"), target="s1", tenant="globex")

    [line] = [line for line in lines if line["event"] == "audit"]
    assert line["action"] == "recording_deleted"
    assert (line["target"], line["tenant"], line["key"], line["peer"]) == ("s1", "globex", KEY.key_id, "192.0.2.7")


def test_audit_ids_sort_in_the_order_of_the_entries():
    store = MemoryAuditStore()
    log = AuditLog(store)

    for _ in range(50):
        log.record(AuditAction.SESSION_STARTED)

    ids = [entry.id for entry in store.entries]
    assert ids == sorted(ids)
    assert len(set(ids)) == 50


def test_a_target_from_a_client_is_cut_in_the_audit_log():
    """Nobody fills the log with a path of a megabyte."""
    store = MemoryAuditStore()

    AuditLog(store).record(AuditAction.RECORDING_READ, target="x" * 100_000)

    assert len(store.entries[0].target) == MAX_TARGET
