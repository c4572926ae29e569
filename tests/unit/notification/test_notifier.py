"""The notifier in a world of its own: what it sends, what it never sends, what it reports."""

from __future__ import annotations

from datetime import timedelta

import pytest

from consumers.notification.mailer import Ambiguous, Outcome, PermanentFailure, TemporaryFailure
from producers.attempt import receipt_id, stable_attempt_id
from producers.keys import new_key
from schemas.execution import (
    GrantTake,
    NoticeFailed,
    NoticeSent,
    ToolDenied,
    ToolInDoubt,
)
from tests.examples import EXECUTOR, RECIPIENT, an_executed, notice_args
from tests.unit.notification.life import Life
from tests.unit.notification.world import World

LATER = TemporaryFailure("the mail was answered with 451", "451 later")


@pytest.fixture
def world() -> World:
    return World()


def test_an_open_gate_becomes_one_mail(world: World) -> None:
    """Take, own consumed, mail, NoticeSent; each once."""
    gate = world.open_gate()
    life = Life(world)
    life.turns()

    attempt_id = stable_attempt_id("grant-1", EXECUTOR)
    (sent,) = world.receipts()
    assert isinstance(sent, NoticeSent)
    assert sent.event_id == receipt_id(attempt_id, "notice-sent")
    assert (sent.attempt_id, sent.action_digest) == (attempt_id, gate.action_digest)
    assert (sent.recipient, sent.notice_id) == (RECIPIENT, "EN-2041")
    (mail,) = world.mails
    assert mail.recipient == RECIPIENT
    assert f"Message-ID: {sent.provider_message_id}".encode() in mail.message
    assert [type(record) for record in world.records("tool-execution")] == [GrantTake]
    assert world.committed[0] == (2, "")
    assert life.ended("notice_sent") == 1


def test_every_step_is_kept_before_it_is_done(world: World) -> None:
    """ "t" stands before the take, "s" before the mail, nothing after the receipt."""
    world.open_gate()
    life = Life(world)
    life.turns()

    first = [step for step in world.steps if not step.startswith("before")]
    assert first[:5] == [
        "after commit",
        "after grant.take",
        "after commit",
        "after mail",
        "after notice.sent",
    ]
    marks = [commit[0].metadata for commit in life.log.commits]
    assert marks[:2] == ['{"0":"t"}', '{"0":"s"}']
    assert marks[-1] == ""


def test_nothing_is_sent_before_the_own_consumed(world: World) -> None:
    """While the worker is silent the notifier waits."""
    world.worker_answers = False
    gate = world.open_gate()
    life = Life(world)
    life.turns()
    assert world.mails == []
    world.consume(gate, "attempt-of-another", executor=EXECUTOR)
    life.turns()

    assert world.mails == []
    assert world.receipts() == []
    assert life.ended("gate_taken_by_another") == 1


def test_a_consumed_for_another_action_is_no_permission(world: World) -> None:
    """The digest of the consumed must be that of the gate."""
    world.worker_answers = False
    gate = world.open_gate()
    life = Life(world)
    life.turns()
    altered = gate.model_copy(update={"action_digest": "00" * 32})
    world.consume(altered, stable_attempt_id("grant-1", EXECUTOR))
    life.turns()

    assert world.mails == []


@pytest.mark.parametrize("code", ["GRANT_TAKEN", "GRANT_REVOKED", "GRANT_EXPIRED", "UNKNOWN_GRANT"])
def test_a_refused_take_is_the_end(world: World, code: str) -> None:
    """Who may not take does not act, and has nothing to report."""
    world.worker_answers = False
    world.open_gate()
    life = Life(world)
    life.turns(2)
    (take,) = world.records("tool-execution")
    assert isinstance(take, GrantTake)
    world.refuse(take, code)
    life.turns()

    assert (world.mails, world.receipts()) == ([], [])
    assert world.committed[0] == (1, "")


@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_a_gate_that_closed_before_it_was_read_is_let_be(world: World, how: str) -> None:
    """The past is read to its end before anything is taken."""
    world.close(world.open_gate(), how)
    life = Life(world)
    life.turns()

    assert world.records("tool-execution") == []
    assert world.committed[0] == (2, "")


def test_gates_of_other_tools_and_tenants_are_passed_by(world: World) -> None:
    """What the key is not for is none of its business, and holds nothing up."""
    world.open_gate(1, tool_name="payment.send")
    world.open_gate(2, tenant_id="globex")
    life = Life(world)
    life.turns()

    assert world.records("tool-execution") == []
    assert world.committed[0] == (2, "")


@pytest.mark.parametrize(
    "args",
    [
        {"notice_id": "EN-1", "recipient": RECIPIENT, "subject": "s"},
        notice_args(recipient="not an address"),
        notice_args(subject="Notice\nBcc: everybody@evil.example"),
        notice_args(recipient=f"{RECIPIENT}\r\nBcc: x@evil.example"),
        notice_args(body=7),
    ],
)
def test_arguments_that_are_no_notice_are_denied(world: World, args: dict[str, object]) -> None:
    """They are never taken; the denial names the argument, not what it was."""
    world.open_gate(args=args)
    life = Life(world)
    life.turns()

    (denied,) = world.records("tool-execution")
    assert isinstance(denied, ToolDenied)
    assert "evil" not in denied.reason
    assert world.mails == []
    assert world.committed[0] == (1, "")


def test_a_grant_of_a_stranger_is_denied(world: World) -> None:
    """A gate whose grant is not signed by a trusted key is not taken."""
    world.open_gate(key=new_key())
    life = Life(world)
    life.turns()

    (denied,) = world.records("tool-execution")
    assert isinstance(denied, ToolDenied)


