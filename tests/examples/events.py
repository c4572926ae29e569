"""What the worker publishes."""

from __future__ import annotations

from typing import Any

from schemas.canonical import record_digest
from schemas.codec import encode
from schemas.directory import ClockTick
from schemas.events import (
    CommandRefused,
    HumanDecisionEvent,
    InterruptStatusChanged,
    Quorum,
    ReviewTaskEvent,
    ToolGateEvent,
)
from schemas.journal import JournalContext, JournalEntry, JournalHeader, JournalInput
from schemas.state import ControlPointState
from schemas.topics import record_key
from tests.examples.agents import ACTION_DIGEST, a_package, a_tool_call
from tests.examples.reviewers import a_decision
from tests.examples.story import (
    GRANT_ID,
    INTERRUPT_ID,
    NOW,
    PACKAGE_ID,
    POLICY_VERSION,
    REVIEWER,
    RUN_ID,
    TENANT,
    THREAD_ID,
    at,
)


def a_decision_event(**over: Any) -> HumanDecisionEvent:
    """The approval, recorded; it closed the interrupt."""
    form: dict[str, Any] = {
        "event_id": "ev-decision-1",
        "tenant_id": TENANT,
        "run_id": RUN_ID,
        "interrupt_id": INTERRUPT_ID,
        "decision_package_id": PACKAGE_ID,
        "reviewer_id": REVIEWER,
        "decision": "approve",
        "comment": "Evidence checked; sample 2 is not needed.",
        "policy_version": POLICY_VERSION,
        "occurred_at": at(60),
        "command_id": "cmd-1",
        "final": True,
        "package_version": 1,
        "package_digest": record_digest(a_package()),
        "action_digest": ACTION_DIGEST,
        "quorum": Quorum(have=1, need=1),
        "reviewer_roles": ["senior_reviewer"],
        "thread_id": THREAD_ID,
        "checkpoint_id": "cp-3",
    }
    return HumanDecisionEvent(**(form | over))


def a_status(**over: Any) -> InterruptStatusChanged:
    """The interrupt was opened."""
    form: dict[str, Any] = {
        "event_id": "ev-status-1",
        "tenant_id": TENANT,
        "run_id": RUN_ID,
        "thread_id": THREAD_ID,
        "checkpoint_id": "cp-3",
        "interrupt_id": INTERRUPT_ID,
        "decision_package_id": PACKAGE_ID,
        "package_version": 1,
        "status": "pending",
        "final": False,
        "reason": "waits for senior_reviewer",
        "required_role": "senior_reviewer",
        "created_at": NOW,
        "decide_by": at(86_400),
        "decide_by_source": "policy",
        "occurred_at": NOW,
    }
    return InterruptStatusChanged(**(form | over))


def a_gate_event(**over: Any) -> ToolGateEvent:
    """The gate opened; the grant is not signed yet."""
    call = a_tool_call()
    form: dict[str, Any] = {
        "event_id": "ev-gate-1",
        "tenant_id": TENANT,
        "run_id": RUN_ID,
        "interrupt_id": INTERRUPT_ID,
        "decision_package_id": PACKAGE_ID,
        "package_version": 1,
        "gate": "opened",
        "reason": "approve",
        "tool_name": call.tool_name,
        "effect_type": call.effect_type,
        "action_digest": ACTION_DIGEST,
        "args_json": call.args_json,
        "grant_id": GRANT_ID,
        "valid_until": at(48 * 3600),
        "decision_event_ids": ["ev-decision-1"],
        "policy_version": POLICY_VERSION,
        "occurred_at": at(60),
    }
    return ToolGateEvent(**(form | over))


def a_task_event(**over: Any) -> ReviewTaskEvent:
    """The review task was created."""
    form: dict[str, Any] = {
        "event_id": "ev-task-1",
        "review_task_id": "task-1",
        "tenant_id": TENANT,
        "interrupt_id": INTERRUPT_ID,
        "decision_package_id": PACKAGE_ID,
        "change": "created",
        "status": "open",
        "required_role": "senior_reviewer",
        "priority": "high",
        "due_at": at(86_400),
        "created_at": NOW,
        "occurred_at": NOW,
    }
    return ReviewTaskEvent(**(form | over))


def a_refusal(**over: Any) -> CommandRefused:
    """A command was refused for separation of duties."""
    form: dict[str, Any] = {
        "event_id": "ev-refused-1",
        "tenant_id": TENANT,
        "decision_package_id": PACKAGE_ID,
        "command_id": "cmd-1",
        "refused_type": "human.decision_command",
        "reviewer_id": REVIEWER,
        "code": "SEPARATION_OF_DUTIES",
        "codes": ["SEPARATION_OF_DUTIES"],
        "message": "Who requested a package does not approve it; another reviewer must.",
        "current_package_version": 1,
        "occurred_at": at(60),
    }
    return CommandRefused(**(form | over))


def a_tick(**over: Any) -> ClockTick:
    """A tick for task 0."""
    form: dict[str, Any] = {"partition": 0, "due_at": NOW}
    return ClockTick(**(form | over))


def a_journal_entry(**over: Any) -> JournalEntry:
    """The first entry of task 0: the approval, judged."""
    value = encode(a_decision())
    form: dict[str, Any] = {
        "partition": 0,
        "seq": 0,
        "prev_hash": "00" * 32,
        "hash": "11" * 32,
        "rules_version": 1,
        "input": JournalInput(
            topic="decision-command",
            partition=0,
            offset=17,
            append_time=at(60),
            key=record_key(TENANT, PACKAGE_ID),
            value=value,
            headers=[JournalHeader(name="ce_type", value=b"human.decision_command")],
        ),
        "context": JournalContext(handled_at=at(60.02), policy_offset=1, directory_offset=4),
        "next_offsets": {"decision-command": 18, "interrupt-requested": 3},
        "read_until": {"decision-command": at(60), "interrupt-requested": at(30)},
        "verdict": "recorded",
        "events": [encode(a_decision_event())],
        "state_digest": "22" * 32,
    }
    return JournalEntry(**(form | over))


def a_state(**over: Any) -> ControlPointState:
    """The package is awaited: nothing but its name is known."""
    form: dict[str, Any] = {"tenant_id": TENANT, "decision_package_id": PACKAGE_ID}
    return ControlPointState(**(form | over))
