"""The clients: one record out, its one answer back; never a yes by default."""

from __future__ import annotations

from typing import Any

import pytest

from core.grants import grant_claims
from core.jwk import TrustedKeys, trusted_key
from producers.agent import AgentClient, Asked, NoOutcome, RequestRefused
from producers.attempt import stable_attempt_id
from producers.connection import KafkaConfig
from producers.guard import Denied, ExecutorGuard, Permit
from producers.keys import new_key
from producers.reviewer import ReviewerClient
from producers.signing import sign_grant
from schemas.commands import HumanDecisionCommand
from schemas.events import CommandRefused, HumanDecisionEvent, InterruptStatusChanged, ToolGateEvent
from schemas.execution import GrantTake, ToolExecuted
from schemas.model import Record
from schemas.requests import InterruptCancelled, InterruptRequested
from schemas.topics import record_key
from tests import examples as e
from tests.unit.producers.clients import wired

CONFIG = KafkaConfig()
KEY = new_key()
ASKED = Asked(e.INTERRUPT_ID, e.PACKAGE_ID, None)
Patch = pytest.MonkeyPatch


def agent() -> AgentClient:
    """The story's agent."""
    return AgentClient(CONFIG, agent_id=e.AGENT, tenant_id=e.TENANT, key=KEY)


def a_final(**over: Any) -> InterruptStatusChanged:
    """The interrupt is decided with approve."""
    form = {"status": "decided", "final": True, "outcome": "approve", "required_role": None}
    return e.a_status(**(form | over))


def test_a_request_is_published_signed_under_its_own_id(monkeypatch: Patch) -> None:
    """Key, identity and id are those of the request; the answer is `opened`."""
    wire = wired(monkeypatch, lambda _: [e.a_status()])

    asked = agent().submit(e.a_request())

    [(record, identity, record_id)] = wire.published
    assert (record, record_id) == (e.a_request(), e.INTERRUPT_ID)
    assert identity is not None and identity.subject == e.AGENT
    assert wire.keys == [record_key(e.TENANT, e.PACKAGE_ID)]
    assert (asked.interrupt_id, asked.opened) == (e.INTERRUPT_ID, e.a_status())


def test_a_request_needs_few_words(monkeypatch: Patch) -> None:
    """Ids, canonical texts and lineage are filled in; what matters must be said."""
    wire = wired(monkeypatch, lambda r: [
        e.a_status(interrupt_id=r.interrupt_id) if isinstance(r, InterruptRequested) else r
    ])  # fmt: skip

    asked = agent().request(
        title="t", proposed_action="p", rationale="r", risk_level="high", confidence=0.9,
        evidence_refs=["x"], policy_basis=["y"], tool_name="notice.send",
        effect_type="external_notice", args={"b": 1, "a": 2},
    )  # fmt: skip

    request = wire.published[0][0]
    assert isinstance(request, InterruptRequested)
    assert request.package.tool_call is not None
    assert request.package.tool_call.args_json == '{"a":2,"b":1}'
    assert asked.interrupt_id == request.interrupt_id
    with pytest.raises(TypeError, match="risk_level"):
        agent().request(title="t")


def test_the_same_request_again_does_no_harm(monkeypatch: Patch) -> None:
    """DUPLICATE_COMMAND means that it stands."""
    refusal = e.a_refusal(command_id=e.INTERRUPT_ID, code="DUPLICATE_COMMAND")
    wired(monkeypatch, lambda _: [refusal])

    assert agent().submit(e.a_request()) == ASKED


def test_a_refused_request_says_what_to_mend(monkeypatch: Patch) -> None:
    """With the refusal itself."""
    refusal = e.a_refusal(command_id=e.INTERRUPT_ID, code="NO_POLICY")
    wired(monkeypatch, lambda _: [refusal])

    with pytest.raises(RequestRefused, match="NO_POLICY") as caught:
        agent().submit(e.a_request())
    assert caught.value.refusal == refusal


def test_no_answer_is_not_a_yes(monkeypatch: Patch) -> None:
    """It names what to try again with."""
    wired(monkeypatch, lambda _: [e.a_status(interrupt_id="another")])

    with pytest.raises(NoOutcome) as caught:
        agent().submit(e.a_request(), timeout_s=1)
    assert caught.value.retry_with == e.INTERRUPT_ID


