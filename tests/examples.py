"""Valid, realistic records for every test: an enforcement notice at the tenant acme.

Each maker takes overrides by field name. `at` are seconds after `NOW`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from schemas.canonical import action_digest, canonical_json, record_digest
from schemas.commands import (
    AuditVerdictCommand,
    GrantRevocationCommand,
    HumanDecisionCommand,
    HumanOverrideCommand,
    PolicyExceptionCommand,
    ReviewTaskCommand,
)
from schemas.directory import (
    AgentRegistration,
    ClockTick,
    Delegation,
    PolicyDocument,
    ReviewerAuthorization,
)
from schemas.events import (
    CommandRefused,
    HumanDecisionEvent,
    InterruptStatusChanged,
    Quorum,
    ReviewTaskEvent,
    ToolGateEvent,
)
from schemas.execution import (
    GrantTake,
    NoticeFailed,
    NoticeSent,
    OutcomeReported,
    ToolDenied,
    ToolExecuted,
    ToolFailed,
    ToolInDoubt,
)
from schemas.requests import (
    DecisionPackage,
    Draft,
    Evidence,
    InterruptCancelled,
    InterruptRequested,
    ToolCall,
)

NOW: Final = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
"""A Monday morning; the append time that examples are made at."""
TENANT: Final = "acme"
PACKAGE_ID: Final = "pkg-2041"
INTERRUPT_ID: Final = "int-2041-1"
RUN_ID: Final = "run-77"
THREAD_ID: Final = "thread-77"
AGENT: Final = "agent:drafter"
REQUESTER: Final = "svc:case-intake"
REVIEWER: Final = "r.okafor"
EXECUTOR: Final = "notifier"
TOOL: Final = "notice.send"
EFFECT: Final = "external_notice"
RECIPIENT: Final = "compliance@harbour-freight.example"
GRANT_ID: Final = "grant-2041"
ATTEMPT_ID: Final = "attempt-2041"
POLICY_VERSION: Final = "7"
NOTICE_BODY: Final = (
    "Site 12 exceeded its permitted discharge on 18 February 2026 by 31 percent.\n"
    "You have 28 days to file a corrective plan or to appeal.\n"
)


def at(seconds: float) -> datetime:
    """The instant some seconds after NOW."""
    return NOW + timedelta(seconds=seconds)


def notice_args(**over: Any) -> dict[str, Any]:
    """Arguments of an enforcement notice."""
    return {
        "notice_id": "EN-2041",
        "recipient": RECIPIENT,
        "subject": "Enforcement notice EN-2041",
        "body": NOTICE_BODY,
    } | over


def a_tool_call(args: dict[str, Any] | None = None, **over: Any) -> ToolCall:
    """The call that sends the notice."""
    form: dict[str, Any] = {
        "tool_name": TOOL,
        "effect_type": EFFECT,
        "args_json": canonical_json(notice_args() if args is None else args),
    }
    return ToolCall(**(form | over))


def digest_of(call: ToolCall) -> str:
    """The action digest of a call."""
    return action_digest(call.tool_name, call.effect_type, call.args_json)


ACTION_DIGEST: Final = digest_of(a_tool_call())


def a_package(**over: Any) -> DecisionPackage:
    """A complete package, version 1, high risk, with the notice as its tool call."""
    form: dict[str, Any] = {
        "decision_package_id": PACKAGE_ID,
        "tenant_id": TENANT,
        "run_id": RUN_ID,
        "subject_type": "case",
        "subject_id": "case-5512",
        "title": "Send enforcement notice EN-2041 to Harbour Freight",
        "proposed_action": "Send the enforcement notice by mail to the operator of site 12.",
        "proposed_by": AGENT,
        "rationale": "Three samples in February exceed the permit; the operator was warned.",
        "evidence_refs": ["lab:2026-02-18/3", "permit:EP-884"],
        "risk_level": "high",
        "confidence": 0.74,
        "known_uncertainties": ["Sample 2 was taken during heavy rain."],
        "alternatives": ["Send a second warning.", "Ask for a site visit first."],
        "policy_basis": ["enforcement-guide 4.2"],
        "side_effect_preview": canonical_json({"mails": 1, "to": RECIPIENT}),
        "version": 1,
        "evidence": [
            Evidence(ref="lab:2026-02-18/3", sha256="ab" * 32, media_type="application/pdf")
        ],
        "draft": Draft(media_type="text/plain", text=NOTICE_BODY),
        "consequence": "The operator receives an official notice and a deadline starts.",
        "does_not_authorize": ["Publishing the notice."],
        "tool_call": a_tool_call(),
        "drafted_by": AGENT,
    }
    return DecisionPackage(**(form | over))


def a_request(**over: Any) -> InterruptRequested:
    """The request for the package; package fields are overridden through `package=`."""
    form: dict[str, Any] = {
        "interrupt_id": INTERRUPT_ID,
        "tenant_id": TENANT,
        "run_id": RUN_ID,
        "thread_id": THREAD_ID,
        "checkpoint_id": "cp-3",
        "interrupt_type": "approval",
        "reason": "An official notice cannot be taken back.",
        "requested_by": REQUESTER,
        "authority_transition": "draft_to_send",
    }
    form |= over
    form.setdefault("package", a_package())
    return InterruptRequested(**form)


def a_cancellation(**over: Any) -> InterruptCancelled:
    """The agent takes its request back."""
    form: dict[str, Any] = {
        "interrupt_id": INTERRUPT_ID,
        "tenant_id": TENANT,
        "decision_package_id": PACKAGE_ID,
        "reason": "The operator filed a plan meanwhile.",
        "requested_by": AGENT,
    }
    return InterruptCancelled(**(form | over))


def _command(**over: Any) -> dict[str, Any]:
    return {
        "command_id": "cmd-1",
        "tenant_id": TENANT,
        "decision_package_id": PACKAGE_ID,
        "reviewer_id": REVIEWER,
        "expected_package_version": 1,
        "idempotency_key": "key-1",
    } | over


def a_decision(**over: Any) -> HumanDecisionCommand:
    """An approval with a comment, naming the digest of the action seen."""
    form: dict[str, Any] = {
        "decision": "approve",
        "comment": "Evidence checked; sample 2 is not needed.",
        "action_digest": ACTION_DIGEST,
    }
    return HumanDecisionCommand(**_command(**(form | over)))


def an_override(**over: Any) -> HumanOverrideCommand:
    """An override that sends a warning instead."""
    form: dict[str, Any] = {
        "original_recommendation": "Send the enforcement notice.",
        "override_decision": "Send a second warning.",
        "override_reason": "The operator has begun the repair.",
        "evidence_refs": ["visit:2026-02-27"],
        "override_tool_call": a_tool_call(notice_args(subject="Second warning")),
    }
    return HumanOverrideCommand(**_command(**(form | over)))


def a_task_command(**over: Any) -> ReviewTaskCommand:
    """A claim of the review task."""
    return ReviewTaskCommand(**_command(**({"action": "claim"} | over)))


def a_revocation(**over: Any) -> GrantRevocationCommand:
    """A revocation of the package's grant."""
    return GrantRevocationCommand(**_command(**({"reason": "Wrong recipient."} | over)))


