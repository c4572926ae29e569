"""The state of a control point, as it stands on `interrupt-state` and in Redis.

`PackageAccepted` stands here as well: it is the fact that carries a whole request and its plan into
the state, and is journalled only.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.events import CommandParked, ExceptionTerms, OverrideRecord
from schemas.model import Count, Id, Ids, Key, Line, Lines, Record, Text, Timestamp
from schemas.requests import InterruptRequested
from schemas.vocabulary import (
    AuthorityTransition,
    Code,
    CommentKind,
    ControlMode,
    Difference,
    GateState,
    InterruptStatus,
    OnTimeout,
    Outcome,
    RiskLevel,
)

Seconds = Annotated[int, Field(ge=0)]


class Slot(Record):
    """A place in the quorum: a predicate that one person must meet."""

    role: Line = Field(description="Role, met by it or one above it in role_order.")
    scope: Line = Field(description="Scope the person must have, such as notice:approve.")
    distinct_team: bool = Field(
        default=False, description="From another team than every other slot."
    )


class LadderStep(Record):
    """One step of the escalation ladder."""

    role: Line = Field(description="Role that is asked.")
    within_s: Seconds = Field(description="How long it has, in seconds.")


class WorkHours(Record):
    """A stretch of one weekday in which time counts."""

    weekday: Annotated[int, Field(ge=0, le=6)] = Field(description="0 Monday to 6 Sunday.")
    opens_min: Annotated[int, Field(ge=0, le=1440)] = Field(description="Minutes after midnight.")
    closes_min: Annotated[int, Field(ge=0, le=1440)] = Field(description="Minutes after midnight.")


class WorkCalendar(Record):
    """When time counts: working hours in a time zone, less holidays (section 14)."""

    name: Line = Field(description="Its name in the policy.")
    zone: Line = Field(description="IANA time zone, such as Europe/Berlin.")
    hours: Annotated[list[WorkHours], Field(min_length=1, max_length=64)] = Field(
        description="The working hours of a week."
    )
    holidays: Annotated[list[Line], Field(max_length=1024)] = Field(
        default=[], description="Dates on which no time counts, YYYY-MM-DD."
    )


class Plan(Record):
    """What the policy asks for; pinned at intake with its policy version."""

    policy_version: Line = Field(description="Version of the policy.")
    rule: Line = Field(description="Name of the rule that matched, or default.")
    mode: ControlMode = Field(description="The control mode.")
    subject: Line = Field(description="Scopes are <subject>:<decision>.")
    effective_risk: RiskLevel = Field(description="The higher of declared and tool-table risk.")
    role_order: Lines = Field(description="Roles, lowest first.")
    slots: Annotated[list[Slot], Field(max_length=16)] = Field(description="The quorum.")
    decide_within_s: Seconds = Field(description="Time for the decision, in seconds.")
    on_timeout: OnTimeout = Field(description="What happens at decide_by; nothing approves.")
    ladder: Annotated[list[LadderStep], Field(max_length=16)] = Field(
        default=[], description="The escalation ladder, first step first."
    )
    comment_required: bool = Field(default=False, description="Whether approval needs a comment.")
    objection_window_s: Seconds = Field(
        default=0, description="on_the_loop: the window, in seconds."
    )
    grant_valid_for_s: Seconds = Field(description="How long an untaken grant is valid.")
    execute_within_s: Seconds = Field(description="How long a taken grant may go unreported.")
    defer_max_s: Seconds = Field(default=0, description="How far a decision can be deferred.")
    audit_sample: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        default=0.0, description="Share that is audited afterwards."
    )
    authority_transition: AuthorityTransition | None = Field(
        default=None, description="The authority boundary that the action crosses."
    )
    priority: Annotated[int, Field(ge=0, le=9)] = Field(
        default=0, description="Rank in the queue before risk and deadline; 9 comes first."
    )
    claim_for_s: Seconds = Field(default=1800, description="How long a claim holds, in seconds.")
    exception_max_s: Seconds = Field(
        default=30 * 86400, description="How long a policy exception may hold, in seconds."
    )
    calendar: WorkCalendar | None = Field(
        default=None, description="When policy time counts; null: always."
    )
    exceptions: Ids = Field(default=[], description="Policy exceptions the intake rested on.")
    personal_keys: bool = Field(
        default=False, description="Whether deciding takes a key of one's own, not a gateway's."
    )
    session_max_age_s: Seconds | None = Field(
        default=None, description="How old a gateway session may be, in seconds; null: any age."
    )
    session_amr: Lines = Field(
        default=[], description="How the person must have shown who they are (RFC 8176), all of it."
    )


class Lineage(Record):
    """Who stands behind a package, over all its versions; bars from approving it."""

    first_signer: Id = Field(description="Agent that signed version 1; only it may supersede.")
    requesters: Ids = Field(description="Who requested any version.")
    drafters: Ids = Field(description="Who drafted any version.")
    owners: Ids = Field(default=[], description="Owners of the signing agents.")
    claimed: Ids = Field(default=[], description="Those above that are claimed, not verified.")


class PackageReplanned(Record):
    """An open package got the plan of a newer policy that asks for it. Journal only."""

    event_id: Id = Field(description="Id of the event.")
    tenant_id: Id = Field(description="The tenant.")
    decision_package_id: Id = Field(description="The package.")
    plan: Plan = Field(description="The new plan.")
    occurred_at: Timestamp = Field(description="When.")


class PackageAccepted(Record):
    """A request passed intake. Stands in the journal only."""

    event_id: Id = Field(description="Id of the event.")
    request: InterruptRequested = Field(description="The request, whole.")
    request_digest: Line = Field(description="SHA-256 of its RFC 8785 form.")
    package_digest: Line = Field(description="SHA-256 of the package's RFC 8785 form.")
    action_digest: Line | None = Field(default=None, description="Digest of the tool call.")
    plan: Plan = Field(description="The plan pinned for it.")
    lineage: Lineage = Field(description="Who stands behind it.")
    opened_event_id: Id = Field(description="The InterruptStatusChanged that answers it.")
    deadline_lifted: bool = Field(
        default=False, description="Whether an exception lets it be decided past its deadline."
    )
    occurred_at: Timestamp = Field(description="Append time of the request.")


class SeenInterrupt(Record):
    """An interrupt id this package has answered."""

    interrupt_id: Id = Field(description="The interrupt.")
    version: Count = Field(description="Its package version.")
    request_digest: Line = Field(description="SHA-256 of its RFC 8785 form.")
    event_id: Id = Field(description="The event that answered it.")


class Approval(Record):
    """An approval that counts for the current version."""

    reviewer_id: Id = Field(description="Who approved.")
    persons: Ids = Field(description="The people it counts as: delegate and principal.")
    kid: Line | None = Field(default=None, description="Thumbprint of the key.")
    sid: Line | None = Field(default=None, description="Digest of the gateway session.")
    event_id: Id = Field(description="The decision event.")


class PendingOverride(Record):
    """An override that waits for a second person of its authority."""

    by: Approval = Field(description="Who overrode; the event is the override's.")
    record: OverrideRecord = Field(description="What it says.")
    action_digest: Line = Field(description="Digest of the overriding action.")


class Presented(Record):
    """The current version was shown to a reviewer."""

    reviewer_id: Id = Field(description="To whom.")
    presented_at: Timestamp = Field(description="When it was first shown.")
    presented_digest: Line | None = Field(default=None, description="Digest of what was shown.")


class TaskComment(Record):
    """A comment on the package, over all its versions."""

    by: Id = Field(description="Who wrote it.")
    kind: CommentKind = Field(default="note", description="note or condition_met.")
    text: Text = Field(description="Its beginning; the event has it whole.")
    version: Count = Field(description="The version it is about.")
    occurred_at: Timestamp = Field(description="When.")


class Audit(Record):
    """The sampled audit of the decision."""

    review_task_id: Id = Field(description="Its task.")
    opened_at: Timestamp = Field(description="When it was opened.")
    closed: bool = Field(default=False, description="Whether its verdict was given.")


class GrantedException(Record):
    """A policy exception that was granted at this control point."""

    terms: ExceptionTerms = Field(description="What it excepts.")
    approver_id: Id = Field(description="Who granted it.")
    decision_event_id: Id = Field(description="The decision.")
    ended: bool = Field(default=False, description="Revoked or expired.")


class Grant(Record):
    """The grant of an open gate and what became of it."""

    grant_id: Id = Field(description="The grant.")
    action_digest: Line = Field(description="The action it is for.")
    valid_until: Timestamp = Field(description="When it ends untaken.")
    decision_event_ids: Ids = Field(default=[], description="Approvals it rests on.")
    executor_id: Id | None = Field(default=None, description="Who took it.")
    attempt_id: Id | None = Field(default=None, description="The attempt that took it.")
    taken_event_id: Id | None = Field(default=None, description="The tool_gate.consumed event.")
    execute_by: Timestamp | None = Field(default=None, description="When it is in doubt.")
    receipt_type: Line | None = Field(default=None, description="ce_type of the latest receipt.")
    receipt_ids: Ids = Field(default=[], description="Receipts recorded.")
    in_doubt: bool = Field(default=False, description="Raised to a human.")
    tool_name: Id = Field(description="The tool it is for.")
    effect_type: Id = Field(description="Kind of effect.")
    differences: Annotated[list[Difference], Field(max_length=16)] = Field(
        default=[], description="How receipts and grant were found to disagree."
    )
    outcome: Outcome | None = Field(default=None, description="How it went, as last reported.")


class AnsweredKey(Record):
    """An idempotency key and its first answer."""

    key_digest: Line = Field(description="SHA-256 of signer and idempotency key, 32 hex digits.")
    payload_digest: Line = Field(description="SHA-256 of the command without command_id.")
    event_id: Key = Field(description="The first event that answered it.")


class Refusal(Record):
    """One of the last refusals, kept for `explain`."""

    command_id: Id = Field(description="What was refused.")
    reviewer_id: Id | None = Field(default=None, description="Who sent it.")
    code: Code = Field(description="The first rule that failed.")
    occurred_at: Timestamp = Field(description="When.")


class ControlPointState(Record):
    """One control point: the fold of its events."""

    tenant_id: Id = Field(description="The tenant.")
    decision_package_id: Id = Field(description="The package.")
    status: Literal["awaited"] | InterruptStatus = Field(
        default="awaited", description="awaited (parked commands only), or the interrupt's status."
    )
    outcome: Line | None = Field(default=None, description="What the interrupt ended with.")
    gate: GateState = Field(
        default="closed", description="The gate; closed is the answer to every doubt."
    )
    accepted: PackageAccepted | None = Field(
        default=None, description="The current version and its plan."
    )
    created_at: Timestamp | None = Field(default=None, description="When this version was opened.")
    required_role: Line | None = Field(default=None, description="Role that is asked now.")
    ladder_step: Count = Field(default=0, description="Escalations so far.")
    deferred: bool = Field(default=False, description="Whether the one deferral is used.")
    decide_by: Timestamp | None = Field(default=None, description="When it expires or escalates.")
    decide_by_source: Line | None = Field(default=None, description="Where decide_by comes from.")
    decide_from: Timestamp | None = Field(
        default=None, description="When the time to decide began."
    )
    sla_warned: Count = Field(default=0, description="Per cent of that time last warned of.")
    deferred_until: Timestamp | None = Field(
        default=None, description="Hidden from the queue until then."
    )
    defer_condition: Line | None = Field(default=None, description="What ends the deferral.")
    decide_left_us: Count | None = Field(
        default=None, description="Deferred: the policy's time that begins again, microseconds."
    )
    assigned_to: Id | None = Field(default=None, description="Who holds the review task.")
    lease_until: Timestamp | None = Field(default=None, description="When the claim ends.")
    recused: Ids = Field(default=[], description="Reviewers who stepped aside, of any version.")
    presented: Annotated[list[Presented], Field(max_length=64)] = Field(
        default=[], description="To whom this version was shown."
    )
    comments: Annotated[list[TaskComment], Field(max_length=64)] = Field(
        default=[], description="Comments of all versions, oldest first."
    )
    approvals: Annotated[list[Approval], Field(max_length=64)] = Field(
        default=[], description="Approvals of this version."
    )
    deciders: Ids = Field(
        default=[], description="Who decided anything about this version, delegates and principals."
    )
    override: PendingOverride | None = Field(
        default=None, description="An override that waits for its confirmation, or had it."
    )
    audit: Audit | None = Field(default=None, description="The sampled audit.")
    exceptions: Annotated[list[GrantedException], Field(max_length=64)] = Field(
        default=[], description="Policy exceptions granted here."
    )
    grant: Grant | None = Field(default=None, description="The current grant.")
    decision_event_id: Id | None = Field(default=None, description="The decision that closed it.")
    interrupts: Annotated[list[SeenInterrupt], Field(max_length=1024)] = Field(
        default=[], description="Interrupt ids answered, oldest first."
    )
    answered: Annotated[list[AnsweredKey], Field(max_length=4096)] = Field(
        default=[], description="Idempotency keys answered, oldest first."
    )
    parked: Annotated[list[CommandParked], Field(max_length=64)] = Field(
        default=[], description="Commands that wait for the package."
    )
    refusals: Annotated[list[Refusal], Field(max_length=16)] = Field(
        default=[], description="The last refusals, oldest first."
    )
