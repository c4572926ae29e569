"""The demo's executors as real processes: request, approval, one act, one true receipt."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.demo.memory_store import MemoryStore
from deploy.demo.payments import Ledger
from producers.guard import Denied, ExecutorGuard
from producers.reported import receipts_of
from producers.trusted_keys import trusted_keys
from schemas.events import ToolGateEvent
from schemas.execution import (
    GrantTake,
    OutcomeReported,
    Receipt,
    ToolDenied,
    ToolExecuted,
    ToolFailed,
    ToolInDoubt,
)
from schemas.journal import JournalEntry
from schemas.requests import MemoryApprovalPackage
from tests import examples as e
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.service import Service
from tests.unit.demo.permits import memory_args, payment_args

MEMORY, PAYMENTS = "memory-store", "payments"
SESSION_MS = "6000"
"""The shortest that brokers allow: a dead executor is missed after 6 s."""
TOOLS = {"memory.write": "memory_write", "payment.execute": "payment"}


@pytest.fixture
def ready(deployment: Deployment) -> Deployment:
    """A worker, and keys, policy and people for memories and payments."""
    deployment.add_key(MEMORY, executor_id=MEMORY, tools=["memory.*"], tenant_ids=[e.TENANT])
    deployment.add_key(PAYMENTS, executor_id=PAYMENTS, tools=["payment.*"], tenant_ids=[e.TENANT])
    form = e.a_policy_form(policy_version="executors")
    form["tools"] += [
        {
            "tool": tool,
            "effect_type": effect,
            "min_risk": "medium",
            "min_reviewer_role": "senior_reviewer",
            "approval_required": True,
        }
        for tool, effect in TOOLS.items()
    ]
    form["rules"] = [
        {
            "name": tool,
            "when": {"tools": [tool]},
            "subject": tool.split(".")[0],
            "mode": "in_the_loop",
            "approvals": [{"role": "senior_reviewer", "scope": f"{tool.split('.')[0]}:approve"}],
        }
        for tool in TOOLS
    ]
    deployment.publish_policy(form)
    scopes = ["memory:approve", "payment:approve"]
    deployment.publish_people(e.a_reviewer(scopes=scopes, active_until=None), e.an_agent())
    deployment.worker()
    return deployment


def started(
    deployment: Deployment, demo: str, executor_id: str, *, dies_at: str | None = None
) -> Service:
    """A demo executor, as a user runs it; or one that kills itself."""
    name = f"{demo}-{len(deployment.services)}"
    env = {
        **deployment.env,
        "COUNTERSIGN_EXECUTOR_KEY": str(deployment.key_file(executor_id)),
        "COUNTERSIGN_KAFKA_SESSION_TIMEOUT_MS": SESSION_MS,
    }
    command = ["--file", str(file_of(deployment, demo))]
    module = f"deploy.demo.{demo}"
    if dies_at is not None:
        env["DIES_AT"] = dies_at
        command, module = [demo, *command], "tests.kafka.executor_that_dies"
    service = Service(name, command, env, deployment.directory / f"{name}.log", module=module)
    deployment._stack.enter_context(service)
    deployment.services.append(service)
    return service.start(wait=False)


def file_of(deployment: Deployment, demo: str) -> Path:
    """Where a demo executor keeps its rows."""
    return deployment.directory / f"{demo}.sqlite3"


def approved(deployment: Deployment, number: int, tool: str | None, args: Any) -> None:
    """Asked for and approved. tool None: a memory, without a tool call."""
    call = None
    if tool is not None:
        call = e.a_tool_call(args, tool_name=tool, effect_type=TOOLS[tool])
    memory = MemoryApprovalPackage(**args) if tool is None else None
    package = e.a_package(decision_package_id=f"pkg-{number}", tool_call=call, memory=memory)
    request = e.a_request(
        interrupt_id=f"int-{number}",
        package=package,
        authority_transition="reversible_to_irreversible",
    )
    deployment.agent().submit(request)
    answer = deployment.reviewer().decide(f"pkg-{number}", "approve", version=1, comment="read")
    assert getattr(answer, "decision", None) == "approve", answer


def receipts(deployment: Deployment) -> list[Receipt]:
    """What executors reported."""
    return deployment.records("tool-execution", Receipt)


def gate_of(deployment: Deployment, change: str) -> ToolGateEvent:
    """The first gate event of a kind."""
    gates = deployment.records("tool-gate", ToolGateEvent)
    return next(gate for gate in gates if gate.gate == change)


def verdicts(deployment: Deployment) -> list[str]:
    """What the worker made of the executors' records, takes left out."""
    not_receipts = {b"grant.take", b"clock.tick"}
    return [
        entry.verdict
        for entry in deployment.records("audit-journal", JournalEntry)
        if entry.input.topic == "tool-execution"
        and not_receipts.isdisjoint({header.value for header in entry.input.headers})
    ]


