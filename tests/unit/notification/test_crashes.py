"""What comes after a crash, a pause, a rebalance: never a second mail, never a silent end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from consumers.notification.mailer import (
    Ambiguous,
    Outcome,
    PermanentFailure,
    Sent,
    TemporaryFailure,
)
from producers.attempt import stable_attempt_id
from schemas.execution import GrantTake, NoticeFailed, NoticeSent, ToolInDoubt
from schemas.model import Record
from tests.examples import EXECUTOR
from tests.unit.notification.life import Life
from tests.unit.notification.world import Crash, World

ATTEMPT = stable_attempt_id("grant-1", EXECUTOR)
LATER = TemporaryFailure("the mail was answered with 451", "451 later")


@pytest.fixture
def world() -> World:
    return World()


def crashed(world: World, at: int, make: Callable[[], Life]) -> bool:
    """Runs a life until it crashes at its n-th step; False: it did not come so far."""
    world.steps.clear()
    world.crash_at = at
    try:
        make().turns(60)
    except Crash:
        return True
    finally:
        world.crash_at = None
    return False


def kinds(records: list[Record]) -> list[type[Record]]:
    """What kinds of records these are."""
    return [type(record) for record in records]


SCRIPTS: dict[str, list[Outcome]] = {
    "sent": [Sent()],
    "temporary, then sent": [LATER, LATER, Sent()],
    "permanent": [PermanentFailure("550", "550 no")],
    "ambiguous": [Ambiguous("cut")],
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_crash_at_any_step_and_at_any_step_of_the_next_life(script: str) -> None:
    """Two crashes anywhere: at most one mail, one word about it, and the word is true."""
    first = 0
    while True:
        first += 1
        second = 0
        while True:
            second += 1
            world = World(outcomes=list(SCRIPTS[script]))
            world.open_gate()
            came_so_far = crashed(world, first, lambda w=world: Life(w))  # type: ignore[misc]
            again = crashed(world, second, lambda w=world: Life(w))  # type: ignore[misc]
            Life(world).turns(60)
            check(world, script, f"crashes at {first} and {second}")
            if not again:
                break
        if not came_so_far:
            assert first > 8, "every step was a place to crash"
            return


def check(world: World, script: str, where: str) -> None:
    """What must hold at rest, whatever happened."""
    reported = set(kinds(world.receipts()))
    assert len(world.mails) <= 1, where
    assert len(reported) == 1, where
    assert len(world.records("notice.sent")) <= 1, where
    if NoticeSent in reported:
        assert len(world.mails) == 1, where
    if NoticeFailed in reported:
        assert not world.mails, where
        assert script == "permanent", where
    assert world.committed[0][1] == "", where


@pytest.mark.parametrize(
    ("step", "mails", "receipt"),
    [
        ("before commit", 1, NoticeSent),
        ("after commit", 1, NoticeSent),
        ("before grant.take", 1, NoticeSent),
        ("after grant.take", 1, NoticeSent),
        ("before mail", 0, ToolInDoubt),
        ("after mail", 1, ToolInDoubt),
        ("before notice.sent", 1, ToolInDoubt),
        ("after notice.sent", 1, NoticeSent),
    ],
)
def test_what_a_crash_at_each_step_leads_to(
    world: World, step: str, mails: int, receipt: type[Record]
) -> None:
    """Before "s" is kept it goes on; after it a human is asked, unless the receipt stands."""
    world.open_gate()
    probe = World()
    probe.open_gate()
    Life(probe).turns()
    crashed(world, probe.steps.index(step) + 1, lambda: Life(world))
    Life(world).turns()

    assert len(world.mails) == mails
    assert kinds(world.receipts()) == [receipt]


def test_a_zombie_does_not_send(world: World) -> None:
    """Who lost the partition while it waited for `consumed` fails at the fence."""
    world.worker_answers = False
    gate = world.open_gate()
    zombie = Life(world)
    zombie.turns(3)
    other = Life(world)
    world.consume(gate, ATTEMPT)
    zombie.turns()
    assert world.mails == []
    other.turns()

    assert len(world.mails) == 1
    assert kinds(world.receipts()) == [NoticeSent]


def test_a_zombie_does_not_call_it_failed(world: World) -> None:
    """A notice that its successor sent in time is not failed by who woke up too late."""
    world.outcomes = [TemporaryFailure("451", "451")]
    world.open_gate()
    zombie = Life(world)
    zombie.until(lambda: not world.outcomes)
    zombie.turns(1)
    Life(world).turns()
    world.now += world.execute_within
    zombie.turns()

    assert len(world.mails) == 1
    assert kinds(world.receipts()) == [NoticeSent]


def test_a_mail_on_its_way_when_the_partition_goes_is_still_reported(world: World) -> None:
    """It was sent, so NoticeSent is true, beside the doubt that its successor raised."""
    world.open_gate()
    first = Life(world)
    first.outbox.held = []
    first.until(lambda: bool(first.outbox.held))
    first.log.hear_of_revocation()
    first.turns()
    second = Life(world)
    second.turns()
    first.outbox.release()
    first.turns()
    second.turns()

    assert len(world.mails) == 1
    assert set(kinds(world.receipts())) == {ToolInDoubt, NoticeSent}
    assert first.notifier.at_rest


def test_a_failure_of_a_lost_partition_is_not_reported(world: World) -> None:
    """What its successor decides counts; a try that failed here says nothing."""
    world.outcomes = [PermanentFailure("550", "550")]
    world.open_gate()
    first = Life(world)
    first.outbox.held = []
    first.until(lambda: bool(first.outbox.held))
    first.log.hear_of_revocation()
    first.turns()
    first.outbox.release()
    first.turns()

    assert world.receipts() == []
    assert first.notifier.at_rest


def test_a_partition_that_comes_back_finds_its_mail_on_its_way(world: World) -> None:
    """A rebalance that changes nothing raises no doubt about a mail that is being sent."""
    world.open_gate()
    life = Life(world)
    life.outbox.held = []
    life.until(lambda: bool(life.outbox.held))
    life.log.hear_of_revocation()
    life.log.join()
    life.turns(3)
    life.outbox.release()
    life.turns()

    assert len(world.mails) == 1
    assert kinds(world.receipts()) == [NoticeSent]
    assert world.committed[0][1] == ""


def test_a_lost_memory_never_sends(world: World) -> None:
    """The group's offsets are gone, the gate was taken and nothing reported: in doubt."""
    world.open_gate()
    crashed(world, 5, lambda: Life(world))
    assert kinds(world.records("tool-execution")) == [GrantTake]
    world.committed.clear()
    mails = len(world.mails)
    Life(world).turns()

    assert len(world.mails) == mails
    assert kinds(world.receipts()) == [ToolInDoubt]


