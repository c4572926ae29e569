"""Checkpoints held against their journal: what who may write both topics still cannot do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from consumers.audit.checkpoints import CheckpointProof
from consumers.audit.faults import JournalFault
from consumers.audit.verify import PartitionProof
from consumers.reading import Read
from core.checkpoints import CHECKPOINT_TYP, signed_checkpoint
from core.jwk import TrustedKeys, trusted_key
from core.merkle import Frontier, leaf_hash
from schemas.codec import decode_bytes, encode
from schemas.journal import JournalCheckpoint, JournalEntry
from tests import examples as e
from tests.unit.audit.bundles import GRANTS, a_told_world
from tests.unit.audit.stories import forged, journal_of, partition_of, proof_of
from tests.unit.control.world import KEYS, World


@pytest.fixture(scope="module")
def world() -> World:
    """The story under several checkpoints."""
    return a_told_world()


def values_of(world: World) -> list[bytes]:
    """The checkpoints of the package's partition, as they stand in their topic."""
    records = world.cluster.records("audit-checkpoint", partition_of(world))
    return [record.value or b"" for record in records]


def checkpoints_of(world: World) -> list[JournalCheckpoint]:
    """The same, decoded."""
    return [decode_bytes(value, JournalCheckpoint) for value in values_of(world)]


def proven(
    world: World,
    journal: list[Read] | None = None,
    values: Sequence[bytes | None] | None = None,
    keys: TrustedKeys | None = GRANTS,
) -> PartitionProof:
    """The proof after the whole journal. Raises JournalFault."""
    proof = proof_of(world)
    values = values_of(world) if values is None else values
    proof.cover = CheckpointProof(partition_of(world), proof.genesis, values, keys=keys)
    for read in journal_of(world) if journal is None else journal:
        proof.check(read)
    proof.finish()
    return proof


def resigned(world: World, *, by: str = "grant", **over: Any) -> bytes:
    """The last checkpoint saying something else, signed anew."""
    changed = checkpoints_of(world)[-1].model_copy(update=over)
    signed = signed_checkpoint(
        changed,
        genesis=proof_of(world).genesis,
        sign=lambda claims: KEYS[by].sign(claims, typ=CHECKPOINT_TYP),
    )
    return encode(signed)


def test_checkpoints_that_the_worker_wrote_are_good(world: World) -> None:
    """How far they reach is told."""
    last = checkpoints_of(world)[-1]

    counts = proven(world).counts

    assert (counts.covered, counts.checkpoints) == (last.size, len(values_of(world)))
    assert counts.unsigned == 0
    assert counts.checkpoints > 1


def test_without_the_keys_of_grants_signatures_are_not_proven(world: World) -> None:
    """Roots are, and that is told apart."""
    assert proven(world, keys=None).counts.unsigned == len(values_of(world))


@pytest.mark.parametrize("number", range(4))
def test_a_rewritten_journal_is_found_though_every_hash_and_judgement_fits(
    world: World, number: int
) -> None:
    """The worker's clock has no say in any rule; only the signed root knows that it was another."""
    journal = journal_of(world)
    entry = decode_entry(journal[number])
    context = entry.context.model_copy(update={"handled_at": e.at(-5)})
    journal = forged(journal, number, context=context)

    with pytest.raises(JournalFault, match="the journal was rewritten") as caught:
        proven(world, journal)

    sizes = [one.size for one in checkpoints_of(world)]
    assert caught.value.seq == min(size for size in sizes if size > number) - 1


def test_a_journal_cut_off_under_its_checkpoint_is_found(world: World) -> None:
    """Entries that were signed are missing."""
    last = checkpoints_of(world)[-1]

    with pytest.raises(JournalFault, match="entries that were signed are missing"):
        proven(world, journal_of(world)[: last.size - 1])


Alter = Callable[[World], list[bytes]]


def _replaced(world: World, value: bytes) -> list[bytes]:
    return [*values_of(world)[:-1], value]


@pytest.mark.parametrize(
    ("alter", "what"),
    [
        (lambda w: _replaced(w, resigned(w, by="r.boss")), "not trusted"),
        (lambda w: _replaced(w, b"garbage"), "no checkpoint"),
        (lambda w: _replaced(w, resigned(w, partition=7)), "of partition 7"),
        (lambda w: _replaced(w, resigned(w, size=0, root=Frontier().root.hex(), frontier=[])),
         "covers 0 entries"),
        (lambda w: _replaced(w, resigned(w, head_hash="00" * 32)), "another last entry"),
        (lambda w: _replaced(w, resigned(w, frontier=[])), "frontier"),
        (lambda w: values_of(w)[::-1], "covers less than the one before"),
        (lambda w: _replaced(w, encode(checkpoints_of(w)[-1].model_copy(
            update={"occurred_at": e.at(1)}))), "something else"),
        (lambda w: _replaced(w, encode(checkpoints_of(w)[-1].model_copy(
            update={"head_hash": "00" * 32}))), "something else"),
        (lambda w: _replaced(w, encode(checkpoints_of(w)[-1].model_copy(
            update={"checkpoint_jws": "e30.e30.e30"}))), "header"),
    ],
    ids=[
        "another key", "garbage", "another partition", "of nothing", "another head",
        "no frontier", "out of order", "another time", "another head unsigned", "no signature",
    ],
)  # fmt: skip
def test_an_altered_checkpoint_is_found(world: World, alter: Alter, what: str) -> None:
    """The fault names the topic and the number of the checkpoint."""
    with pytest.raises(JournalFault, match=what) as caught:
        proven(world, values=alter(world))

    assert caught.value.where == "audit-checkpoint"


def test_a_checkpoint_of_another_journal_is_found(world: World) -> None:
    """The signature is over the genesis too."""
    with pytest.raises(JournalFault, match="something else"):
        CheckpointProof(partition_of(world), "00" * 32, values_of(world), keys=GRANTS)


def test_a_key_that_speaks_for_a_person_signs_no_checkpoints(world: World) -> None:
    """Even where it stands among the keys of grants."""
    person = trusted_key(KEYS["grant"].public_jwk(reviewer_id="r.lind", tenant_id=e.TENANT))

    with pytest.raises(JournalFault, match="not a grant key"):
        proven(world, keys=TrustedKeys.of([person]))


def test_a_key_found_compromised_covers_nothing_since(world: World) -> None:
    """Judged by the time that the checkpoint states."""
    jwk = KEYS["grant"].public_jwk() | {"compromised_at": "2000-01-01T00:00:00Z"}

    with pytest.raises(JournalFault, match="compromised"):
        proven(world, keys=TrustedKeys.of([trusted_key(jwk)]))


def test_bytes_that_are_read_the_same_but_are_others_are_found(world: World) -> None:
    """A number written longer than need be reads the same; the entry was not written so."""
    journal = journal_of(world)
    value = journal[0].value or b""
    longer = value[:10] + bytes([value[10] | 0x80, 0]) + value[11:]
    journal[0] = Read("audit-journal", journal[0].partition, 0, e.NOW, None, longer, [])

    with pytest.raises(JournalFault):
        proven(world, journal, values=[])
    assert leaf_hash(longer) != leaf_hash(value)


def decode_entry(read: Read) -> JournalEntry:
    """An entry."""
    return decode_bytes(read.value or b"", JournalEntry)