def test_an_approved_payment_is_made_once_and_recorded(ready: Deployment) -> None:
    """By a process that a user starts; the ledger names the grant and who approved it."""
    executor = started(ready, "payments", PAYMENTS)
    approved(ready, 1, "payment.execute", payment_args())

    (receipt,) = eventually(lambda: receipts(ready))

    [row] = Ledger(file_of(ready, "payments")).rows()
    assert isinstance(receipt, ToolExecuted)
    assert (row["amount"], row["approvers"]) == ("120.50", [e.REVIEWER])
    assert (row["grant_id"], row["attempt_id"]) == (receipt.grant_id, receipt.attempt_id)
    eventually(lambda: verdicts(ready) == ["recorded"])
    eventually(lambda: "executed payment.execute acme/pkg-1" in executor.log_text())
    executor.stop()


def test_malformed_arguments_fail_by_the_name_of_their_field(ready: Deployment) -> None:
    """They were approved, and still nothing is paid."""
    started(ready, "payments", PAYMENTS)
    approved(ready, 1, "payment.execute", payment_args(amount=120.5))

    (receipt,) = eventually(lambda: receipts(ready))

    assert isinstance(receipt, ToolFailed)
    assert str(receipt.detail).startswith("amount: ")
    assert Ledger(file_of(ready, "payments")).rows() == []


