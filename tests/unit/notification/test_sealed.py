"""Notices whose arguments were sealed: sent as they say, recorded as they are, never after erasure."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from consumers.notification.mailer import PermanentFailure, TemporaryFailure
from producers.sealed_records import Sealing
from producers.sealing import Subject
from producers.subject_keys import SubjectKeyFiles
from schemas.canonical import parse_json_strict
from schemas.execution import NoticeFailed, NoticeSent, ToolDenied
from tests import examples as e
from tests.unit.notification.life import Life
from tests.unit.notification.world import World

SUBJECT = Subject.of(e.TENANT, "case:case-5512")
SAID = f"550 <{e.RECIPIENT}> unknown"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """With keys of subjects."""
    return World(sealing=Sealing(SubjectKeyFiles(tmp_path / "subjects")))


def sealed_args(world: World) -> dict[str, Any]:
    """The story's arguments as the agent publishes them."""
    assert world.sealing is not None
    call = world.sealing.request(e.a_request()).package.tool_call
    assert call is not None
    args = parse_json_strict(call.args_json)
    assert isinstance(args, dict)
    return args


def erase(world: World) -> None:
    """Destroys the subject's key."""
    assert world.sealing is not None
    assert world.sealing.keys.erase(SUBJECT)


def logged(world: World) -> bytes:
    """Every byte in Kafka."""
    return b"".join(heard.value or b"" for log in world.logs.values() for heard in log)


def test_the_mail_says_the_text_and_the_receipt_does_not(world: World) -> None:
    """Its recipient and id are what stands in the approved arguments."""
    args = sealed_args(world)
    world.open_gate(args=args)
    Life(world).turns()

    [mail] = world.mails
    assert mail.recipient == e.RECIPIENT and b"EN-2041" in mail.message
    [sent] = world.receipts()
    assert isinstance(sent, NoticeSent)
    assert (sent.recipient, sent.notice_id) == (args["recipient"], args["notice_id"])
    assert e.RECIPIENT.encode() not in logged(world)


def test_what_a_mail_server_says_is_not_recorded(world: World) -> None:
    """It repeats the address."""
    world.outcomes = [PermanentFailure("the recipient was answered with 550", SAID)]
    world.open_gate(args=sealed_args(world))
    Life(world).turns()

    [failed] = world.receipts()
    assert isinstance(failed, NoticeFailed)
    assert failed.reason == "the recipient was answered with 550"
    assert e.RECIPIENT.encode() not in logged(world)


@pytest.mark.parametrize("setting", [True, False])
def test_without_the_key_it_is_denied_and_not_taken(world: World, *, setting: bool) -> None:
    """Somebody who has it may still act; the reason says what is missing."""
    world.open_gate(args=sealed_args(world))
    if setting:
        erase(world)
    else:
        world.sealing = None
    Life(world).turns()

    [denied] = world.receipts()
    assert isinstance(denied, ToolDenied)
    assert ("erased on" if setting else "COUNTERSIGN_SUBJECT_KEYS") in denied.reason
    assert world.mails == [] and world.taken == {}


def test_what_is_erased_while_it_waits_is_not_sent(world: World) -> None:
    """Between two tries: a failed notice, no further mail."""
    world.outcomes = [TemporaryFailure("answered with 451", SAID)]
    world.open_gate(args=sealed_args(world))
    life = Life(world)
    life.turns(4, every=timedelta(0))
    assert world.outcomes == []

    erase(world)
    life.turns()

    [failed] = world.receipts()
    assert isinstance(failed, NoticeFailed) and "erased on" in failed.reason
    assert world.mails == []


def test_a_key_store_that_is_away_is_waited_for(world: World, tmp_path: Path) -> None:
    """Neither sent nor refused; /readyz names it; then sent."""
    world.open_gate(args=sealed_args(world))
    (tmp_path / "subjects").rename(tmp_path / "away")
    (tmp_path / "subjects").touch()
    life = Life(world)
    life.turns(5)
    assert (world.mails, world.receipts(), list(life.health.problems)) == ([], [], ["subject keys"])

    (tmp_path / "subjects").unlink()
    (tmp_path / "away").rename(tmp_path / "subjects")
    life.turns()

    assert len(world.mails) == 1 and not life.health.problems