def a_verdict(**over: Any) -> AuditVerdictCommand:
    """An auditor agrees."""
    form: dict[str, Any] = {"verdict": "agree", "comment": "The evidence carries it."}
    return AuditVerdictCommand(**_command(**(form | over)))


def an_exception(**over: Any) -> PolicyExceptionCommand:
    """A policy exception is asked for."""
    form: dict[str, Any] = {
        "action": "grant",
        "exception_id": "exc-1",
        "policy_id": "four-eyes",
        "requested_exception": "One approval instead of two.",
        "justification": "The second reviewer is away.",
        "expires_at": at(7 * 86_400),
    }
    return PolicyExceptionCommand(**_command(**(form | over)))


def a_take(**over: Any) -> GrantTake:
    """The notifier asks for the grant."""
    return GrantTake(**(_take() | over))


def _take() -> dict[str, Any]:
    return {
        "grant_id": GRANT_ID,
        "attempt_id": ATTEMPT_ID,
        "executor_id": EXECUTOR,
        "tenant_id": TENANT,
        "decision_package_id": PACKAGE_ID,
    }


def _receipt() -> dict[str, Any]:
    return _take() | {
        "event_id": "receipt-1",
        "action_digest": ACTION_DIGEST,
        "occurred_at": at(120),
    }


def an_executed(**over: Any) -> ToolExecuted:
    """The action was run."""
    form: dict[str, Any] = {"result_digest": "cd" * 32}
    return ToolExecuted(**(_receipt() | form | over))


def a_failed(**over: Any) -> ToolFailed:
    """The action failed."""
    form: dict[str, Any] = {"detail": "The service answered 503."}
    return ToolFailed(**(_receipt() | form | over))


def an_in_doubt(**over: Any) -> ToolInDoubt:
    """It is not known whether the action was run."""
    form: dict[str, Any] = {"detail": "The connection broke after DATA."}
    return ToolInDoubt(**(_receipt() | form | over))


