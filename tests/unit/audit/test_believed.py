"""The audit folds the directories as the worker believed them, and says so when it cannot."""

from __future__ import annotations

from dataclasses import replace

import pytest

from consumers.audit.directories import DirectoriesDiffer, DirectoryLog
from consumers.audit.verify import PartitionProof
from core.governing import Trust
from core.jwk import TrustedKeys
from schemas.journal import JournalEntry
from tests import examples as e
from tests.unit.audit.stories import directories_of, journal_of, proof_of
from tests.unit.control.test_governing import VANCE, Town, governor, keys_with, policy
from tests.unit.control.world import settle

HOSTILE = {"defaults": {"decide_within": "1h"}}


def judged(town: Town) -> list[JournalEntry]:
    """The journal after one request was judged."""
    town.world.request()
    settle(town.world.worker())
    return town.world.journal()


def attacked() -> Town:
    """Somebody has written a policy that no governor signed, and the worker went on."""
    town = Town(governor(VANCE))
    town.govern(policy("8"), VANCE)
    town.say(policy("9", **HOSTILE))
    judged(town)
    return town


def log_of(town: Town, trust: Trust | None) -> DirectoryLog:
    """The directories as an auditor reads them."""
    return replace(directories_of(town.world), trust=trust, _folds=[])


def proven(town: Town, trust: Trust | None) -> PartitionProof:
    """The proof of the package's partition under a trust."""
    proof = proof_of(town.world)
    proof.directory_at = log_of(town, trust).at
    for read in journal_of(town.world):
        proof.check(read)
    return proof


def test_the_audit_leaves_out_what_the_worker_refused() -> None:
    """With the same keys it folds the same records, and every judgement is made again."""
    town = attacked()

    proof = proven(town, town.world.trust())

    latest = log_of(town, town.world.trust()).latest().tenant(e.TENANT).policy
    assert (proof.counts.rejudged, proof.counts.refolded) == (1, 0)
    assert latest is not None
    assert latest.policy_version == "8"


def test_without_the_keys_of_that_time_it_says_so() -> None:
    """Nobody is accused: the message names what is missing."""
    town = attacked()
    entry = town.world.journal()[0].context
    log = log_of(town, None)

    with pytest.raises(DirectoriesDiffer, match="give the trusted keys of that time"):
        log.at(
            entry.policy_offset,
            entry.directory_offset,
            entry.review_context_offset,
            entry.directory_digest,
        )


def test_a_key_found_compromised_later_makes_no_journal_wrong() -> None:
    """What the worker believed before it knew is told by the digest, and judged by."""
    town = attacked()
    key = replace(governor(VANCE), valid_from=e.at(1), compromised_at=e.at(1))
    trust = replace(town.world.trust(), keys=keys_with(key))

    proof = proven(town, trust)

    latest = log_of(town, trust).latest().tenant(e.TENANT).policy
    assert (proof.counts.rejudged, proof.counts.refolded) == (1, 0)
    assert latest is not None
    assert latest.policy_version == e.POLICY_VERSION


def test_what_was_judged_before_a_tenant_had_governors_stays_provable() -> None:
    """Also where the governor's key does not say from when it is valid."""
    town = Town()
    judged(town)
    trust = replace(town.world.trust(), keys=keys_with(governor(VANCE)))

    proof = proven(town, trust)

    assert log_of(town, trust).latest().tenant(e.TENANT).policy is None
    assert (proof.counts.rejudged, proof.counts.refolded) == (1, 0)


def test_every_entry_holds_the_digest_of_what_was_believed() -> None:
    """Another belief, another digest; the same belief, the same digest."""
    attacked_digest = attacked().world.journal()[0].context.directory_digest
    town = Town(governor(VANCE))
    town.govern(policy("8"), VANCE)
    [quiet] = judged(town)
    open_town = Town()
    open_town.say(policy("8"))
    open_town.say(policy("9", **HOSTILE))
    [believing] = judged(open_town)

    assert attacked_digest == quiet.context.directory_digest
    assert attacked_digest != believing.context.directory_digest


def test_an_empty_set_of_keys_believes_all() -> None:
    """Nobody governs; as in the worker."""
    town = Town()
    town.say(policy("9"))
    trust = replace(town.world.trust(), keys=TrustedKeys.of([]))
    latest = log_of(town, trust).latest().tenant(e.TENANT).policy

    assert latest is not None
    assert latest.policy_version == "9"
