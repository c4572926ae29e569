"""Keys that change while the worker runs; keys that cannot be read; a worker that believes anyone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from consumers.control.loop import Worker
from consumers.control.main import run
from consumers.control.ports import Unavailable
from consumers.health import Health
from consumers.metrics import Metrics
from consumers.settings import SettingsError, load
from core.governing import Trust
from core.jwk import TrustedKeys
from producers.keys import write_key
from schemas.events import CommandRefused, HumanDecisionEvent
from schemas.headers import UNSIGNED
from tests import examples as e
from tests.fakes.memory_broker import MemoryBroker
from tests.unit.audit.stories import journal_of, proof_of
from tests.unit.control.test_codes import Desk
from tests.unit.control.world import KEYS, World, settle

PUBLISHED = (
    "human.decision_recorded",
    "tool-gate",
    "interrupt-status",
    "review-task",
    "command-refused",
    "audit-journal",
)


def marked(keys: TrustedKeys, kid: str, **over: object) -> TrustedKeys:
    """The keys with one of them changed."""
    by_kid = dict(keys.by_kid)
    by_kid[kid] = replace(by_kid[kid], **over)  # type: ignore[arg-type]  # fields of TrustedKey
    return TrustedKeys(by_kid)


def test_a_revoked_keys_later_records_fail_and_its_earlier_ones_stand() -> None:
    """By append time, without a restart; the journal names the key of each."""
    desk, kid = Desk().asks(), KEYS[e.REVIEWER].kid
    world = desk.world
    desk.says(e.a_decision, decision="request_more_evidence", comment="more")
    desk.asks(interrupt_id="int-2", package=e.a_package(version=2))
    # Appended in time, handled when the key is known to be compromised already.
    command = e.a_decision(command_id="in-time", idempotency_key="in-time",
                           expected_package_version=2, decision="escalate")  # fmt: skip
    world.send(command, e.REVIEWER, "in-time")
    world.clock.advance(10)
    world.keys = marked(world.keys, kid, compromised_at=world.clock())
    desk.says(e.a_decision, expected_package_version=2)

    answers = [r.command_id for r in world.all(HumanDecisionEvent)]
    assert answers == ["cmd-1", "in-time"]
    [refusal] = world.all(CommandRefused)
    assert (refusal.code, refusal.command_id) == ("UNAUTHENTICATED", "cmd-2")
    kids = [entry.context.kid for entry in world.journal()]
    assert kids.count(kid) == 2
    assert kids[-1] is None


def test_a_journal_stays_provable_when_its_keys_are_revoked() -> None:
    """The signatures are still good; only later ones are not believed."""
    desk = Desk().approved()
    keys = desk.world.keys
    for key in KEYS.values():
        if key.kid in keys.by_kid:
            keys = marked(keys, key.kid, compromised_at=e.at(1), valid_until=e.at(2))

    proof = proof_of(desk.world, keys)
    for read in journal_of(desk.world):
        proof.check(read)

    assert (proof.counts.signatures, proof.counts.unproven) == (2, 0)


def test_a_new_key_is_believed_from_its_beginning_on() -> None:
    """Rotation: the new one beside the old one, each for its time."""
    desk, kid = Desk().asks(), KEYS[e.REVIEWER].kid
    desk.world.keys = marked(desk.world.keys, kid, valid_from=e.at(3600))
    desk.says(e.a_decision)
    desk.waits(3600).says(e.a_decision)

    assert [r.command_id for r in desk.world.all(CommandRefused)] == ["cmd-1"]
    assert [d.command_id for d in desk.world.all(HumanDecisionEvent)] == ["cmd-2"]


@dataclass
class DarkWorld(World):
    """A world whose trusted keys can be out of reach."""

    dark: bool = True
    health: Health = field(default_factory=lambda: Health(stalled_after_s=60))

    def trust(self) -> Trust:
        """Raises Unavailable while it is dark."""
        if self.dark:
            raise Unavailable("keys", "the key server is away")
        return super().trust()

    def watched(self) -> Worker:
        """A worker whose health can be seen."""
        return Worker(
            MemoryBroker(self.cluster), self.store, make_judge=self.judge, trust=self.trust,
            clock=self.clock, health=self.health, metrics=Metrics(CollectorRegistry()),
        )  # fmt: skip


def test_without_keys_nothing_is_judged_and_nothing_is_lost() -> None:
    """Not ready, idle or not; a refusal would be for ever. When the keys are there, it goes on."""
    world = DarkWorld()
    worker = world.watched()
    settle(worker)
    idle = dict(world.health.problems)
    world.request()
    settle(worker)
    waiting, judged = dict(world.health.problems), len(world.journal())
    world.dark = False
    settle(worker)

    assert idle == waiting == {"keys": "the key server is away"}
    assert (judged, len(world.journal())) == (0, 1)
    assert world.all(CommandRefused) == []
    assert world.health.problems == {}


def test_what_a_worker_writes_while_it_believes_anyone_is_marked() -> None:
    """Each event and journal entry, also those that answer a signed record."""
    world = World(unsigned=True)
    worker = world.worker()
    world.send(e.a_request(), None, e.INTERRUPT_ID)
    settle(worker)
    world.decide()
    settle(worker)
    world.send(e.a_decision(command_id="cmd-2"), None, "cmd-2")
    settle(worker)
    outputs = [record for topic in PUBLISHED for record in world.cluster.records(topic)]

    assert {record.topic for record in outputs} == set(PUBLISHED)
    assert all((UNSIGNED, b"1") in record.headers for record in outputs)


def test_otherwise_nothing_is_marked() -> None:
    """The mark means something."""
    world = Desk().approved().world
    outputs = [record for topic in PUBLISHED for record in world.cluster.records(topic)]

    assert outputs
    assert not any(name == UNSIGNED for record in outputs for name, _ in record.headers)


def test_anyone_is_believed_only_on_this_machine(tmp_path: Path) -> None:
    """The worker refuses to start: a broker elsewhere has other writers."""
    write_key(tmp_path / "grant.pem", KEYS["grant"])
    settings = load(
        {
            "COUNTERSIGN_GRANT_KEY": str(tmp_path / "grant.pem"),
            "COUNTERSIGN_BOOTSTRAP_SERVERS": "127.0.0.1:9092,broker.example:9092",
        }
    )

    with pytest.raises(SettingsError, match="only with a broker on this machine"):
        run(settings, insecure_unsigned=True)
    with pytest.raises(SettingsError, match="COUNTERSIGN_TRUSTED_KEYS: not set"):
        run(settings)
