"""Signed checkpoints of the journal: what is signed, and when one is believed.

A checkpoint names the Merkle root over a partition's first `size` entries. Who may write the topics
can compute every hash of another journal, but not this signature: it is made with the grant key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from core.jwk import TrustedKeys
from core.jws import BadToken, verify
from core.merkle import Frontier
from schemas.canonical import canonical_json
from schemas.headers import rfc3339
from schemas.journal import JournalCheckpoint

CHECKPOINT_TYP: Final = "countersign-checkpoint+jwt"
ISSUER: Final = "countersign"
CheckpointSigner = Callable[[dict[str, object]], str]
"""A compact JWS over the claims, of type CHECKPOINT_TYP; the same for the same claims."""


class BadCheckpoint(ValueError):
    """A checkpoint that is not believed; the message says why."""


def checkpoint_claims(checkpoint: JournalCheckpoint, *, genesis: str) -> dict[str, object]:
    """What is signed. genesis: binds it to one cluster, one journal topic and one partition."""
    return {
        "iss": ISSUER,
        "journal": genesis,
        "partition": checkpoint.partition,
        "size": checkpoint.size,
        "root": checkpoint.root,
        "head_hash": checkpoint.head_hash,
        "occurred_at": rfc3339(checkpoint.occurred_at),
    }


def signed_checkpoint(
    checkpoint: JournalCheckpoint, *, genesis: str, sign: CheckpointSigner
) -> JournalCheckpoint:
    """The checkpoint with its signature."""
    token = sign(checkpoint_claims(checkpoint, genesis=genesis))
    return checkpoint.model_copy(update={"checkpoint_jws": token})


def frontier_of(checkpoint: JournalCheckpoint) -> Frontier:
    """The frontier it keeps, if that is the one of its root. Raises BadCheckpoint."""
    try:
        frontier = Frontier(checkpoint.size, tuple(map(bytes.fromhex, checkpoint.frontier)))
    except ValueError as error:
        raise BadCheckpoint(f"its frontier is not one: {error}") from None
    if frontier.root.hex() != checkpoint.root:
        raise BadCheckpoint("its frontier does not make its root")
    if [peak.hex() for peak in frontier.peaks] != checkpoint.frontier:
        raise BadCheckpoint("its frontier is not lower-case hex")
    return frontier


def verify_checkpoint(checkpoint: JournalCheckpoint, *, genesis: str, keys: TrustedKeys) -> None:
    """Raises BadCheckpoint unless a grant key of `keys` signed exactly this.

    Whether the key may be used is judged at `occurred_at`, which the key itself states.
    """
    try:
        verified = verify(checkpoint.checkpoint_jws, keys=keys, typ=CHECKPOINT_TYP)
    except BadToken as error:
        raise BadCheckpoint(str(error)) from None
    if verified.key.algorithm != "EdDSA" or not verified.key.is_bare:
        raise BadCheckpoint("the key is not a grant key")
    if reason := verified.key.unusable_at(checkpoint.occurred_at):
        raise BadCheckpoint(reason)
    # By their texts: in Python true is 1, and another reader would not agree.
    said, wanted = dict(verified.claims), checkpoint_claims(checkpoint, genesis=genesis)
    if canonical_json(said) != canonical_json(wanted):
        raise BadCheckpoint("its signature is over something else than it says")
