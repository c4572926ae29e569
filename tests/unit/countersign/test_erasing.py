"""With COUNTERSIGN_SUBJECT_KEYS set: what commands send and show, and `audit erase`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from consumers.queue import UnknownControlPoint
from core.directory import Directory
from countersign.deployment import Deployment
from producers.sealed_records import Sealing
from producers.sealing import Subject, pseudonym_in
from producers.subject_keys import SubjectKeyFiles
from schemas.codec import encode
from schemas.commands import HumanDecisionCommand
from schemas.model import Record
from schemas.requests import InterruptRequested
from schemas.state import ControlPointState
from tests import examples as e
from tests.examples.tasks import an_open
from tests.unit.countersign.command import Command, Ran
from tests.unit.producers.clients import wired

ON = {"SUBJECT_KEYS": "subjects"}
ERASE = ("audit", "erase", "case:case-5512", "--tenant", e.TENANT)
DECIDE = ("decide", e.PACKAGE_ID, "--tenant", e.TENANT, "--as", e.REVIEWER, "--version", "1",
          "--decision", "reject", "--comment", "a word")  # fmt: skip


@pytest.fixture
def sealing() -> Sealing:
    """The keys of the setting."""
    return Sealing(SubjectKeyFiles(Path("subjects")))


def answered(record: Record) -> list[Record]:
    """The worker takes what it is sent."""
    if isinstance(record, InterruptRequested):
        return [e.a_status()]
    assert isinstance(record, HumanDecisionCommand)
    return [e.a_decision_event(command_id=record.command_id, comment=record.comment)]


def queue_with(patch: pytest.MonkeyPatch, state: ControlPointState | None) -> None:
    """The control points: one, or none yet."""

    class Queue:
        def find(self, tenant_id: str | None, some_id: str) -> ControlPointState:
            if state is None:
                raise UnknownControlPoint(some_id)
            return state

    patch.setattr(Deployment, "queue", lambda _: Queue())


def test_a_request_is_sealed_before_it_is_sent(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And twice is the same record, so that asking again does no harm."""
    wire = wired(monkeypatch, answered)
    Path("r.json").write_text(e.a_request().model_dump_json(), encoding="utf-8")

    for _ in range(2):
        ran = command("request", "r.json", settings=ON)
        assert ran.code == 0, ran.err

    [first, second] = [record for record, _, _ in wire.published]
    assert isinstance(first, InterruptRequested) and first == second
    assert pseudonym_in(first.package.title)


def test_a_reviewers_words_are_sealed_and_told(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the package's subject; the answer is readable."""
    queue_with(monkeypatch, an_open(e.PACKAGE_ID))
    wire = wired(monkeypatch, answered)

    ran = command(*DECIDE, "--json", settings=ON)

    [(sent, _, _)] = wire.published
    assert isinstance(sent, HumanDecisionCommand)
    assert pseudonym_in(sent.comment or "") == Subject.of(e.TENANT, "case:case-5512").pseudonym
    assert (ran.code, ran.json["comment"]) == (0, "a word")


def test_words_about_nobody_known_are_not_sent(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 2 with the mend; nothing left this machine."""
    queue_with(monkeypatch, None)
    wire = wired(monkeypatch, answered)

    ran = command(*DECIDE, settings=ON)

    assert (ran.code, wire.published) == (2, [])
    assert "once the package is open, or without the words" in ran.err


def test_an_erasure_says_what_it_did_and_what_it_does_not_reach(
    command: Command, sealing: Sealing
) -> None:
    """Once and again; the date stays."""
    sealing.keys.make(Subject.of(e.TENANT, "case:case-5512"))

    first = command(*ERASE, "--yes", settings=ON)
    again = command(*ERASE, "--yes", "--json", settings=ON)

    assert first.code == again.code == 0
    assert "its key is destroyed" in first.out
    assert "backups" in first.err
    assert again.json["erased_now"] is False
    assert again.json["erased_on"] in first.out
    assert any("mails that were sent" in line for line in again.json["not_reached"])


@pytest.mark.parametrize(
    ("argv", "settings", "code", "said"),
    [
        ((*ERASE, "--yes"), {}, 2, "COUNTERSIGN_SUBJECT_KEYS: not set"),
        (ERASE, ON, 2, "--yes: not given"),
        ((*ERASE, "--yes"), ON, 1, "no key; nothing was sealed for it"),
        (
            ("audit", "erase", "5512", "--tenant", "t", "--yes"),
            ON,
            2,
            "subject_type and subject_id",
        ),
        (ERASE, {"SUBJECT_KEYS": "https://x"}, 2, "COUNTERSIGN_SUBJECT_KEYS: must be a directory"),
        (ERASE, {"SUBJECT_KEYS": "redis://127.0.0.1:6379/0"}, 2, "which may be emptied"),
        (
            (*ERASE, "--yes"),
            {"SUBJECT_KEYS": "redis://:hunter2@127.0.0.1:9/1"},
            2,
            "its Redis does not answer",
        ),
    ],
)
def test_what_cannot_be_erased_is_said(
    command: Command, argv: tuple[str, ...], settings: dict[str, str], code: int, said: str
) -> None:
    """With its mend, and no secret of a URL."""
    ran = command(*argv, settings=settings)

    assert (ran.code, said in ran.err) == (code, True), ran.err
    assert "hunter2" not in ran.err


@pytest.mark.parametrize("shown", ["show", "decode"])
def test_people_read_the_text_or_when_it_was_erased(
    command: Command, sealing: Sealing, monkeypatch: pytest.MonkeyPatch, shown: str
) -> None:
    """And without the setting that it is sealed; digests stay those of what was published."""
    request = sealing.request(e.a_request())
    argv: tuple[str, ...]
    if shown == "decode":
        Path("v.bin").write_bytes(encode(request))
        argv = ("decode", "v.bin")
    else:
        state = an_open(e.PACKAGE_ID)
        assert state.accepted is not None
        accepted = state.accepted.model_copy(update={"request": request})
        queue_with(monkeypatch, state.model_copy(update={"accepted": accepted}))
        monkeypatch.setattr(Deployment, "directories", lambda _: _NoPeople())
        argv = ("interrupts", "show", e.PACKAGE_ID, "--json")

    def title(settings: dict[str, str]) -> Any:
        ran: Ran = command(*argv, settings=settings)
        assert ran.code == 0, ran.err
        return (ran.json if shown == "decode" else ran.json["request"])["package"]["title"]

    assert title(ON) == e.a_request().package.title
    assert title({}) == "sealed; no key here"
    erased = sealing.keys.erase(Subject.of(e.TENANT, "case:case-5512"))
    assert erased is not None
    assert title(ON) == f"erased on {erased.on}"


class _NoPeople:
    """Directories of which nothing is read."""

    def latest(self) -> Directory:
        """See DirectoryLog."""
        return Directory()
