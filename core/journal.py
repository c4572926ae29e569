"""The chain of the audit journal: each entry carries the hash of the one before.

`hash` = SHA-256 over `prev_hash` and the entry's Avro bytes with `hash` empty; the genesis is the
SHA-256 of `cluster id/topic id/partition`, so that a journal cannot be passed off as another's.
"""

from __future__ import annotations

import hashlib
from typing import Final

from schemas.avro_bounds import read_long
from schemas.codec import encode
from schemas.journal import JournalEntry

_FINGERPRINT_BYTES: Final = 10
"""C3 01 and the CRC-64-AVRO of the schema (Avro single-object encoding)."""


class BrokenChain(ValueError):
    """The journal is not what was written; the message names partition, seq and fault."""


def genesis(cluster_id: str, topic_id: str, partition: int) -> str:
    """Lower-case hex hash that the first entry of a partition names as its `prev_hash`."""
    return hashlib.sha256(f"{cluster_id}/{topic_id}/{partition}".encode()).hexdigest()


def entry_hash(raw: bytes, prev_hash: str) -> str:
    """Lower-case hex hash of an entry's value as it stands in the log, whatever its own `hash` says.

    Taken from the bytes, not from a record written anew: what an older release wrote must verify
    with every later one, whose schema has more fields. Raises ValueError if they are no entry.
    """
    return hashlib.sha256(prev_hash.encode() + _without_hash(raw)).hexdigest()


def seal(entry: JournalEntry) -> JournalEntry:
    """The entry with its hash."""
    return entry.model_copy(update={"hash": entry_hash(encode(entry), entry.prev_hash)})


def _without_hash(raw: bytes) -> bytes:
    """The value with an empty `hash`: behind the schema's fingerprint stand partition, seq,
    prev_hash and then hash, in every release (a test holds the schema to it)."""
    at = _FINGERPRINT_BYTES
    _, at = read_long(raw, at)
    _, at = read_long(raw, at)
    length, at = read_long(raw, at)
    start = at + length
    own, body = read_long(raw, start)
    if length < 0 or own < 0 or body + own > len(raw):
        raise ValueError("the hash is cut off")
    return raw[:start] + b"\x00" + raw[body + own :]


def verify_link(entry: JournalEntry, raw: bytes, *, seq: int, prev_hash: str) -> None:
    """Raises BrokenChain unless `entry`, read from `raw`, is number `seq` and follows `prev_hash`."""
    where = f"audit-journal partition {entry.partition}, seq {entry.seq}"
    if entry.seq != seq:
        raise BrokenChain(f"{where}: expected seq {seq}; entries are missing or out of order")
    if entry.prev_hash != prev_hash:
        raise BrokenChain(f"{where}: does not follow the entry before it")
    try:
        content = entry_hash(raw, prev_hash)
    except ValueError as error:
        raise BrokenChain(f"{where}: {error}") from None
    if entry.hash != content:
        raise BrokenChain(f"{where}: its content is not what was hashed")