def test_a_memory_is_stored_superseded_and_revoked(ready: Deployment) -> None:
    """With its provenance; revoking reports the grant's outcome as reversed."""
    started(ready, "memory_store", MEMORY)
    approved(ready, 1, None, memory_args(1))
    eventually(lambda: receipts(ready))
    approved(ready, 2, None, memory_args(2, supersedes="mem-1"))
    eventually(lambda: len(receipts(ready)) == 2)
    store = MemoryStore(file_of(ready, "memory_store"))
    old, new = store.rows()
    assert (old["status"], old["superseded_by"], new["status"]) == ("superseded", "mem-2", "active")
    opened = next(
        gate
        for gate in ready.records("tool-gate", ToolGateEvent)
        if (gate.decision_package_id, gate.gate) == ("pkg-2", "opened")
    )
    assert (new["grant_id"], new["content_digest"]) == (opened.grant_id, opened.action_digest)
    assert new["decision_event_ids"] == opened.decision_event_ids != []

    env = ready.env | {"COUNTERSIGN_EXECUTOR_KEY": str(ready.key_file(MEMORY))}
    command = ["-m", "deploy.demo.memory_store", "--file", str(file_of(ready, "memory_store"))]
    for _ in range(2):  # again: it reports again, under the same id
        done = subprocess.run(
            [sys.executable, *command, "revoke", "mem-2", "--reason", "wrong customer"],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    outcomes = ready.records("tool-execution", OutcomeReported)
    assert {(o.outcome, o.grant_id, o.reported_by) for o in outcomes} == {
        ("reversed", new["grant_id"], MEMORY)
    }
    assert len({outcome.event_id for outcome in outcomes}) == 1
    assert store.rows()[1]["status"] == "revoked"
    eventually(lambda: verdicts(ready).count("recorded") == 3)


@pytest.mark.parametrize("dies_at", ["before receipt", "after receipt"])
def test_killed_after_the_act_it_pays_once_and_reports_the_truth(
    ready: Deployment, dies_at: str
) -> None:
    """The next life finds the grant in the ledger: executed, for the attempt that paid."""
    dying = started(ready, "payments", PAYMENTS, dies_at=dies_at)
    approved(ready, 1, "payment.execute", payment_args())
    assert dying.wait_ended() < 0
    assert len(receipts(ready)) == (dies_at == "after receipt")

    executor = started(ready, "payments", PAYMENTS)
    eventually(lambda: "payment.execute acme/pkg-1" in executor.log_text(), 60)

    [row] = Ledger(file_of(ready, "payments")).rows()
    [receipt] = receipts(ready)
    assert isinstance(receipt, ToolExecuted)
    assert receipt.attempt_id == row["attempt_id"]
    [take] = [t for t in ready.records("tool-execution", GrantTake) if type(t) is GrantTake]
    assert take.attempt_id == receipt.attempt_id
    eventually(lambda: verdicts(ready) == ["recorded"])


def test_killed_before_the_act_it_is_a_doubt_for_people(ready: Deployment) -> None:
    """The next life cannot know; it asks, and does not pay."""
    dying = started(ready, "payments", PAYMENTS, dies_at="after take")
    approved(ready, 1, "payment.execute", payment_args())
    assert dying.wait_ended() < 0

    started(ready, "payments", PAYMENTS)
    (receipt,) = eventually(lambda: receipts(ready), 60)

    assert isinstance(receipt, ToolInDoubt)
    assert receipt.attempt_id == gate_of(ready, "consumed").attempt_id
    assert Ledger(file_of(ready, "payments")).rows() == []
    eventually(lambda: verdicts(ready) == ["recorded"])


def test_a_second_executor_loses(ready: Deployment) -> None:
    """GRANT_TAKEN from the worker for one that asks; one that reads the log does not even ask."""
    other = "payments-2"
    ready.add_key(other, executor_id=other, tools=["payment.*"], tenant_ids=[e.TENANT])
    dying = started(ready, "payments", PAYMENTS, dies_at="after take")
    approved(ready, 1, "payment.execute", payment_args())
    assert dying.wait_ended() < 0
    grants = trusted_keys(str(ready.settings.grant_trusted_keys))
    guard = ExecutorGuard(ready.kafka, other, ready.key(other), grants.current)

    denied = guard.take(gate_of(ready, "opened"))
    second = started(ready, "payments", other)
    eventually(lambda: "not_ours payment.execute acme/pkg-1" in second.log_text(), 60)

    assert isinstance(denied, Denied)
    assert (denied.code, denied.on_record) == ("GRANT_TAKEN", True)
    assert Ledger(file_of(ready, "payments")).rows() == []
    assert receipts(ready) == []


def test_a_denial_is_recorded_and_found_again(ready: Deployment) -> None:
    """ToolDenied stands in the journal; what an attempt said is found, if its own key signed it."""
    approved(ready, 1, "payment.execute", payment_args())
    gate = eventually(lambda: gate_of(ready, "opened"))
    grants = trusted_keys(str(ready.settings.grant_trusted_keys))
    guard = ExecutorGuard(ready.kafka, PAYMENTS, ready.key(PAYMENTS), grants.current)
    denied = guard.denied(gate, "over our own limit")
    assert isinstance(denied, ToolDenied)
    eventually(lambda: verdicts(ready) == ["recorded"])

    permit = guard.take(gate)
    assert permit, permit
    assert not isinstance(permit, Denied)
    assert receipts_of(permit.attempt, guard) == frozenset()
    guard.executed(permit)

    assert receipts_of(permit.attempt, guard) == {ToolExecuted}
    other = ExecutorGuard(ready.kafka, PAYMENTS, ready.key(MEMORY), grants.current)
    assert receipts_of(permit.attempt, other) == frozenset()