@pytest.mark.parametrize(
    ("status", "approved"),
    [
        (a_final(), True),
        (a_final(outcome="reject"), False),
        (a_final(outcome="revise"), False),
        (a_final(status="expired", outcome="expired"), False),
        (a_final(status="cancelled", outcome="superseded"), False),
        (a_final(status="cancelled", outcome="approve"), False),
    ],
)
def test_only_a_final_approval_is_approved(
    monkeypatch: Patch, status: InterruptStatusChanged, approved: bool
) -> None:
    """And an outcome is never true by itself."""
    wire = wired(monkeypatch, lambda _: [])
    wire.answers = [e.a_status(), e.a_status(outcome="approve"), status]

    outcome = agent().wait(ASKED, timeout_s=1)

    assert outcome.approved is approved
    with pytest.raises(TypeError, match=r"outcome\.approved"):
        bool(outcome)


def test_an_outcome_of_another_tenant_or_interrupt_is_not_mine(monkeypatch: Patch) -> None:
    """A partition is shared."""
    wire = wired(monkeypatch, lambda _: [])
    wire.answers = [a_final(tenant_id="other"), a_final(interrupt_id="other")]

    with pytest.raises(NoOutcome):
        agent().wait(e.INTERRUPT_ID, timeout_s=1)


@pytest.mark.parametrize(
    "answer",
    [
        a_final(status="cancelled", outcome="cancelled"),
        e.a_gate_event(gate="revoked", reason="cancelled"),
    ],
)
def test_a_cancel_is_answered_by_the_status_or_by_the_revoked_grant(
    monkeypatch: Patch, answer: Record
) -> None:
    """A decided package has had its status; its grant is revoked."""
    wire = wired(monkeypatch, lambda _: [answer])

    assert agent().cancel(ASKED, reason="plan filed") == answer
    assert isinstance(wire.published[0][0], InterruptCancelled)


def test_a_cancel_is_not_answered_by_an_older_end(monkeypatch: Patch) -> None:
    """Only by what it brought about, or by its refusal."""
    refusal = e.a_refusal(
        command_id=e.INTERRUPT_ID, refused_type="interrupt.cancelled", code="NOT_OPEN"
    )
    wired(monkeypatch, lambda _: [a_final(outcome="reject"), refusal])

    with pytest.raises(RequestRefused, match="NOT_OPEN"):
        agent().cancel(ASKED, reason="plan filed")
    with pytest.raises(ValueError, match="decision_package_id"):
        agent().cancel(e.INTERRUPT_ID, reason="plan filed")


def reviewer() -> ReviewerClient:
    """The story's reviewer."""
    return ReviewerClient(CONFIG, reviewer_id=e.REVIEWER, tenant_id=e.TENANT, key=KEY)


def test_a_decision_is_answered_under_its_command_id(monkeypatch: Patch) -> None:
    """Other people's answers on the partition are not mine."""

    def answering(record: Record) -> list[Record]:
        assert isinstance(record, HumanDecisionCommand)
        mine = e.a_decision_event(command_id=record.command_id)
        return [e.a_decision_event(command_id="another"), e.a_refusal(command_id="another"), mine]

    wire = wired(monkeypatch, answering)

    answer = reviewer().decide(e.PACKAGE_ID, "approve", version=1)

    [(command, identity, record_id)] = wire.published
    assert isinstance(command, HumanDecisionCommand) and isinstance(answer, HumanDecisionEvent)
    assert (command.expected_package_version, command.reviewer_id) == (1, e.REVIEWER)
    assert (answer.command_id, identity is not None) == (record_id, True)


def test_a_refused_decision_is_an_answer(monkeypatch: Patch) -> None:
    """Not an exception: it says what to mend."""
    wired(monkeypatch, lambda r: [
        e.a_refusal(command_id=r.command_id) if isinstance(r, HumanDecisionCommand) else r
    ])  # fmt: skip

    assert isinstance(reviewer().decide(e.PACKAGE_ID, "approve", version=1), CommandRefused)


def test_a_decision_without_outcome_names_its_idempotency_key(monkeypatch: Patch) -> None:
    """So that deciding again cannot count twice."""
    wire = wired(monkeypatch, lambda _: [])

    with pytest.raises(NoOutcome) as caught:
        reviewer().decide(e.PACKAGE_ID, "approve", version=1, timeout_s=1)

    command = wire.published[0][0]
    assert isinstance(command, HumanDecisionCommand)
    assert caught.value.retry_with == command.idempotency_key


