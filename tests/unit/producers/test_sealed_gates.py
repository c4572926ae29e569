"""The guard and sealed arguments: acted on as they say, recorded as they are, never without a key."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from producers.guard import Denied, ExecutorGuard, NotDone, Permit
from producers.sealed_records import Sealing
from producers.sealing import Subject, pseudonym_in
from producers.subject_keys import Erased, SubjectKeyFiles
from producers.trusted_keys import KeysUnavailable
from schemas.canonical import parse_json_strict
from schemas.events import ToolGateEvent
from schemas.execution import GrantTake, Receipt, ToolDenied, ToolFailed
from tests import examples as e
from tests.unit.producers.executors import World, an_open_gate

SUBJECT = Subject.of(e.TENANT, "case:case-5512")


class _Keys(SubjectKeyFiles):
    """Keys that are erased, or out of reach, after so many looks."""

    left: int = 1000
    then: Exception | Erased = Erased("2026-03-02T09:00:00Z")

    def find(self, subject: Subject) -> bytes | Erased | None:
        self.left -= 1
        if self.left >= 0:
            return super().find(subject)
        if isinstance(self.then, Exception):
            raise self.then
        return self.then


@pytest.fixture
def keys(tmp_path: Path) -> _Keys:
    """An empty store."""
    return _Keys(tmp_path / "subjects")


def gate_of(world: World, keys: _Keys) -> ToolGateEvent:
    """A gate with the story's arguments, sealed, and one number."""
    call = Sealing(keys).request(e.a_request()).package.tool_call
    assert call is not None
    args: Any = parse_json_strict(call.args_json)
    gate = an_open_gate(**args, copies=2)
    world.opened[str(gate.grant_id)] = gate
    return gate


def guard_of(world: World, keys: _Keys | None) -> ExecutorGuard:
    """The story's executor, with keys of subjects or without."""
    return replace(world.guard(), sealing=Sealing(keys) if keys else None)


def receipts(world: World) -> list[Receipt]:
    """What was reported."""
    return [record for record, _, _ in world.wire.published if isinstance(record, Receipt)]


def test_the_arguments_say_what_they_say(monkeypatch: pytest.MonkeyPatch, keys: _Keys) -> None:
    """The grant keeps what was approved; words of the receipt are sealed too, and fit."""
    world = World(monkeypatch)
    guard = guard_of(world, keys)
    permit = guard.take(gate_of(world, keys))
    assert isinstance(permit, Permit)
    assert dict(permit.args) == e.notice_args(copies=2)
    assert pseudonym_in(permit.grant.args["body"]) == SUBJECT.pseudonym

    with pytest.raises(NotDone), guard.acting(permit):
        raise NotDone(f"{permit.args['recipient']} is closed. " * 400)
    guard.executed(permit, detail=f"sent to {e.RECIPIENT}")

    for receipt in receipts(world):
        assert pseudonym_in(receipt.detail or "") == SUBJECT.pseudonym
        said = Sealing(keys).opened(receipt.detail or "", e.TENANT)
        assert said.startswith((e.RECIPIENT, "sent to"))


def test_who_cannot_read_them_does_not_take(monkeypatch: pytest.MonkeyPatch, keys: _Keys) -> None:
    """By `serve` the denial goes on record, with its reason."""
    world = World(monkeypatch)
    gate = gate_of(world, keys)

    denied = guard_of(world, None).take(gate)

    assert isinstance(denied, Denied) and denied.code == "SEALED"
    assert "COUNTERSIGN_SUBJECT_KEYS" in denied.why
    assert world.published(GrantTake) == []
    loop = world.loop(lambda _: pytest.fail("acted"))
    world.hear(gate)
    loop.run_once(0)
    [receipt] = world.published(ToolDenied)
    assert "sealed" in receipt.reason


@pytest.mark.parametrize("then", [Erased("2026-03-02T09:00:00Z"), KeysUnavailable("away")])
def test_what_is_erased_in_between_is_not_done(
    monkeypatch: pytest.MonkeyPatch, keys: _Keys, then: Exception | Erased
) -> None:
    """The take stands, nothing is done, and the receipt says so."""
    world = World(monkeypatch)
    gate = gate_of(world, keys)
    keys.left, keys.then = 1, then  # one look before the take

    denied = guard_of(world, keys).take(gate)

    assert isinstance(denied, Denied) and denied.taken
    [failed] = receipts(world)
    assert isinstance(failed, ToolFailed)
    assert str(failed.detail) == denied.why


def test_an_attempt_of_ones_own_waits_for_the_store(
    monkeypatch: pytest.MonkeyPatch, keys: _Keys
) -> None:
    """It finds its own take again, so it may ask again."""
    world = World(monkeypatch)
    gate = gate_of(world, keys)
    keys.left, keys.then = 1, KeysUnavailable("away")
    guard = guard_of(world, keys)

    with pytest.raises(KeysUnavailable):
        guard.take(gate, attempt_id="mine")
    keys.left = 1000

    assert isinstance(guard.take(gate, attempt_id="mine"), Permit)
