"""The signed commands: what they send, what they print, and how they end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from consumers.queue import UnknownControlPoint
from consumers.reading import Read
from countersign.deployment import Deployment
from producers.keys import new_key, write_key
from schemas.canonical import is_canonical
from schemas.codec import encode
from schemas.commands import Command, HumanOverrideCommand, ReviewTaskCommand
from schemas.events import ExceptionTerms
from schemas.model import Record
from schemas.registry import ce_type_of
from schemas.state import ControlPointState, GrantedException
from schemas.topics import record_key
from tests import examples as e
from tests.examples.tasks import an_open
from tests.unit.countersign.command import Command as Cli
from tests.unit.countersign.command import Ran
from tests.unit.producers.clients import Wire, wired

SHARED = ["--tenant", e.TENANT, "--as", e.REVIEWER, "--version", "1"]
EXCEPTION = ["--exception-id", "ex", "--policy", "p", "--exception", "q", "--justification", "j"]
OVERRIDE = ["--recommended", "a", "--instead", "b", "--reason", "r", "--evidence", "x"]

# Each command as it is typed, and fields of what it sends.
COMMANDS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "decide": (
        ["--decision", "defer", "--condition", "lab", "--until", "2027-01-01T00:00:00Z"],
        {"decision": "defer", "defer_condition": "lab"},
    ),
    "object": (["--comment", "c"], {"decision": "object", "comment": "c"}),
    "override": (
        [*OVERRIDE, "--evidence", "y"],
        {"override_decision": "b", "evidence_refs": ["x", "y"], "override_tool_call": None},
    ),
    "revoke": (["--reason", "r", "--grant", "g"], {"reason": "r", "grant_id": "g"}),
    "verdict": (
        ["--verdict", "disagree", "--comment", "c"],
        {"verdict": "disagree", "comment": "c"},
    ),
    "claim": ([], {"action": "claim"}),
    "release": ([], {"action": "release"}),
    "assign": (["--to", "r.lind"], {"action": "assign", "assignee": "r.lind"}),
    "comment": (["--comment", "t"], {"action": "comment", "comment": "t", "kind": "note"}),
    "present": (["--digest", "d"], {"action": "present", "presented_digest": "d"}),
    "recuse": (["--comment", "t"], {"action": "recuse", "comment": "t"}),
    "exception grant": (
        [*EXCEPTION, "--kind", "reopening", "--applies-to", "pkg-9",
         "--expires", "2027-01-01T00:00:00Z"],
        {"action": "grant", "exception_id": "ex", "kind": "reopening", "applies_to": "pkg-9"},
    ),
    "exception revoke": (EXCEPTION, {"action": "revoke", "policy_id": "p"}),
}  # fmt: skip
NAMES = sorted(COMMANDS)


def recorded(record: Record) -> list[Record]:
    """The worker records what it is sent."""
    assert isinstance(record, Command)
    if isinstance(record, ReviewTaskCommand):
        return [e.a_task_event(command_id=record.command_id, change="claimed", assigned_to="r.x")]
    return [e.a_decision_event(command_id=record.command_id)]


def refused(record: Record) -> list[Record]:
    """The worker refuses what it is sent."""
    assert isinstance(record, Command)
    return [e.a_refusal(command_id=record.command_id)]


class Desk:
    """A reviewer's shell, a worker that answers as it is told, and the control point."""

    def __init__(self, cli: Cli, patch: pytest.MonkeyPatch) -> None:
        self._cli = cli
        self._patch = patch
        self.state: ControlPointState | None = None
        self.asked = False
        patch.setattr(Deployment, "queue", lambda _: self)

    def find(self, tenant_id: str | None, some_id: str) -> ControlPointState:
        """The queue's."""
        self.asked = True
        if self.state is None:
            raise UnknownControlPoint(some_id)
        return self.state

    def answering(self, answering: Callable[[Record], list[Record]]) -> Wire:
        """What the worker does from here on."""
        return wired(self._patch, answering)

    def __call__(self, name: str, *more: str) -> Ran:
        """Types a command about the story's package."""
        return self._cli(*name.split(), e.PACKAGE_ID, *SHARED, *more)


