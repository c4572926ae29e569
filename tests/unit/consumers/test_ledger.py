"""The ledger of what the real worker and its executors left in the log."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from consumers.ledger import LedgerReader
from consumers.reconciling import Ledger, differences
from schemas.topics import partition_for, record_key
from tests import examples as e
from tests.stories.stage import SENIOR, Stage
from tests.stories.tales import TALES
from tests.unit.audit.stories import read_of
from tests.unit.control.world import World


def ledger_of(world: World, tenant_id: str | None = None) -> Ledger:
    """The ledger, read in the order of the command."""
    reader = LedgerReader(tenant_id)
    for topic in ("tool-execution", "notice.sent"):
        for record in world.cluster.records(topic):
            reader.receipt(topic, replace(read_of(record), topic=f"prefix.{topic}"))
    for record in world.cluster.records("command-refused"):
        reader.refusal(read_of(record))
    for record in world.cluster.records("tool-gate"):
        reader.gate(read_of(record))
    return reader.ledger()


def kinds(world: World, tenant_id: str | None = None) -> list[str]:
    """The kinds of differences, a day later."""
    found = differences(ledger_of(world, tenant_id), world.clock() + timedelta(days=1))
    return [one.kind for one in found]


def approved(*, taken: bool = True) -> Stage:
    """A grant is there, and taken."""
    stage = Stage()
    stage.request()
    stage.decide(SENIOR, "approve")
    if taken:
        stage.take()
    return stage


DIFFERENT = {"reported_without_take": ["without_take", "not_reported"]}
"""Tales in which an executor does what it must not."""


@pytest.mark.parametrize("name", TALES)
def test_the_tales_agree_unless_an_executor_misbehaves(name: str) -> None:
    """Grants, takes and receipts of whole stories."""
    stage = TALES[name]()
    takes = stage.gates().count("consumed")
    ledger = ledger_of(stage.world)

    found = {one.kind for one in differences(ledger, stage.world.clock())}

    assert found == set(DIFFERENT.get(name, []))
    assert (len(ledger.opened), len(ledger.consumed)) == (stage.gates().count("opened"), takes)


def test_a_take_without_a_receipt_is_found() -> None:
    """By the log alone."""
    assert kinds(approved().world) == ["not_reported"]


def test_another_action_is_found() -> None:
    """The worker refused the receipt; the executor has done it all the same."""
    stage = approved()
    stage.receipt(e.an_executed, action_digest="bb" * 32)

    assert kinds(stage.world) == ["other_action"]


def test_a_forged_receipt_is_nobodys_word() -> None:
    """Unsigned, with the id of the good one: it neither accuses nor hides anybody."""
    stage = approved(taken=False)
    grant_id = stage.opened().grant_id
    forged = e.an_executed(grant_id=grant_id)
    stage.world.send(forged, None, forged.event_id)
    stage.settle()
    innocent = kinds(stage.world)
    stage.receipt(e.an_executed)

    assert innocent == []
    assert kinds(stage.world) == ["without_take"]


def test_a_misrouted_receipt_is_known_by_where_it_first_stood() -> None:
    """Forwarded, judged and refused under its first coordinates."""
    stage = approved(taken=False)
    forged = e.an_executed(grant_id=stage.opened().grant_id)
    right = partition_for(record_key(e.TENANT, e.PACKAGE_ID), 2)
    stage.world.send(forged, None, forged.event_id, partition=1 - right)
    stage.settle()

    assert stage.codes() == ["UNAUTHENTICATED"]
    assert kinds(stage.world) == []


def test_one_tenant_alone_can_be_asked_for() -> None:
    """The other's are left out."""
    world = approved().world

    assert kinds(world, e.TENANT) == ["not_reported"]
    assert kinds(world, "other") == []


def test_garbage_on_the_topics_is_passed_over() -> None:
    """It is a dead letter; nobody acts on it."""
    stage = approved()
    stage.world.cluster.append("tool-execution", 0, b"k", b"garbage")
    stage.world.cluster.append("tool-execution", 0, b"k", None)

    assert kinds(stage.world) == ["not_reported"]
