"""The proof of a journal: good ones pass, and each way to alter one is found where it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from consumers.audit.faults import JournalFault
from consumers.audit.verify import PartitionProof
from consumers.reading import Read
from core.jwk import TrustedKeys
from schemas.codec import decode_any, encode
from schemas.directory import PolicyDocument
from schemas.events import HumanDecisionEvent, ToolGateEvent
from schemas.journal import JournalEntry
from tests import examples as e
from tests.unit.audit.stories import (
    directories_of,
    entries_of,
    forged,
    journal_of,
    proof_of,
    seq_of,
    told,
)
from tests.unit.control.world import KEYS, World, settle, trusted

DECISION = b"human.decision_command"


def checked(proof: PartitionProof, journal: list[Read]) -> PartitionProof:
    """The proof after the whole journal."""
    for read in journal:
        proof.check(read)
    return proof


def fault_in(journal: list[Read], world: World, **how: Any) -> JournalFault:
    """The fault that is found."""
    with pytest.raises(JournalFault) as caught:
        checked(proof_of(world, **how), journal)
    return caught.value


@pytest.fixture
def world() -> World:
    """The whole story, a refusal, a duplicate and a parked command among it."""
    return told()


def test_what_the_worker_wrote_is_good(world: World) -> None:
    """Every input is judged again with the same events, and every signature is proven."""
    journal = journal_of(world)

    counts = checked(proof_of(world, trusted()), journal).counts

    verdicts = {entry.verdict for entry in entries_of(journal)}
    assert {"recorded", "refused", "duplicate", "parked"} <= verdicts
    assert (counts.entries, counts.refolded, counts.unproven) == (len(journal), 0, 0)
    assert counts.rejudged + counts.unjudged == len(journal)
    assert counts.signatures == sum(one.context.kid is not None for one in entries_of(journal))


def test_clocks_are_fired_again(world: World) -> None:
    """A timer has no input value; the state before it and the directory are enough."""
    asked = told(until="asked")
    asked.clock.advance(24 * 3600 + 1)
    settle(asked.worker())
    journal = journal_of(asked)

    counts = checked(proof_of(asked), journal).counts

    assert "fired" in {entry.verdict for entry in entries_of(journal)}
    assert counts.refolded == 0


def test_a_deployment_without_signatures_is_proven_too() -> None:
    """Nothing to prove about signers, everything else as before."""
    world = World(unsigned=True)
    world.send(e.a_request(), None, e.INTERRUPT_ID)
    command = e.a_decision()
    world.send(command, None, command.command_id)
    settle(world.worker())

    counts = checked(proof_of(world), journal_of(world)).counts

    assert (counts.signatures, counts.unproven, counts.refolded) == (0, 0, 0)
    assert counts.rejudged >= 2


def test_sessions_of_a_gateway_are_judged_again() -> None:
    """One gateway key, two people: told apart by their sessions, refused in the same one."""
    policy = e.a_policy_form()
    slot = {"role": "senior_reviewer", "scope": "notice:approve", "distinct_team": True}
    policy["rules"][0]["approvals"] = [slot, slot]
    gateway = KEYS["r.boss"].public_jwk(tenant_ids=[e.TENANT])
    agent = KEYS[e.AGENT].public_jwk(agent_id=e.AGENT, tenant_id=e.TENANT)
    keys = TrustedKeys.from_jwks({"keys": [gateway, agent]})
    world = World(policy=policy, keys=keys)
    worker = world.worker()
    world.request()
    settle(worker)
    for number, (who, session) in enumerate(
        [(e.REVIEWER, "one"), ("r.lind", "one"), ("r.lind", "two")]
    ):
        command = e.a_decision(
            reviewer_id=who, command_id=f"cmd-{number}", idempotency_key=f"key-{number}"
        )
        world.send(command, "r.boss", command.command_id, sub=who, sid=session)
    settle(worker)
    journal = journal_of(world)

    counts = checked(proof_of(world, keys), journal).counts

    decided = [one.verdict for one in entries_of(journal) if one.input.topic == "decision-command"]
    assert [verdict for verdict in decided if verdict != "tick"] == [
        "recorded",
        "refused",
        "recorded",
    ]
    assert (counts.refolded, counts.unproven) == (0, 0)


def test_older_rules_are_refolded_not_judged_again(world: World) -> None:
    """Entries of other rules still prove their chain and states."""
    journal = journal_of(world)
    journal = forged(journal, 0, rules_version=0)

    assert checked(proof_of(world), journal).counts.refolded == 1


def test_a_missing_entry_is_found(world: World) -> None:
    """The next one has the wrong number."""
    journal = journal_of(world)

    fault = fault_in(journal[:3] + journal[4:], world)

    assert (fault.seq, "expected seq 3" in fault.what) == (3, True)


def test_a_journal_cut_off_at_its_start_is_found(world: World) -> None:
    """The first entry must be number 0."""
    assert fault_in(journal_of(world)[1:], world).seq == 0


def test_swapped_entries_are_found(world: World) -> None:
    """Order is part of the chain."""
    journal = journal_of(world)
    journal[2], journal[3] = journal[3], journal[2]

    assert fault_in(journal, world).seq == 2


def test_a_journal_of_another_topic_is_found(world: World) -> None:
    """The genesis binds it to its cluster and topic, so a copy does not pass for it."""
    journal = journal_of(world)
    world.cluster.journal_id = "another topic"

    fault = fault_in(journal, world)

    assert (fault.seq, fault.what) == (0, "does not follow the entry before it")


def test_an_altered_byte_is_found(world: World) -> None:
    """An entry whose content is not what was hashed."""
    journal = journal_of(world)
    entry = entries_of(journal)[2]
    altered = entry.model_copy(update={"verdict": "refused"})
    journal[2] = replace(journal[2], value=encode(altered))

    assert fault_in(journal, world).what == "its content is not what was hashed"


def test_garbage_is_found(world: World) -> None:
    """Something else than an entry."""
    journal = journal_of(world)
    journal[1] = replace(journal[1], value=b"\x00garbage")

    assert "no journal entry" in fault_in(journal, world).what


Alter = Callable[[JournalEntry], dict[str, Any]]


def _without_events(entry: JournalEntry) -> dict[str, Any]:
    return {"events": []}


def _another_authority(entry: JournalEntry) -> dict[str, Any]:
    events = []
    for raw in entry.events:
        event = decode_any(raw)
        if isinstance(event, HumanDecisionEvent):
            event = event.model_copy(update={"reviewer_roles": ["head_of_enforcement"]})
        events.append(encode(event))
    return {"events": events}


def _another_grant(entry: JournalEntry) -> dict[str, Any]:
    events = []
    for raw in entry.events:
        event = decode_any(raw)
        if isinstance(event, ToolGateEvent):
            event = event.model_copy(update={"grant_jws": "e30.e30.e30"})
        events.append(encode(event))
    return {"events": events}


def _another_verdict(entry: JournalEntry) -> dict[str, Any]:
    return {"verdict": "refused"}


def _another_state(entry: JournalEntry) -> dict[str, Any]:
    return {"state_digest": "00" * 32}


def _another_signer(entry: JournalEntry) -> dict[str, Any]:
    return {"context": entry.context.model_copy(update={"signer_id": "r.lind"})}


def _another_time(entry: JournalEntry) -> dict[str, Any]:
    late = e.at(30 * 24 * 3600)
    return {"input": entry.input.model_copy(update={"append_time": late})}


def _another_value(entry: JournalEntry) -> dict[str, Any]:
    value = encode(e.a_decision(comment="Other words, same signature."))
    return {"input": entry.input.model_copy(update={"value": value})}


def _an_earlier_position(entry: JournalEntry) -> dict[str, Any]:
    return {"next_offsets": dict.fromkeys(entry.next_offsets, 0)}


def _less_known(name: str) -> Alter:
    def alter(entry: JournalEntry) -> dict[str, Any]:
        return {"context": entry.context.model_copy(update={name: 0})}

    return alter


def _an_audit_that_is_none(entry: JournalEntry) -> dict[str, Any]:
    return {"context": entry.context.model_copy(update={"sampled": True})}


@pytest.mark.parametrize(
    ("alter", "what"),
    [
        (_without_events, "state after it"),
        (_another_authority, "rules do not make"),
        (_another_grant, "grant claims"),
        (_another_verdict, "rules do not make"),
        (_another_state, "state after it"),
        (_another_signer, "signature is not over this input"),
        (_another_time, "rules do not make"),
        (_another_value, "signature is not over this input"),
        (_an_earlier_position, "falls"),
        (_less_known("policy_offset"), "policy_offset falls"),
        (_less_known("directory_offset"), "directory_offset falls"),
        (_an_audit_that_is_none, "its audit"),
    ],
)
def test_an_alteration_is_found_though_every_hash_was_made_to_fit(
    world: World, alter: Alter, what: str
) -> None:
    """Who may write the topic can hash anything; they cannot make the rules say it."""
    journal = journal_of(world)
    number = seq_of(journal, "recorded", DECISION)
    altered = forged(journal, number, **alter(entries_of(journal)[number]))

    fault = fault_in(altered, world)

    assert (fault.seq, what in fault.what) == (number, True), fault.what


def test_a_decision_by_a_key_that_never_signed_it_is_found(world: World) -> None:
    """With the trusted keys a signature is proven, not only its claims."""
    journal = journal_of(world)
    number = seq_of(journal, "recorded", DECISION)
    entry = entries_of(journal)[number]
    headers = [
        h.model_copy(update={"value": h.value[:-8] + b"AAAAAAAA"})
        if h.name == "countersign-signature" and h.value
        else h
        for h in entry.input.headers
    ]
    altered = forged(journal, number, input=entry.input.model_copy(update={"headers": headers}))

    assert "signature is not good" in fault_in(altered, world, keys=trusted()).what
    assert checked(proof_of(world), altered).counts.unproven > 0


def test_signatures_of_keys_that_left_the_set_are_counted_not_refused(world: World) -> None:
    """A key that was taken out later does not make yesterday's journal wrong."""
    counts = checked(proof_of(world, TrustedKeys.of([])), journal_of(world)).counts

    assert (counts.signatures, counts.unproven > 0) == (0, True)


def test_a_policy_exchanged_afterwards_is_found(world: World) -> None:
    """The judgement rests on the policy of its time, and the journal has its digest."""
    journal = journal_of(world)
    log = directories_of(world)
    document = log.policies[0].record
    assert isinstance(document, PolicyDocument)
    other = document.document_json.replace("senior_reviewer", "reviewer")
    altered = document.model_copy(update={"document_json": other})
    log.policies[0] = replace(log.policies[0], record=altered)
    proof = proof_of(world)
    proof.directory_at = log.at

    with pytest.raises(JournalFault) as caught:
        checked(proof, journal)

    assert "not those of now" in caught.value.what


def test_a_dead_letter_judges_nothing(world: World) -> None:
    """An entry that claims to have passed its input on cannot change a state."""
    journal = journal_of(world)
    number = seq_of(journal, "recorded", DECISION)

    assert "judges nothing" in fault_in(forged(journal, number, verdict="tick"), world).what