def guard(**over: Any) -> ExecutorGuard:
    """The story's executor."""
    grant_key = over.pop("grant_key", GRANT_KEY)
    keys = TrustedKeys.of([trusted_key(grant_key.public_jwk())])
    return ExecutorGuard(CONFIG, e.EXECUTOR, KEY, lambda: keys, clock=lambda: e.at(60))


GRANT_KEY = new_key()


def an_open_gate() -> ToolGateEvent:
    """With a signed grant."""
    gate = e.a_gate_event()
    token = sign_grant(grant_claims(gate, e.a_state(), issuer="c"), GRANT_KEY)
    return gate.model_copy(update={"grant_jws": token})


def consumed(take: Record, **over: Any) -> ToolGateEvent:
    """The answer to a take."""
    assert isinstance(take, GrantTake)
    form = {
        "gate": "consumed", "reason": "taken", "attempt_id": take.attempt_id,
        "executor_id": take.executor_id, "execute_by": e.at(3600),
    }  # fmt: skip
    return e.a_gate_event(**(form | over))


def test_an_executor_acts_on_its_own_consumed_only(monkeypatch: Patch) -> None:
    """With the approved arguments, and reports under the same attempt."""
    wire = wired(
        monkeypatch,
        lambda r: [consumed(r, attempt_id="another"), consumed(r)]
        if isinstance(r, GrantTake) else [],
    )  # fmt: skip

    permit = guard().take(an_open_gate())

    assert isinstance(permit, Permit)
    assert dict(permit.args) == e.notice_args()
    receipt = guard().executed(permit)
    assert isinstance(wire.published[-1][0], ToolExecuted)
    assert (receipt.attempt_id, receipt.action_digest) == (permit.attempt_id, e.ACTION_DIGEST)


@pytest.mark.parametrize(
    ("over", "code"),
    [
        ({"grant_id": "another"}, "GRANT_INVALID"),
        ({"executor_id": "another"}, "GRANT_INVALID"),
        ({"action_digest": "0" * 64}, "GRANT_INVALID"),
        ({"execute_by": e.at(59)}, "GRANT_EXPIRED"),
    ],
)
def test_a_consumed_that_does_not_fit_is_no_permit(
    monkeypatch: Patch, over: dict[str, Any], code: str
) -> None:
    """Denied is the answer to every doubt."""
    wired(monkeypatch, lambda r: [consumed(r, **over)])

    denied = guard().take(an_open_gate())

    assert isinstance(denied, Denied)
    assert (denied.code, bool(denied)) == (code, False)


def test_a_loser_is_told_and_no_answer_is_no_permit(monkeypatch: Patch) -> None:
    """GRANT_TAKEN from the worker; NO_ANSWER when there was none."""
    wired(monkeypatch, lambda r: [
        e.a_refusal(command_id=r.attempt_id, code="GRANT_TAKEN") if isinstance(r, GrantTake) else r
    ])  # fmt: skip
    taken = guard().take(an_open_gate())
    wired(monkeypatch, lambda _: [])
    silent = guard().take(an_open_gate(), timeout_s=1)

    assert isinstance(taken, Denied) and taken.code == "GRANT_TAKEN"
    assert isinstance(silent, Denied) and silent.code == "NO_ANSWER"


def test_a_grant_that_is_not_believed_is_not_even_taken(monkeypatch: Patch) -> None:
    """Nothing is published for it."""
    wire = wired(monkeypatch, lambda _: [])

    denied = guard(grant_key=new_key()).take(an_open_gate())

    assert isinstance(denied, Denied) and denied.code == "GRANT_INVALID"
    assert wire.published == []


def test_attempts_are_new_each_time_unless_they_are_kept(monkeypatch: Patch) -> None:
    """Two copies of a program are two attempts; a program with a durable record has one."""
    wired(monkeypatch, lambda r: [consumed(r)] if isinstance(r, GrantTake) else [])

    first, second = guard().take(an_open_gate()), guard().take(an_open_gate())

    assert first.attempt_id != second.attempt_id
    assert stable_attempt_id("g", "e") == stable_attempt_id("g", "e") != stable_attempt_id("g", "f")