def test_altered_arguments_are_denied(world: World) -> None:
    """What would be sent must be what was approved."""
    altered = world.open_gate().args_json or ""
    other = World(grant_key=world.grant_key, executor_key=world.executor_key)
    other.open_gate(args_json=altered.replace("2041", "2042"))
    Life(other).turns()

    (denied,) = other.records("tool-execution")
    assert isinstance(denied, ToolDenied)
    assert other.mails == []


def test_an_unreachable_server_is_tried_until_it_is_back(world: World) -> None:
    """Exactly one mail and one NoticeSent, and the tries wait longer and longer."""
    world.outcomes = [TemporaryFailure("no session", ours=True)] * 5
    world.open_gate()
    life = Life(world)
    life.until(lambda: bool(world.mails))
    life.turns()

    assert len(world.mails) == 1
    assert [type(record) for record in world.receipts()] == [NoticeSent]
    marks = [commit[0].metadata for commit in life.log.commits if 0 in commit]
    assert marks.count('{"0":"s"}') == 6
    assert marks.count('{"0":"t"}') >= 5
    assert life.health.problems == {}


def test_execute_by_ends_the_tries(world: World) -> None:
    """NoticeFailed at that time, never before, and never a mail after it."""
    world.outcomes = [LATER] * 10_000
    world.execute_within = timedelta(minutes=10)
    world.open_gate()
    life = Life(world)
    end = world.now + timedelta(minutes=10)
    life.until(lambda: bool(world.receipts()))
    life.turns(100)

    (failed,) = world.receipts()
    assert isinstance(failed, NoticeFailed)
    assert failed.occurred_at >= end
    assert "451 later" in failed.reason
    assert world.mails == []


def test_a_permanent_refusal_fails_at_once(world: World) -> None:
    """What the server will not take is not tried again."""
    world.outcomes = [PermanentFailure("RCPT was answered with 550", "550 no such mailbox")]
    world.open_gate()
    life = Life(world)
    life.turns(40)

    (failed,) = world.receipts()
    assert isinstance(failed, NoticeFailed)
    assert failed.reason == "550 no such mailbox"
    assert world.mails == []


def test_an_ambiguous_try_is_in_doubt(world: World) -> None:
    """Nobody knows whether it was sent: a human is asked, it is not sent again."""
    world.outcomes = [Ambiguous("cut")]
    world.open_gate()
    life = Life(world)
    life.turns(40)

    (doubt,) = world.receipts()
    assert isinstance(doubt, ToolInDoubt)
    assert world.mails == []
    assert life.ended("notice_in_doubt") == 1


@pytest.mark.parametrize("what", ["commit", "publish", "acknowledge", "poll", "committed", "end"])
def test_a_broker_that_is_away_for_a_while(world: World, what: str) -> None:
    """Whatever fails for a minute, in the end there is one mail and its receipt."""
    world.open_gate()
    world.unavailable = {what}
    life = Life(world)
    life.turns(60)
    assert what == "acknowledge" or life.health.problems
    world.unavailable = set()
    life.turns(120)

    assert len(world.mails) == 1
    assert {type(record) for record in world.receipts()} == {NoticeSent}
    assert len(world.records("notice.sent")) == 1
    assert life.health.problems == {}


def test_grant_keys_that_cannot_be_read_judge_nothing(world: World) -> None:
    """An unreadable file is no reason to deny: it waits, and /readyz says why."""
    world.keys_unavailable = True
    world.open_gate()
    life = Life(world)
    life.turns()
    assert life.health.problems == {"grant keys": "the file is gone"}
    assert world.records("tool-execution") == []
    world.keys_unavailable = False
    life.turns()

    assert len(world.mails) == 1
    assert life.health.problems == {}


def test_many_gates_wait_their_turn(world: World) -> None:
    """No more than 32 are begun at once; the rest are read later, and all are sent."""
    outcomes: list[Outcome] = [LATER] * 400
    world.outcomes = outcomes
    for number in range(1, 101):
        world.open_gate(number)
    life = Life(world)
    life.turns(30)
    most = max(len(commit[0].marks) for commit in life.log.commits)
    world.outcomes = []
    life.until(lambda: len(world.mails) == 100)
    life.turns()

    assert most <= 32
    assert 0 not in life.log.paused
    assert len({mail.message for mail in world.mails}) == 100
    assert len(world.records("notice.sent")) == 100
    assert world.committed[0] == (200, "")


def test_a_full_partition_is_not_read_on(world: World) -> None:
    """While 32 wait for the mail server and 32 more for them, the partition is paused."""
    outcomes: list[Outcome] = [LATER] * 4000
    world.outcomes = outcomes
    for number in range(1, 101):
        world.open_gate(number)
    life = Life(world)
    life.turns(60)

    assert life.log.paused == {0}


def test_a_repeated_gate_is_one_gate(world: World) -> None:
    """The worker may write the same event again; the grant is taken once."""
    gate = world.open_gate()
    world.append(gate)
    life = Life(world)
    life.turns()
    world.append(gate)
    life.turns()

    assert len(world.mails) == 1
    assert [type(record) for record in world.receipts()] == [NoticeSent]


def test_another_ones_receipt_ends_nothing(world: World) -> None:
    """Only a receipt that this executor signed counts as having been reported."""
    gate = world.open_gate()
    attempt_id = stable_attempt_id("grant-1", EXECUTOR)
    world.consume(gate, attempt_id)
    forged = an_executed(
        grant_id="grant-1", attempt_id=attempt_id, decision_package_id="pkg-1", event_id="x"
    )
    world.append(forged, by=new_key())
    life = Life(world)
    life.turns()

    assert ToolInDoubt in {type(record) for record in world.receipts()}
    assert world.mails == []
