"""Journals to audit: the real worker on the in-memory broker wrote them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from consumers.audit.directories import DirectoryLog, decoded
from consumers.audit.history import History, of_key
from consumers.audit.verify import PartitionProof
from consumers.control.ports import InputRecord
from consumers.reading import Read
from core.journal import genesis, seal
from core.jwk import TrustedKeys
from schemas.codec import decode_bytes, encode
from schemas.directory import (
    AgentRegistration,
    PolicyDocument,
    PolicyExceptionChanged,
    ReviewerAuthorization,
    ReviewerCapChanged,
)
from schemas.events import ToolGateEvent
from schemas.journal import JournalEntry
from schemas.topics import partition_for, record_key
from tests import examples as e
from tests.unit.control.world import World, settle

KEY = record_key(e.TENANT, e.PACKAGE_ID)


def told(*, until: str = "executed", world: World | None = None) -> World:
    """The story so far: `asked`, `approved`, `taken` or `executed`; with what gets refused."""
    world = world or World()
    worker = world.worker()
    world.decide("r.lind", command_id="cmd-early", idempotency_key="early", decision="reject",
                 comment="too early", expected_package_version=2)  # fmt: skip
    settle(worker)
    world.request()
    world.request()
    world.send(e.a_request(), None, e.INTERRUPT_ID)
    settle(worker)
    if until == "asked":
        return world
    world.decide("r.boss", command_id="cmd-2", idempotency_key="two", on_behalf_of="r.nobody")
    world.decide()
    settle(worker)
    if until == "approved":
        return world
    world.take(gate_of(world).grant_id or "")
    settle(worker)
    if until == "taken":
        return world
    world.clock.advance(120)
    sent = e.a_notice_sent(grant_id=gate_of(world).grant_id)
    world.send(sent, e.EXECUTOR, sent.event_id)
    settle(worker)
    return world


def gate_of(world: World) -> ToolGateEvent:
    """The gate that was opened."""
    return next(gate for gate in world.all(ToolGateEvent) if gate.gate == "opened")


def partition_of(world: World) -> int:
    """The partition of the story's package."""
    return partition_for(KEY, world.cluster.partitions)


def read_of(record: InputRecord) -> Read:
    """A record as a reader of the log gets it."""
    assert record.append_time is not None
    return Read(record.topic, record.partition, record.offset, record.append_time, record.key,
                record.value, record.headers)  # fmt: skip


def journal_of(world: World) -> list[Read]:
    """The journal of the package's partition."""
    records = world.cluster.records("audit-journal", partition_of(world))
    return [read_of(record) for record in records]


def history_of(world: World) -> History:
    """What the journal says about the package."""
    return History(e.TENANT, e.PACKAGE_ID, tuple(of_key(journal_of(world), KEY)))


def directories_of(world: World) -> DirectoryLog:
    """Policies and people."""
    policies = map(read_of, world.cluster.records("control-policy"))
    people = map(read_of, world.cluster.records("reviewer-directory"))
    context = map(read_of, world.cluster.records("review-context"))
    return DirectoryLog(
        decoded(policies, (PolicyDocument,)),
        decoded(people, (ReviewerAuthorization, AgentRegistration)),
        decoded(context, (PolicyExceptionChanged, ReviewerCapChanged)),
    )


def proof_of(
    world: World, keys: TrustedKeys | None = None, partition: int | None = None
) -> PartitionProof:
    """A proof of the package's partition, or of another, that has not begun."""
    partition = partition_of(world) if partition is None else partition
    start = genesis("cluster-1", world.cluster.journal_id, partition)
    return PartitionProof(partition, start, directories_of(world).at, keys=keys)


def forged(journal: list[Read], number: int, **over: Any) -> list[Read]:
    """The journal with one entry changed and every hash after it made to fit: what somebody who
    may write the topic could put in its place."""
    entries = [decode_bytes(read.value or b"", JournalEntry) for read in journal]
    entries[number] = entries[number].model_copy(update=over)
    head = entries[0].prev_hash
    sealed = []
    for entry in entries:
        sealed.append(seal(entry.model_copy(update={"prev_hash": head})))
        head = sealed[-1].hash
    return [replace(read, value=encode(entry)) for read, entry in zip(journal, sealed, strict=True)]


def entries_of(journal: list[Read]) -> list[JournalEntry]:
    """The entries, decoded."""
    return [decode_bytes(read.value or b"", JournalEntry) for read in journal]


def seq_of(journal: list[Read], verdict: str, ce_type: bytes) -> int:
    """The number of the first entry with this verdict about this kind of input."""
    return next(
        entry.seq
        for entry in entries_of(journal)
        if entry.verdict == verdict
        and any(h.name == "ce_type" and h.value == ce_type for h in entry.input.headers)
    )