@pytest.fixture
def desk(command: Cli, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Nothing asked for yet."""
    return Desk(command, monkeypatch)


@pytest.mark.parametrize("name", NAMES)
def test_a_command_sends_what_was_typed_and_prints_its_answer(desk: Desk, name: str) -> None:
    """Exit 0; JSON for programs, one line for people."""
    wire = desk.answering(recorded)
    options, fields = COMMANDS[name]

    ran = desk(name, *options, "--idempotency-key", "k-1", "--json")
    told = desk(name, *options)

    command = wire.published[0][0]
    assert isinstance(command, Command)
    assert fields == {field: getattr(command, field) for field in fields}
    assert (command.reviewer_id, command.tenant_id) == (e.REVIEWER, e.TENANT)
    assert (command.expected_package_version, command.idempotency_key) == (1, "k-1")
    assert (ran.code, ran.json["command_id"]) == (0, command.command_id)
    assert (told.code, told.out.count("\n")) == (0, 1)
    assert told.out.startswith(f"{e.PACKAGE_ID}: ")


def test_the_end_of_a_claim_is_told_in_utc(desk: Desk) -> None:
    """As every time is: RFC 3339 with Z."""

    def claimed(record: Record) -> list[Record]:
        assert isinstance(record, Command)
        return [
            e.a_task_event(
                command_id=record.command_id,
                change="claimed",
                assigned_to=e.REVIEWER,
                lease_until=e.at(60),
            )
        ]

    desk.answering(claimed)

    told = desk("claim")

    assert f"claimed, held by {e.REVIEWER} until 2026-03-02T09:01:00.000000Z, event" in told.out


@pytest.mark.parametrize("name", NAMES)
def test_a_refusal_is_exit_1_with_its_reason(desk: Desk, name: str) -> None:
    """It is the answer, on standard output."""
    desk.answering(refused)

    ran = desk(name, *COMMANDS[name][0])

    assert (ran.code, "refused: SEPARATION_OF_DUTIES" in ran.out) == (1, True)


@pytest.mark.parametrize("name", NAMES)
def test_no_outcome_is_exit_4_with_the_key_to_retry_with(desk: Desk, name: str) -> None:
    """Nothing is assumed."""
    desk.answering(lambda _: [])

    ran = desk(name, *COMMANDS[name][0], "--timeout", "1s", "--idempotency-key", "k-1")

    assert (ran.code, ran.out, "--idempotency-key k-1" in ran.err) == (4, "", True)


@pytest.mark.parametrize("name", NAMES)
def test_a_command_needs_its_shared_options(command: Cli, name: str) -> None:
    """Exit 2 before anything is asked of a server."""
    for number in (0, 2, 4):
        some = SHARED[:number] + SHARED[number + 2 :]
        ran = command(*name.split(), e.PACKAGE_ID, *some, *COMMANDS[name][0])
        assert (ran.code, SHARED[number] in ran.err) == (2, True)


def test_the_key_signs(desk: Desk) -> None:
    """As the reviewer."""
    wire = desk.answering(recorded)
    key = new_key()
    write_key(Path("k.pem"), key)

    assert desk("claim", "--key", "k.pem").code == 0

    identity = wire.published[0][1]
    assert identity is not None
    assert (identity.key.kid, identity.subject) == (key.kid, e.REVIEWER)


def test_an_interrupt_id_stands_for_its_package(desk: Desk) -> None:
    """What is sent names the package."""
    wire = desk.answering(recorded)
    desk.state = e.a_state(decision_package_id="pkg-of-it")

    desk("claim")

    command = wire.published[0][0]
    assert isinstance(command, Command)
    assert command.decision_package_id == "pkg-of-it"


@pytest.mark.parametrize(
    ("decision", "words"),
    [("aprove", "'aprove' is not one of"), ("override", "'override' is not one of")],
)
def test_a_decision_that_does_not_exist_is_usage(desk: Desk, decision: str, words: str) -> None:
    """The choices are named in plain words."""
    ran = desk("decide", "--decision", decision)

    assert (ran.code, words in ran.err, "Value error" in ran.err) == (2, True, False)


@pytest.mark.parametrize(
    ("name", "options", "mend"),
    [
        ("assign", ["--to", "r lind"], "--to: write 1 to 128 letters"),
        ("revoke", ["--reason", "x" * 70_000], "--reason: is too long"),
        ("override", [*OVERRIDE, "--tool", "a b", "--effect-type", "t", "--args", "{}"],
         "--tool: write 1 to 128 letters"),
        ("claim", ["--idempotency-key", "k" * 300], "--idempotency-key: is too long"),
    ],
)  # fmt: skip
def test_what_no_record_can_hold_names_its_option(
    desk: Desk, name: str, options: list[str], mend: str
) -> None:
    """In plain words; exit 2."""
    desk.answering(recorded)

    ran = desk(name, *options)

    assert (ran.code, mend in ran.err) == (2, True), ran.err


# --- override ---------------------------------------------------------------------------------


@pytest.mark.parametrize("from_file", [False, True])
def test_the_arguments_of_an_override_are_made_canonical(desk: Desk, from_file: bool) -> None:
    """However they were written, the gate is for one text."""
    wire = desk.answering(recorded)
    text = '{"b": 1.0, "a": "\\u00e9"}'
    Path("args.json").write_text(text)

    ran = desk("override", *OVERRIDE, "--tool", "notice.send", "--effect-type", "external_notice",
               "--args", "@args.json" if from_file else text)  # fmt: skip

    command = wire.published[0][0]
    assert isinstance(command, HumanOverrideCommand) and command.override_tool_call is not None
    assert (ran.code, command.override_tool_call.args_json) == (0, '{"a":"é","b":1}')
    assert is_canonical(command.override_tool_call.args_json)


@pytest.mark.parametrize(
    ("options", "mend"),
    [
        (["--args", "{}"], "name its --tool too"),
        (["--effect-type", "t"], "name its --tool too"),
        (["--tool", "t", "--args", "{}"], "add --effect-type and --args"),
        (["--tool", "t", "--effect-type", "e"], "add --effect-type and --args"),
        (["--tool", "t", "--effect-type", "e", "--args", "[]"], "write a JSON object"),
        (["--tool", "t", "--effect-type", "e", "--args", '{"a":1,"a":2}'], "two equal keys"),
        (["--tool", "t", "--effect-type", "e", "--args", '{"a":NaN}'], "not JSON"),
        (["--tool", "t", "--effect-type", "e", "--args", "@nowhere"], "nowhere"),
    ],
)
def test_half_a_call_is_usage(desk: Desk, options: list[str], mend: str) -> None:
    """And no server is asked."""
    wire = desk.answering(recorded)

    ran = desk("override", *OVERRIDE, *options)

    assert (ran.code, mend in ran.err) == (2, True), ran.err
    assert (wire.published, desk.asked) == ([], False)


def test_an_override_that_waits_says_how_it_is_confirmed(desk: Desk) -> None:
    """By the digest of the overriding action."""
    desk.answering(lambda r: [
        e.a_decision_event(command_id=r.command_id, decision="override", final=False,
                           action_digest="d1")
        if isinstance(r, Command) else r
    ])  # fmt: skip

    ran = desk("override", *OVERRIDE)

    assert "--decision approve --action-digest d1" in ran.out


# --- present ----------------------------------------------------------------------------------


def test_present_names_the_digest_of_the_version_that_was_seen(desk: Desk) -> None:
    """It is read, not typed."""
    wire = desk.answering(recorded)
    desk.state = an_open(e.PACKAGE_ID)
    assert desk.state.accepted is not None

    assert desk("present").code == 0

    command = wire.published[0][0]
    assert isinstance(command, ReviewTaskCommand)
    assert command.presented_digest == desk.state.accepted.package_digest


def test_present_vouches_for_no_version_that_was_not_seen(desk: Desk) -> None:
    """Another version stands, or none."""
    wire = desk.answering(recorded)
    unknown = desk("present")
    desk.state = an_open(e.PACKAGE_ID)
    other = desk("present", "--version", "2")

    assert (unknown.code, "name --digest" in unknown.err) == (1, True)
    assert (other.code, "version 1 stands, not 2" in other.err) == (1, True)
    assert wire.published == []


# --- exceptions -------------------------------------------------------------------------------


def test_an_exception_is_taken_back_by_its_id_alone(desk: Desk) -> None:
    """Its terms are those that it was granted with."""
    wire = desk.answering(recorded)
    terms = ExceptionTerms(
        exception_id="ex", policy_id="p 4", requested_exception="q", justification="j",
        applies_to=e.PACKAGE_ID, expires_at=e.at(60),
    )  # fmt: skip
    granted = GrantedException(terms=terms, approver_id="r.boss", decision_event_id="ev")
    desk.state = an_open(e.PACKAGE_ID, exceptions=[granted])

    ran = desk("exception revoke", "--exception-id", "ex", "--justification", "j")
    other = desk("exception revoke", "--exception-id", "other", "--justification", "j")

    [(command, _, _)] = wire.published
    assert ran.code == 0
    assert (command.policy_id, command.requested_exception) == ("p 4", "q")  # type: ignore[attr-defined]
    assert (other.code, "add --policy" in other.err) == (2, True)


# --- duplicates -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (e.a_decision_event(event_id="first"), 0),
        (e.a_task_event(event_id="first"), 0),
        (e.a_refusal(event_id="first", code="TOO_LATE"), 1),
    ],
)
def test_a_duplicate_shows_the_first_answer(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, first: Record, code: int
) -> None:
    """Whatever it was; the duplicate itself is a note beside it."""
    duplicate = e.a_refusal(code="DUPLICATE_COMMAND", first_event_id="first", message="again")
    desk.answering(lambda r: [
        duplicate.model_copy(update={"command_id": r.command_id}) if isinstance(r, Command) else r
    ])  # fmt: skip
    key = record_key(e.TENANT, e.PACKAGE_ID)
    log: dict[str, list[Record]] = {
        "human.decision_recorded": [e.a_decision_event()],
        "review-task": [e.a_task_event()],
        "command-refused": [duplicate],
    }
    [topic] = [name for name, (one,) in log.items() if type(one) is type(first)]
    log[topic] = [*log[topic], first]

    def read_topic(_: object, topic: str, **__: object) -> Iterator[Read]:
        headers = [("ce_type", b"x")]
        value, other = encoded(first.model_copy(update={"decision_package_id": "another"}))
        yield Read(topic, 0, 0, e.NOW, record_key(e.TENANT, "another"), value, other)
        yield Read(topic, 0, 1, e.NOW, key, b"garbage", headers)
        for offset, record in enumerate(log[topic], 2):
            value, headers = encoded(record)
            yield Read(topic, 0, offset, e.NOW, key, value, headers)

    monkeypatch.setattr("countersign.signed.partitions_of", lambda *_: 1)
    monkeypatch.setattr("countersign.signed.read_topic", read_topic)

    ran = desk("claim", "--json")

    shown = json.loads(ran.out)
    assert (ran.code, "again" in ran.err) == (code, True)
    assert (shown["event_id"], shown["decision_package_id"]) == ("first", e.PACKAGE_ID)


def encoded(record: Record) -> tuple[bytes, list[tuple[str, bytes]]]:
    """A record as it stands in the log."""
    value = encode(record)
    return value, [("ce_type", ce_type_of(record).encode())]


# --- what the answer says of the package -----------------------------------------------------


@pytest.mark.parametrize(
    ("decision", "final", "words"),
    [
        ("object", False, "object recorded, the open gate is revoked, event"),
        ("object", True, "object recorded, final, event"),
        ("reject", True, "reject recorded, final, event"),
        ("revise", True, "revise recorded, final, event"),
        ("approve", True, "approve recorded, final (1 of 1 approvals), event"),
        ("escalate", False, "escalate recorded, not final yet ("),
    ],
)
def test_only_what_counts_approvals_tells_of_them(
    desk: Desk, decision: str, final: bool, words: str
) -> None:
    """An objection after the opening takes the gate back; what closes needs no quorum."""
    desk.answering(lambda r: [
        e.a_decision_event(command_id=r.command_id, decision=decision, final=final)
        if isinstance(r, Command) else r
    ])  # fmt: skip

    assert words in desk("decide", "--decision", "reject").out
