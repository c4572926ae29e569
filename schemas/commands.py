"""What reviewers send (requirements, sections 4, 11, 13, 23). All are signed."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from schemas.model import Id, Key, Line, Lines, Record, Text, Timestamp
from schemas.requests import ToolCall
from schemas.vocabulary import (
    CommentKind,
    Decision,
    ExceptionAction,
    ExceptionKind,
    TaskAction,
    Verdict,
)


class Command(Record):
    """What all commands share."""

    command_id: Id = Field(description="Id of the command; its answer is found by it.")
    tenant_id: Id = Field(description="The tenant.")
    decision_package_id: Id = Field(description="The package the command is about.")
    reviewer_id: Id = Field(description="The reviewer; must be who the signature says.")
    expected_package_version: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        description="The package version the reviewer saw."
    )
    idempotency_key: Key = Field(description="The same key never takes effect twice.")


class HumanDecisionCommand(Command):
    """A reviewer's decision (requirements, section 4)."""

    decision: Decision = Field(description="The decision.")
    comment: Text | None = Field(default=None, description="The reviewer's comment.")
    action_digest: Line | None = Field(
        default=None, description="Digest of the action the reviewer saw."
    )
    defer_until: Timestamp | None = Field(default=None, description="defer: hidden until then.")
    defer_condition: Line | None = Field(
        default=None, description="defer: hidden until this is met."
    )
    evidence_requested: Lines = Field(
        default=[], description="request_more_evidence: what is missing."
    )
    on_behalf_of: Id | None = Field(default=None, description="The person whose delegate decides.")
    reviewer_rationale: Text | None = Field(
        default=None, description="The reviewer's own rationale."
    )


class HumanOverrideCommand(Command):
    """Another action than recommended (requirements, section 11)."""

    original_recommendation: Text = Field(description="What the system recommended.")
    override_decision: Text = Field(description="What is decided instead.")
    override_reason: Text = Field(description="Why.")
    evidence_refs: Lines = Field(default=[], description="Evidence for the override.")
    override_tool_call: ToolCall | None = Field(
        default=None, description="The action to open the gate for; null opens nothing."
    )


class ReviewTaskCommand(Command):
    """Work on the review task; decides nothing about the package (requirements, section 13)."""

    action: TaskAction = Field(description="claim, release, assign, comment, present or recuse.")
    assignee: Id | None = Field(default=None, description="assign: to whom.")
    comment: Text | None = Field(default=None, description="comment, recuse: the text.")
    presented_digest: Line | None = Field(
        default=None, description="present: digest of what was shown."
    )
    kind: CommentKind | None = Field(
        default=None, description="comment: condition_met ends a deferral; null is a note."
    )


class GrantRevocationCommand(Command):
    """Takes an open gate back."""

    grant_id: Id | None = Field(
        default=None, description="The grant; null for the package's current one."
    )
    reason: Text = Field(description="Why it is revoked.")


class AuditVerdictCommand(Command):
    """The verdict of a sampled audit."""

    verdict: Verdict = Field(description="agree, disagree or defect.")
    comment: Text = Field(description="The auditor's reasons.")


class PolicyExceptionCommand(Command):
    """Asks for or takes back a policy exception (requirements, section 23)."""

    action: ExceptionAction = Field(description="grant or revoke.")
    exception_id: Id = Field(description="Id of the exception.")
    policy_id: Line = Field(description="The policy that is excepted.")
    requested_exception: Text = Field(description="What is excepted.")
    justification: Text = Field(description="Why.")
    expires_at: Timestamp | None = Field(default=None, description="When the exception ends.")
    kind: ExceptionKind | None = Field(
        default=None, description="The rule that is lifted; null: it is only put on record."
    )
    applies_to: Id | None = Field(
        default=None, description="The one package it is for; null: the package itself."
    )
