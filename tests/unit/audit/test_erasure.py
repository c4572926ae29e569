"""A subject is erased: the journal proves as before, and nobody can read what it was about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from consumers.audit.trail import audited
from producers.sealed_records import Sealing, readable
from producers.sealing import Subject
from producers.subject_keys import SubjectKeyFiles
from schemas.events import ToolGateEvent
from schemas.topics import TOPICS
from tests import examples as e
from tests.unit.audit.stories import gate_of, history_of, journal_of, proof_of
from tests.unit.control.world import World, settle, trusted

NAME = "case:case-5512"
WORDS = "Their daughter told me so."
PLANTED = (e.RECIPIENT, "permitted discharge", "Harbour Freight", WORDS, "rain", "site 12")


def told(sealing: Sealing) -> World:
    """The story with every sender sealing."""
    world = World()
    worker = world.worker()
    request = sealing.request(e.a_request())
    world.send(request, e.AGENT, request.interrupt_id)
    settle(worker)
    assert request.package.tool_call is not None
    digest = e.digest_of(request.package.tool_call)
    command = sealing.command(e.a_decision(comment=WORDS, action_digest=digest), NAME)
    world.send(command, e.REVIEWER, command.command_id)
    settle(worker)
    world.take(gate_of(world).grant_id or "")
    settle(worker)
    return world


def everything(world: World) -> bytes:
    """Every byte of every topic."""
    return b"".join(
        part
        for topic in TOPICS
        for record in world.cluster.records(topic)
        for part in (record.key or b"", record.value or b"", *(v or b"" for _, v in record.headers))
    )


def test_no_copy_is_left_and_the_chain_still_proves(tmp_path: Path) -> None:
    """Before and after: the same journal, the same proof; only what can be read differs."""
    sealing = Sealing(SubjectKeyFiles(tmp_path / "subjects", clock=lambda: e.NOW))
    world = told(sealing)
    assert [gate.gate for gate in world.all(ToolGateEvent)] == ["opened", "consumed"]
    stored = everything(world)
    assert not [text for text in PLANTED if text.encode() in stored]

    def shown() -> Any:
        return readable(audited(history_of(world)).answers, e.TENANT, sealing)

    assert WORDS in repr(shown()) and e.RECIPIENT in repr(shown())
    assert sealing.keys.erase(Subject.of(e.TENANT, NAME))

    proof = proof_of(world, trusted())
    for read in journal_of(world):
        proof.check(read)
    assert proof.counts.rejudged > 0 and proof.counts.unproven == 0
    assert shown()["what_was_proposed"]["title"] == "erased on 2026-03-02T09:00:00Z"
    assert not [text for text in PLANTED if text in repr(shown())]
    assert "sealed:1:" not in repr(shown())
