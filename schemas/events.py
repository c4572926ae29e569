"""What the worker publishes: facts in the past tense (requirements, sections 6, 9, 11, 13)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.model import Count, Id, Ids, Key, Line, Lines, Record, Text, Timestamp
from schemas.requests import ToolCall
from schemas.vocabulary import (
    AuthorityTransition,
    Code,
    CommentKind,
    Difference,
    ExceptionKind,
    GateChange,
    InterruptStatus,
    Outcome,
    RecordedDecision,
    Routing,
    TaskChange,
    TaskStatus,
    Verdict,
)


class Quorum(Record):
    """How far the quorum is."""

    have: Count = Field(description="Slots filled, this decision included.")
    need: Count = Field(description="Slots of the plan.")


class OverrideRecord(Record):
    """What an override replaced, and why."""

    original_recommendation: Text = Field(description="What the system recommended.")
    override_decision: Text = Field(description="What was decided instead.")
    override_reason: Text = Field(description="Why.")
    evidence_refs: Lines = Field(default=[], description="Evidence for the override.")
    original_action: Text | None = Field(
        default=None, description="The action the package proposed, in words."
    )
    original_action_digest: Line | None = Field(
        default=None, description="Digest of the tool call the package proposed."
    )
    override_tool_call: ToolCall | None = Field(
        default=None, description="The action decided on instead; null opens nothing."
    )


class ExceptionTerms(Record):
    """What a policy exception excepts, for which package and how long (section 23)."""

    exception_id: Id = Field(description="The exception.")
    policy_id: Line = Field(description="The policy that is excepted.")
    requested_exception: Text = Field(description="What is excepted.")
    justification: Text = Field(description="Why.")
    kind: ExceptionKind | None = Field(default=None, description="The rule that is lifted.")
    applies_to: Id = Field(description="The one package it is for.")
    expires_at: Timestamp = Field(description="When it ends.")


class HumanDecisionEvent(Record):
    """A decision was recorded (requirements, section 9)."""

    event_id: Id = Field(description="Id of the event.")
    event_type: Literal["human.decision_recorded"] = Field(
        default="human.decision_recorded", description="Always human.decision_recorded."
    )
    event_version: Literal["1.0"] = Field(
        default="1.0", description="Version of this event's meaning."
    )
    tenant_id: Id = Field(description="The tenant.")
    run_id: Id = Field(description="The agent run that asked.")
    interrupt_id: Id = Field(description="The interrupt that was decided on.")
    decision_package_id: Id = Field(description="The package.")
    reviewer_id: Id = Field(description="Who decided.")
    decision: RecordedDecision = Field(description="What was decided.")
    comment: Text | None = Field(default=None, description="The reviewer's comment.")
    policy_version: Line = Field(description="The policy the plan was made under.")
    occurred_at: Timestamp = Field(description="Append time of the command.")
    command_id: Id = Field(description="The command that is answered.")
    final: bool = Field(description="Whether it closed the interrupt.")
    package_version: Count = Field(description="The package version decided on.")
    package_digest: Line = Field(description="Digest of that package version.")
    action_digest: Line | None = Field(default=None, description="Digest of the action decided on.")
    quorum: Quorum = Field(description="How far the quorum is.")
    override: OverrideRecord | None = Field(default=None, description="For overrides.")
    exceptions_used: Ids = Field(default=[], description="Policy exceptions it rests on.")
    reviewer_roles: Lines = Field(default=[], description="Roles of the reviewer at that time.")
    on_behalf_of: Id | None = Field(default=None, description="The person whose delegate decided.")
    presented_at: Timestamp | None = Field(
        default=None, description="When the package was shown to them."
    )
    presented_digest: Line | None = Field(default=None, description="Digest of what was shown.")
    kid: Line | None = Field(
        default=None, description="Thumbprint of the key that signed the command."
    )
    sid: Line | None = Field(
        default=None, description="Digest of the gateway session it was signed in."
    )
    auth_time: Timestamp | None = Field(
        default=None, description="When that session began with a login, says the gateway."
    )
    amr: Lines = Field(
        default=[], description="How the person logged in (RFC 8176), says the gateway."
    )
    thread_id: Id = Field(description="The thread to resume.")
    checkpoint_id: Id | None = Field(default=None, description="The checkpoint to resume from.")
    evidence_requested: Lines = Field(default=[], description="What is missing, when asked for.")
    reviewer_rationale: Text | None = Field(
        default=None, description="The reviewer's own rationale."
    )
    authority_transition: AuthorityTransition | None = Field(
        default=None, description="The authority boundary that the action crosses."
    )
    defer_until: Timestamp | None = Field(default=None, description="defer: hidden until then.")
    defer_condition: Line | None = Field(
        default=None, description="defer: hidden until this is met."
    )
    grant_id: Id | None = Field(default=None, description="revoke: the grant taken back.")
    verdict: Verdict | None = Field(default=None, description="audit_verdict: the verdict.")
    policy_exception: ExceptionTerms | None = Field(
        default=None, description="grant_exception, revoke_exception: the exception."
    )
    approvals_void: Ids = Field(
        default=[], description="Earlier approvals whose givers could not give them any more."
    )


class InterruptStatusChanged(Record):
    """Where an interrupt stands; agents resume on the one with `final` (section 7)."""

    event_id: Id = Field(description="Id of the event.")
    tenant_id: Id = Field(description="The tenant.")
    run_id: Id = Field(description="The agent run that waits.")
    thread_id: Id = Field(description="The thread to resume.")
    checkpoint_id: Id | None = Field(default=None, description="The checkpoint to resume from.")
    interrupt_id: Id = Field(description="The interrupt.")
    decision_package_id: Id = Field(description="The package.")
    package_version: Count = Field(description="The package version.")
    status: InterruptStatus = Field(description="pending, escalated, decided, expired, cancelled.")
    outcome: Line | None = Field(default=None, description="What it ended with, such as approve.")
    final: bool = Field(description="True exactly for decided, expired and cancelled.")
    reason: Text = Field(description="Why it stands so, in words.")
    required_role: Line | None = Field(default=None, description="Role that is asked now.")
    decision_event_id: Id | None = Field(default=None, description="The decision that led to it.")
    routing: Routing | None = Field(default=None, description="Where the agent goes on.")
    created_at: Timestamp = Field(description="When the interrupt was opened.")
    decide_by: Timestamp | None = Field(default=None, description="When it expires or escalates.")
    decide_by_source: Line | None = Field(
        default=None, description="Where decide_by comes from: policy, expires_at or deadline."
    )
    decide_from: Timestamp | None = Field(
        default=None, description="When the time to decide began; SLA warnings count from it."
    )
    deferred_until: Timestamp | None = Field(
        default=None, description="Set when it was just deferred: hidden from the queue until then."
    )
    defer_condition: Line | None = Field(
        default=None, description="Set when it was just deferred until this is met."
    )
    decide_left_us: Count | None = Field(
        default=None,
        description="Set when it was just deferred: the policy's time that is left, microseconds.",
    )
    authority_transition: AuthorityTransition | None = Field(
        default=None, description="The authority boundary that the action crosses."
    )
    occurred_at: Timestamp = Field(description="When it changed.")


class ToolGateEvent(Record):
    """The gate of a tool call changed (section 22). No tool call: no gate event."""

    event_id: Id = Field(description="Id of the event.")
    tenant_id: Id = Field(description="The tenant.")
    run_id: Id = Field(description="The agent run that asked.")
    interrupt_id: Id = Field(description="The interrupt.")
    decision_package_id: Id = Field(description="The package.")
    package_version: Count = Field(description="The package version.")
    gate: GateChange = Field(description="opened, denied, revoked, expired or consumed.")
    reason: Line = Field(description="Why, such as approve, policy, window, reject, expired.")
    tool_name: Id | None = Field(default=None, description="The tool.")
    effect_type: Id | None = Field(default=None, description="Kind of effect.")
    action_digest: Line | None = Field(
        default=None, description="Digest of the action the gate is for."
    )
    args_json: Text | None = Field(
        default=None, description="The approved arguments, RFC 8785 text."
    )
    grant_id: Id | None = Field(default=None, description="The grant.")
    grant_jws: Text | None = Field(default=None, description="The signed grant (opened).")
    valid_until: Timestamp | None = Field(default=None, description="When an untaken grant ends.")
    execute_by: Timestamp | None = Field(
        default=None, description="When a taken grant is in doubt."
    )
    executor_id: Id | None = Field(default=None, description="Who took the grant (consumed).")
    attempt_id: Id | None = Field(default=None, description="The attempt that took it (consumed).")
    decision_event_ids: Ids = Field(
        default=[], description="Approvals counted, completing one last."
    )
    policy_version: Line = Field(description="The policy the plan was made under.")
    authority_transition: AuthorityTransition | None = Field(
        default=None, description="The authority boundary that the action crosses."
    )
    occurred_at: Timestamp = Field(description="When it changed.")


class ReviewTaskEvent(Record):
    """The review task changed (section 13)."""

    event_id: Id = Field(description="Id of the event.")
    review_task_id: Id = Field(description="The task.")
    tenant_id: Id = Field(description="The tenant.")
    interrupt_id: Id = Field(description="The interrupt it is for.")
    decision_package_id: Id = Field(description="The package.")
    change: TaskChange = Field(description="What changed, such as created, claimed, closed.")
    status: TaskStatus = Field(description="open, in_doubt, audit or closed.")
    required_role: Line = Field(description="Role that is asked now.")
    priority: Line = Field(description="low, medium, high or critical.")
    assigned_to: Id | None = Field(default=None, description="Who holds it.")
    due_at: Timestamp | None = Field(default=None, description="When it is due.")
    created_at: Timestamp = Field(description="When it was created.")
    actor: Id | None = Field(default=None, description="Who changed it; null: the system.")
    command_id: Id | None = Field(default=None, description="The ReviewTaskCommand it answers.")
    comment: Text | None = Field(default=None, description="A comment.")
    comment_kind: CommentKind | None = Field(
        default=None, description="commented: note or condition_met."
    )
    lease_until: Timestamp | None = Field(
        default=None, description="claimed: when the claim ends by itself."
    )
    presented_digest: Line | None = Field(
        default=None, description="presented: digest of what was shown."
    )
    sla_percent: Count | None = Field(
        default=None, description="sla_warning: how much of the time is gone, 50 or 80."
    )
    difference: Difference | None = Field(
        default=None, description="difference: how receipt and grant disagree."
    )
    package_version: Count | None = Field(default=None, description="The package version.")
    authority_transition: AuthorityTransition | None = Field(
        default=None, description="The authority boundary that the action crosses."
    )
    occurred_at: Timestamp = Field(description="When it changed.")


class CommandRefused(Record):
    """An input record was valid and is not allowed; says what to mend."""

    event_id: Id = Field(description="Id of the event.")
    tenant_id: Id = Field(description="The tenant.")
    decision_package_id: Id = Field(description="The package.")
    command_id: Id = Field(description="Id of what was refused: command, interrupt, attempt.")
    refused_type: Line = Field(description="The ce_type of what was refused.")
    reviewer_id: Id | None = Field(default=None, description="Who sent it, if authenticated.")
    code: Code = Field(description="The first rule that failed.")
    codes: list[Code] = Field(default=[], description="Every rule that failed, in order.")
    message: Text = Field(description="What is wrong and how to mend it.")
    first_event_id: Id | None = Field(
        default=None, description="The first answer, for a duplicate."
    )
    current_package_version: Count | None = Field(
        default=None, description="The version that stands."
    )
    occurred_at: Timestamp = Field(description="Append time of what was refused.")


class CommandParked(Record):
    """A command waits for its package. Stands in the journal only."""

    command_id: Id = Field(description="The command that waits.")
    tenant_id: Id = Field(description="The tenant.")
    decision_package_id: Id = Field(description="The package it waits for.")
    ce_type: Line = Field(description="Its type.")
    body_json: Text = Field(description="The command as JSON text.")
    origin: Line = Field(description="Its coordinates: topic/partition/offset.")
    appended_at: Timestamp = Field(description="Its append time, by which it is judged.")
    signer_id: Id | None = Field(default=None, description="Who signed it.")
    signer_kind: Literal["reviewer", "gateway"] | None = Field(
        default=None, description="Whose key it was: the reviewer's own, or a gateway's."
    )
    kid: Line | None = Field(default=None, description="Thumbprint of the key.")
    sid: Line | None = Field(default=None, description="Digest of the gateway session.")
    auth_time: Timestamp | None = Field(default=None, description="When that session began.")
    amr: Lines = Field(default=[], description="How the person logged in.")
    park_until: Timestamp = Field(description="When it stops waiting.")


class CommandUnparked(Record):
    """A parked command is being judged or given up. Stands in the journal only."""

    command_id: Id = Field(description="The command that waited.")
    origin: Line = Field(description="Its coordinates: topic/partition/offset.")
    tenant_id: Id = Field(description="The tenant.")
    decision_package_id: Id = Field(description="The package it waited for.")


class KeyAnswered(Record):
    """An idempotency key got its answer. Stands in the journal only."""

    tenant_id: Id = Field(description="The tenant.")
    decision_package_id: Id = Field(description="The package.")
    key_digest: Line = Field(description="SHA-256 of signer and idempotency key, 32 hex digits.")
    payload_digest: Line = Field(description="SHA-256 of the command without command_id.")
    event_id: Key = Field(description="The first event that answered it.")


class ReceiptRecorded(Record):
    """An executor's receipt was matched with its take. Stands in the journal only."""

    event_id: Id = Field(description="Id of this event.")
    tenant_id: Id = Field(description="The tenant.")
    decision_package_id: Id = Field(description="The package.")
    grant_id: Id = Field(description="The grant.")
    attempt_id: Id = Field(description="The attempt.")
    receipt_type: Line = Field(description="The ce_type of the receipt.")
    receipt_id: Id = Field(description="The receipt's own event id.")
    outcome: Outcome | None = Field(default=None, description="outcome.reported: how it went.")
    occurred_at: Timestamp = Field(description="Append time of the receipt.")
