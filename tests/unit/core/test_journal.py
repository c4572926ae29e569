"""The chain of the journal: whatever was altered, left out or moved is found where it is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.journal import BrokenChain, entry_hash, genesis, seal, verify_link
from schemas.avro_schema import AVRO_DIR, HISTORY_DIR
from schemas.codec import encode
from schemas.journal import JournalEntry
from tests import examples as e

GENESIS = genesis("cluster", "topic", 3)


def _chain(length: int) -> list[JournalEntry]:
    entries: list[JournalEntry] = []
    for seq in range(length):
        before = entries[-1].hash if entries else GENESIS
        entries.append(seal(e.a_journal_entry(partition=3, seq=seq, prev_hash=before)))
    return entries


def _verify(entries: list[JournalEntry]) -> None:
    head = GENESIS
    for seq, entry in enumerate(entries):
        verify_link(entry, encode(entry), seq=seq, prev_hash=head)
        head = entry.hash


def test_a_chain_verifies() -> None:
    """Entries that follow each other from the genesis are accepted."""
    _verify(_chain(4))


ALTERED: list[dict[str, Any]] = [
    {"verdict": "refused"},
    {"events": []},
    {"state_digest": "33" * 32},
    {"rules_version": 2},
    {"partition": 4},
    {"next_offsets": {"decision-command": 19}},
    {"input": e.a_journal_entry().input.model_copy(update={"value": b"x"})},
    {"context": e.a_journal_entry().context.model_copy(update={"kid": "other"})},
    {"hash": "44" * 32},
]


@pytest.mark.parametrize("change", ALTERED, ids=[next(iter(change)) for change in ALTERED])
def test_an_altered_entry_is_found(change: dict[str, Any]) -> None:
    """Any field that is not what was hashed is reported with partition and seq."""
    entries = _chain(3)
    entries[1] = entries[1].model_copy(update=change)

    with pytest.raises(BrokenChain, match=r"partition [34], seq 1: its content"):
        _verify(entries)


def test_an_entry_altered_and_sealed_again_breaks_the_next() -> None:
    """A forger who seals anew is found at the entry that follows."""
    entries = _chain(3)
    entries[1] = seal(entries[1].model_copy(update={"verdict": "refused"}))

    with pytest.raises(BrokenChain, match="partition 3, seq 2: does not follow"):
        _verify(entries)


def test_a_missing_entry_is_found() -> None:
    """A gap is reported at the entry behind it, with the seq that was expected."""
    entries = _chain(4)
    del entries[1]

    with pytest.raises(BrokenChain, match="partition 3, seq 2: expected seq 1"):
        _verify(entries)


def test_reordered_entries_are_found() -> None:
    """Entries that changed places are reported at the first that is not in its own."""
    entries = _chain(4)
    entries[1], entries[2] = entries[2], entries[1]

    with pytest.raises(BrokenChain, match="partition 3, seq 2: expected seq 1"):
        _verify(entries)


def test_an_entry_twice_is_found() -> None:
    """The same entry a second time is not the next one."""
    entries = _chain(2)

    with pytest.raises(BrokenChain, match="seq 1: expected seq 2"):
        _verify([*entries, entries[-1]])


def test_another_journal_does_not_pass_for_this_one() -> None:
    """The genesis binds cluster, topic and partition."""
    others = {
        genesis("c2", "topic", 3),
        genesis("cluster", "t2", 3),
        genesis("cluster", "topic", 4),
    }

    assert (3, False) == (len(others), GENESIS in others)


def test_the_hash_does_not_depend_on_itself() -> None:
    """The hash is taken with its own field empty, so that it can be computed again."""
    entry = _chain(1)[0]

    with_it, without = encode(entry), encode(entry.model_copy(update={"hash": ""}))
    assert entry.hash == entry_hash(with_it, GENESIS) == entry_hash(without, GENESIS)


def test_an_entry_of_another_release_verifies_by_its_own_bytes() -> None:
    """Its schema has fewer or more fields behind the first four: the hash is over what was written,
    not over what today's schema would write."""
    raw = bytearray(encode(e.a_journal_entry(partition=3, seq=0, prev_hash=GENESIS, hash="")))
    raw[2:10] = b"otherone"
    raw += b"a field of a later release"
    own = entry_hash(bytes(raw), GENESIS)
    entry = e.a_journal_entry(partition=3, seq=0, prev_hash=GENESIS, hash=own)

    verify_link(entry, bytes(raw), seq=0, prev_hash=GENESIS)


def test_the_fields_before_the_hash_are_the_same_in_every_release() -> None:
    """Where the hash is cut out of the bytes hangs on their order and types."""
    files = [AVRO_DIR / "JournalEntry.avsc", *HISTORY_DIR.glob("*/JournalEntry.avsc")]
    heads = [json.loads(path.read_text(encoding="utf-8"))["fields"][:4] for path in files]

    assert [
        [("partition", "long"), ("seq", "long"), ("prev_hash", "string"), ("hash", "string")]
    ] * len(files) == [[(field["name"], field["type"]) for field in head] for head in heads]


def test_bytes_that_end_before_the_hash_are_found() -> None:
    """A cut-off entry is a broken chain, not an error of another kind."""
    entry = _chain(1)[0]

    with pytest.raises(BrokenChain, match="cut off"):
        verify_link(entry, encode(entry)[:14], seq=0, prev_hash=GENESIS)
