"""The chain of the audit journal: each entry carries the hash of the one before.

`hash` = SHA-256 over `prev_hash` and the entry's Avro bytes with `hash` empty; the genesis is the
SHA-256 of `cluster id/topic id/partition`, so that a journal cannot be passed off as another's.
"""

from __future__ import annotations

import hashlib

from schemas.codec import encode
from schemas.journal import JournalEntry


class BrokenChain(ValueError):
    """The journal is not what was written; the message names partition, seq and fault."""


def genesis(cluster_id: str, topic_id: str, partition: int) -> str:
    """Lower-case hex hash that the first entry of a partition names as its `prev_hash`."""
    return hashlib.sha256(f"{cluster_id}/{topic_id}/{partition}".encode()).hexdigest()


def entry_hash(entry: JournalEntry) -> str:
    """Lower-case hex hash of an entry, whatever its `hash` field says."""
    body = encode(entry.model_copy(update={"hash": ""}))
    return hashlib.sha256(entry.prev_hash.encode() + body).hexdigest()


def seal(entry: JournalEntry) -> JournalEntry:
    """The entry with its hash."""
    return entry.model_copy(update={"hash": entry_hash(entry)})


def verify_link(entry: JournalEntry, *, seq: int, prev_hash: str) -> None:
    """Raises BrokenChain unless `entry` is number `seq` and follows `prev_hash`."""
    where = f"audit-journal partition {entry.partition}, seq {entry.seq}"
    if entry.seq != seq:
        raise BrokenChain(f"{where}: expected seq {seq}; entries are missing or out of order")
    if entry.prev_hash != prev_hash:
        raise BrokenChain(f"{where}: does not follow the entry before it")
    if entry.hash != entry_hash(entry):
        raise BrokenChain(f"{where}: its content is not what was hashed")