def test_a_lost_memory_of_what_was_reported_is_no_loss(world: World) -> None:
    """The receipts stand in the log: nothing is sent or reported again."""
    for number in range(1, 6):
        world.open_gate(number)
    Life(world).turns()
    reported = kinds(world.receipts())
    world.committed.clear()
    Life(world).turns()

    assert len(world.mails) == 5
    assert kinds(world.receipts()) == reported
    assert world.committed[0] == (10, "")


def test_a_duplicate_that_this_life_did_not_cause_is_in_doubt(world: World) -> None:
    """A take that is answered as a duplicate at once was somebody's who left no mark."""
    world.worker_answers = False
    world.open_gate()
    life = Life(world)
    life.turns(2)
    (take,) = world.records("tool-execution")
    assert isinstance(take, GrantTake)
    world.refuse(take, "DUPLICATE_COMMAND")
    life.turns()

    assert world.mails == []
    assert kinds(world.receipts()) == [ToolInDoubt]


def test_a_finished_gate_behind_an_unfinished_one_is_not_done_again(world: World) -> None:
    """The offset stays at the lowest unfinished gate; those after it are known by receipt."""
    world.outcomes = [LATER, Sent(), Sent()]
    for number in range(1, 4):
        world.open_gate(number)
    first = Life(world)
    first.until(lambda: len(world.records("notice.sent")) == 2, every=timedelta(0))
    first.turns(2, every=timedelta(0))
    assert world.committed[0] == (0, '{"0":"t"}')
    Life(world).turns(20)

    assert len(world.mails) == 3
    assert len({mail.message.split(b"Message-ID: ")[1][:60] for mail in world.mails}) == 3
    assert kinds(world.records("notice.sent")) == [NoticeSent] * 3


def test_marks_of_gates_that_were_not_read_again_yet_are_kept(world: World) -> None:
    """A commit in the first turn does not forget what the life before left."""
    world.worker_answers = False
    for number in range(1, 4):
        world.open_gate(number)
    Life(world).turns(3)
    marks = world.committed[0]
    second = Life(world)
    second.turns(1)

    assert marks == (0, '{"0":"t","1":"t","2":"t"}')
    assert world.committed[0] == marks


def test_metadata_of_somebody_else_stops_the_partition(world: World) -> None:
    """What cannot be read is not guessed at: nothing is sent, and /readyz says so."""
    world.open_gate()
    world.committed[0] = (0, "not ours")
    life = Life(world)
    life.turns()

    assert world.mails == []
    assert world.records("tool-execution") == []
    assert "partition 0" in life.health.problems


def test_draining_reports_what_is_on_its_way_and_begins_nothing(world: World) -> None:
    """A stop hands over the rest as it stands."""
    world.outcomes = [Sent(), Sent()]
    for number in range(1, 6):
        world.open_gate(number)
    life = Life(world)
    life.outbox.held = []
    life.until(lambda: len(life.outbox.held or []) == 2)
    life.notifier.draining = True
    life.turns(3)
    assert not life.notifier.at_rest
    life.outbox.release()
    life.until(lambda: life.notifier.at_rest)
    life.notifier.keep_all()
    assert len(world.mails) == 2
    assert kinds(world.receipts()) == [NoticeSent] * 2
    Life(world).turns(20)

    assert len(world.mails) == 5
    assert kinds(world.receipts()) == [NoticeSent] * 5
