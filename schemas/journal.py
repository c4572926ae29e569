"""The audit journal: one entry per judged input, self-contained and hash-chained."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from schemas.model import Count, Line, Record, Text, Timestamp

Bytes = Annotated[bytes, Field(max_length=4 * 1024 * 1024)]


class JournalHeader(Record):
    """A header of an input record."""

    # As long as the broker took it: a journal entry must be possible for whatever comes in.
    name: str = Field(description="Its name.")
    value: Bytes | None = Field(default=None, description="Its bytes.")


class JournalInput(Record):
    """The input record, whole, so that it can be judged when the topic is gone."""

    topic: Line = Field(description="Topic it was first appended to.")
    partition: Count = Field(description="Its partition there.")
    offset: Count = Field(description="Its offset there.")
    append_time: Timestamp = Field(description="Its effective append time.")
    key: Bytes | None = Field(default=None, description="Its key.")
    value: Bytes | None = Field(default=None, description="Its value; null for a timer.")
    headers: list[JournalHeader] = Field(default=[], description="Its headers.")


class JournalContext(Record):
    """All that was not in the record and had a say."""

    handled_at: Timestamp = Field(description="The worker's clock.")
    policy_offset: int = Field(description="control-policy was read up to here.")
    directory_offset: int = Field(description="reviewer-directory was read up to here.")
    policy_version: Line | None = Field(default=None, description="Policy in force for the tenant.")
    kid: Line | None = Field(
        default=None, description="Thumbprint of the key that signed the input."
    )
    signer_id: Line | None = Field(default=None, description="Who the signature says it was.")
    sampled: bool = Field(default=False, description="Drawn for an audit afterwards.")
    timer: Line | None = Field(default=None, description="The timer that fired, when one did.")
    review_context_offset: Count = Field(
        default=0, description="review-context was read up to here."
    )
    draw: Count = Field(
        default=0, description="Drawn with a secret for sampling: 0 to 2^53 - 1, the lowest first."
    )
    directory_digest: Line | None = Field(
        default=None, description="Digest of which records of the three directories were believed."
    )
    task_full: bool = Field(
        default=False, description="Whether the task had no room for another open interrupt."
    )
    open_of_tenant: Count = Field(
        default=0, description="Interrupts of the tenant open in the task, where the policy limits."
    )
    open_of_agent: Count = Field(
        default=0, description="Interrupts of the sender open in the task, where the policy limits."
    )
    partitions: Count = Field(default=1, description="Tasks that share the tenant's limits.")


class JournalEntry(Record):
    """One judged input: what came, under what, what followed."""

    partition: Count = Field(description="The task.")
    seq: Count = Field(description="Number in the partition, gapless from 0.")
    prev_hash: Line = Field(description="Hash of the entry before; the genesis for the first.")
    hash: Line = Field(description="SHA-256 of prev_hash and this entry's bytes with hash empty.")
    rules_version: Count = Field(description="Version of the rules that judged.")
    input: JournalInput = Field(description="The input record.")
    context: JournalContext = Field(description="The context it was judged in.")
    next_offsets: dict[str, Count] = Field(description="By input topic: the next offset to read.")
    read_until: dict[str, Timestamp] = Field(description="By input topic: effective time reached.")
    verdict: Line = Field(
        description="recorded, refused, duplicate, parked, dead_letter, forwarded, tick, fired."
    )
    events: list[Bytes] = Field(default=[], description="Every event's bytes, as published.")
    state_digest: Line = Field(description="SHA-256 of the state's bytes after it; empty without.")


class JournalCheckpoint(Record):
    """A signed Merkle root over a partition of the journal from its first entry on."""

    partition: Count = Field(description="The task.")
    size: Count = Field(description="Entries covered, from 0.")
    root: Line = Field(description="Lower-case hex RFC 6962 root; leaves are the entries' values.")
    head_hash: Line = Field(description="Hash of the last entry covered.")
    occurred_at: Timestamp = Field(description="When it was made.")
    checkpoint_jws: Text = Field(
        description="Signature over the fields above and the partition's genesis."
    )
    frontier: Annotated[list[Line], Field(max_length=64)] = Field(
        default=[],
        description="Lower-case hex roots of the perfect subtrees, largest first; they make root.",
    )