def a_denied(**over: Any) -> ToolDenied:
    """The executor refused."""
    form: dict[str, Any] = {"reason": "The digest differs."}
    return ToolDenied(**(_receipt() | form | over))


def an_outcome(**over: Any) -> OutcomeReported:
    """How it went."""
    form: dict[str, Any] = {
        "event_id": "outcome-1",
        "tenant_id": TENANT,
        "decision_package_id": PACKAGE_ID,
        "grant_id": GRANT_ID,
        "outcome": "ok",
        "reported_by": "ops.kim",
        "occurred_at": at(86_400),
    }
    return OutcomeReported(**(form | over))


def _notice() -> dict[str, Any]:
    return {
        "event_id": "notice-event-1",
        "tenant_id": TENANT,
        "run_id": RUN_ID,
        "interrupt_id": INTERRUPT_ID,
        "decision_package_id": PACKAGE_ID,
        "grant_id": GRANT_ID,
        "attempt_id": ATTEMPT_ID,
        "action_digest": ACTION_DIGEST,
        "notice_id": "EN-2041",
        "recipient": RECIPIENT,
        "occurred_at": at(121),
    }


def a_notice_sent(**over: Any) -> NoticeSent:
    """The notice was taken by the mail server."""
    form: dict[str, Any] = {"provider_message_id": f"<{GRANT_ID}@countersign.example>"}
    return NoticeSent(**(_notice() | form | over))


def a_notice_failed(**over: Any) -> NoticeFailed:
    """The notice was refused for good."""
    form: dict[str, Any] = {"reason": "550 no such mailbox"}
    return NoticeFailed(**(_notice() | form | over))


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


def a_reviewer(**over: Any) -> ReviewerAuthorization:
    """A senior reviewer who may decide on notices."""
    form: dict[str, Any] = {
        "reviewer_id": REVIEWER,
        "roles": ["senior_reviewer"],
        "tenant_id": TENANT,
        "scopes": ["notice:approve", "notice:reject", "notice:revise"],
        "max_risk_level": "high",
        "team": "north",
        "active_until": at(300 * 86_400),
        "directory_digest": "ef" * 32,
    }
    return ReviewerAuthorization(**(form | over))


def a_delegation(**over: Any) -> Delegation:
    """A week's delegation to r.lind."""
    form: dict[str, Any] = {"to": "r.lind", "valid_from": NOW, "valid_until": at(7 * 86_400)}
    return Delegation(**(form | over))


def an_agent(**over: Any) -> AgentRegistration:
    """The drafting agent."""
    form: dict[str, Any] = {
        "agent_id": AGENT,
        "tenant_id": TENANT,
        "owner": "r.boss",
        "may_request_for": [REQUESTER],
        "directory_digest": "ef" * 32,
    }
    return AgentRegistration(**(form | over))


def a_policy_form(**over: Any) -> dict[str, Any]:
    """A policy as its file says it: notices need one senior reviewer, then the head."""
    return {
        "tenant_id": TENANT,
        "policy_version": POLICY_VERSION,
        "unsigned_requests": "refuse",
        "role_order": ["reviewer", "senior_reviewer", "head_of_enforcement"],
        "defaults": {
            "decide_within": "24h",
            "on_timeout": "escalate",
            "escalation": [{"role": "head_of_enforcement", "within": "24h"}],
            "defer_max": "7d",
            "grant_valid_for": "48h",
            "execute_within": "1h",
            "uncertainties_required_below": 0.8,
        },
        "tools": [
            {
                "tool": "notice.*",
                "effect_type": EFFECT,
                "min_risk": "medium",
                "min_reviewer_role": "senior_reviewer",
                "approval_required": True,
            }
        ],
        "rules": [
            {
                "name": "notices",
                "when": {"tools": ["notice.*"], "effect_types": [EFFECT]},
                "subject": "notice",
                "mode": "in_the_loop",
                "approvals": [{"role": "senior_reviewer", "scope": "notice:approve"}],
            }
        ],
    } | over


def a_policy_document(**over: Any) -> PolicyDocument:
    """The policy as it stands on control-policy."""
    form: dict[str, Any] = {
        "tenant_id": TENANT,
        "policy_version": POLICY_VERSION,
        "document_json": canonical_json(a_policy_form()),
    }
    return PolicyDocument(**(form | over))


def a_tick(**over: Any) -> ClockTick:
    """A tick for task 0."""
    form: dict[str, Any] = {"partition": 0, "due_at": NOW}
    return ClockTick(**(form | over))
