"""The reviewer's client: each method sends its one command and returns its one answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from producers.agent import NoOutcome
from producers.connection import KafkaConfig
from producers.keys import new_key
from producers.reviewer import ReviewerClient
from schemas.commands import (
    AuditVerdictCommand,
    Command,
    GrantRevocationCommand,
    HumanDecisionCommand,
    HumanOverrideCommand,
    PolicyExceptionCommand,
    ReviewTaskCommand,
)
from schemas.model import Record
from tests import examples as e
from tests.unit.producers.clients import wired

Send = Callable[[ReviewerClient], Record]
CALL = e.a_tool_call()

DECISIONS: list[tuple[Send, type[Command], dict[str, Any]]] = [
    (
        lambda c: c.decide("pkg-1", "defer", version=2, defer_condition="lab", comment="c"),
        HumanDecisionCommand,
        {"decision": "defer", "defer_condition": "lab", "comment": "c"},
    ),
    (
        lambda c: c.override(
            "pkg-1", recommended="a", instead="b", reason="r", evidence_refs=["x"],
            tool_call=CALL, version=2,
        ),
        HumanOverrideCommand,
        {
            "original_recommendation": "a", "override_decision": "b", "override_reason": "r",
            "evidence_refs": ["x"], "override_tool_call": CALL,
        },
    ),
    (
        lambda c: c.revoke("pkg-1", reason="r", grant_id="g", version=2),
        GrantRevocationCommand,
        {"reason": "r", "grant_id": "g"},
    ),
    (
        lambda c: c.audit_verdict("pkg-1", "defect", comment="c", version=2),
        AuditVerdictCommand,
        {"verdict": "defect", "comment": "c"},
    ),
    (
        lambda c: c.grant_exception(
            "pkg-1", "ex", policy_id="p", requested_exception="q", justification="j",
            kind="threshold", applies_to="pkg-9", expires_at=e.at(60), version=2,
        ),
        PolicyExceptionCommand,
        {
            "action": "grant", "exception_id": "ex", "policy_id": "p", "requested_exception": "q",
            "justification": "j", "kind": "threshold", "applies_to": "pkg-9",
            "expires_at": e.at(60),
        },
    ),
    (
        lambda c: c.revoke_exception(
            "pkg-1", "ex", policy_id="p", justification="j", version=2
        ),
        PolicyExceptionCommand,
        {"action": "revoke", "exception_id": "ex", "kind": None, "expires_at": None},
    ),
]  # fmt: skip
TASKS: list[tuple[Send, type[Command], dict[str, Any]]] = [
    (lambda c: c.claim("pkg-1", version=2), ReviewTaskCommand, {"action": "claim"}),
    (lambda c: c.release("pkg-1", version=2), ReviewTaskCommand, {"action": "release"}),
    (
        lambda c: c.assign("pkg-1", "r.lind", version=2),
        ReviewTaskCommand,
        {"action": "assign", "assignee": "r.lind"},
    ),
    (
        lambda c: c.comment("pkg-1", "t", version=2),
        ReviewTaskCommand,
        {"action": "comment", "comment": "t", "kind": "note"},
    ),
    (
        lambda c: c.comment("pkg-1", "t", kind="condition_met", version=2),
        ReviewTaskCommand,
        {"action": "comment", "comment": "t", "kind": "condition_met"},
    ),
    (
        lambda c: c.present("pkg-1", presented_digest="d", version=2),
        ReviewTaskCommand,
        {"action": "present", "presented_digest": "d"},
    ),
    (
        lambda c: c.recuse("pkg-1", comment="t", version=2),
        ReviewTaskCommand,
        {"action": "recuse", "comment": "t"},
    ),
]


def client() -> ReviewerClient:
    """The story's reviewer."""
    return ReviewerClient(KafkaConfig(), reviewer_id=e.REVIEWER, tenant_id=e.TENANT, key=new_key())


def both_kinds(record: Record) -> list[Record]:
    """Answers of every kind about the command, and one about another."""
    assert isinstance(record, Command)
    return [
        e.a_task_event(command_id="another"),
        e.a_task_event(command_id=record.command_id),
        e.a_decision_event(command_id="another"),
        e.a_decision_event(command_id=record.command_id),
    ]


@pytest.mark.parametrize(("send", "model", "fields"), DECISIONS + TASKS)
def test_a_method_sends_its_command_signed(
    monkeypatch: pytest.MonkeyPatch, send: Send, model: type[Command], fields: dict[str, Any]
) -> None:
    """With what was said, the version that was seen, and ids of its own."""
    wire = wired(monkeypatch, both_kinds)

    send(client())

    [(command, identity, record_id)] = wire.published
    assert isinstance(command, model)
    assert fields == {name: getattr(command, name) for name in fields}
    assert (command.decision_package_id, command.expected_package_version) == ("pkg-1", 2)
    assert (command.tenant_id, command.reviewer_id) == (e.TENANT, e.REVIEWER)
    assert record_id == command.command_id
    assert identity is not None and identity.subject == e.REVIEWER


@pytest.mark.parametrize(
    ("send", "answer"),
    [(send, "HumanDecisionEvent") for send, _, _ in DECISIONS]
    + [(send, "ReviewTaskEvent") for send, _, _ in TASKS],
)
def test_a_command_is_answered_by_its_own_kind_of_event(
    monkeypatch: pytest.MonkeyPatch, send: Send, answer: str
) -> None:
    """What else an event of the same command tells is no answer to it."""
    wired(monkeypatch, both_kinds)

    assert type(send(client())).__name__ == answer


@pytest.mark.parametrize("send", [send for send, _, _ in DECISIONS + TASKS])
def test_a_refusal_is_an_answer(monkeypatch: pytest.MonkeyPatch, send: Send) -> None:
    """Not an exception: it says what to mend."""
    wired(monkeypatch, lambda r: [
        e.a_refusal(command_id=r.command_id) if isinstance(r, Command) else r
    ])  # fmt: skip

    assert type(send(client())).__name__ == "CommandRefused"


@pytest.mark.parametrize("kept", [None, "k-1"])
def test_no_answer_names_the_key_to_send_it_again_with(
    monkeypatch: pytest.MonkeyPatch, kept: str | None
) -> None:
    """The key that was given, or the one that was made."""
    wire = wired(monkeypatch, lambda _: [])

    with pytest.raises(NoOutcome) as caught:
        client().claim("pkg-1", version=1, idempotency_key=kept, timeout_s=1)

    command = wire.published[0][0]
    assert isinstance(command, Command)
    assert caught.value.retry_with == command.idempotency_key == (kept or command.idempotency_key)
