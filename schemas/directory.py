"""Directory records: what every task reads as context (requirements, sections 8, 14, 22)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from schemas.model import Count, Id, Ids, Line, Lines, Record, Text, Timestamp
from schemas.vocabulary import ExceptionChange, ExceptionKind, RiskLevel


class PolicyDocument(Record):
    """One version of a tenant's policy; immutable."""

    tenant_id: Id = Field(description="The tenant.")
    policy_version: Line = Field(description="Version; the same version never has other content.")
    document_json: Text = Field(description="The policy as RFC 8785 canonical JSON text.")


class Delegation(Record):
    """Authority lent for a time; never wider than either's own."""

    to: Id = Field(description="The delegate.")
    valid_from: Timestamp = Field(description="From when.")
    valid_until: Timestamp = Field(description="Until when.")


class Absence(Record):
    """A time in which a reviewer does not decide; the delegate, if named, may for them."""

    valid_from: Timestamp = Field(description="From when.")
    valid_until: Timestamp = Field(description="Until when.")
    delegate: Id | None = Field(default=None, description="Who stands in.")


class ReviewerAuthorization(Record):
    """What a reviewer may do (requirements, section 8)."""

    reviewer_id: Id = Field(description="The reviewer.")
    roles: Lines = Field(description="Roles held.")
    tenant_id: Id = Field(description="The tenant.")
    scopes: Lines = Field(description="Scopes held, <subject>:<decision>.")
    max_risk_level: RiskLevel = Field(description="Highest risk that may be decided.")
    team: Line | None = Field(default=None, description="Team, for distinct_team slots.")
    conflicts: Lines = Field(default=[], description="Entities with which there is a conflict.")
    active_until: Timestamp | None = Field(default=None, description="End of the authorization.")
    delegates: Annotated[list[Delegation], Field(max_length=64)] = Field(
        default=[], description="Delegations given."
    )
    absences: Annotated[list[Absence], Field(max_length=64)] = Field(
        default=[], description="Absences declared."
    )
    linked_identities: Ids = Field(
        default=[], description="Other ids of the same person, such as a service account."
    )
    removed: bool = Field(default=False, description="No longer in the directory.")
    directory_digest: Line = Field(description="SHA-256 of the file it came from.")


class AgentRegistration(Record):
    """What an agent stands for; on the same topic as the reviewers."""

    agent_id: Id = Field(description="The agent.")
    tenant_id: Id = Field(description="The tenant.")
    owner: Id | None = Field(default=None, description="The person who answers for it.")
    may_request_for: Ids = Field(default=[], description="Requesters it may speak for.")
    removed: bool = Field(default=False, description="No longer in the directory.")
    directory_digest: Line = Field(description="SHA-256 of the file it came from.")


class PolicyExceptionChanged(Record):
    """A policy exception was granted, revoked or has ended (section 23); never a precedent: it is
    for one package, until one time."""

    event_id: Id = Field(description="Id of this event.")
    tenant_id: Id = Field(description="The tenant.")
    decision_package_id: Id = Field(description="The package at which it was granted.")
    exception_id: Id = Field(description="The exception.")
    change: ExceptionChange = Field(description="granted, revoked or expired.")
    policy_id: Line = Field(description="The policy that is excepted.")
    requested_exception: Text = Field(description="What is excepted.")
    justification: Text = Field(description="Why.")
    kind: ExceptionKind | None = Field(default=None, description="The rule that is lifted.")
    applies_to: Id = Field(description="The one package it is for.")
    approver_id: Id = Field(description="Who granted it.")
    expires_at: Timestamp = Field(description="When it ends.")
    decision_event_id: Id = Field(description="The decision that granted or revoked it.")
    occurred_at: Timestamp = Field(description="When it changed.")


class ReviewerCapChanged(Record):
    """A reviewer has decided as many packages as the policy allows for an hour (section 17)."""

    event_id: Id = Field(description="Id of this event.")
    tenant_id: Id = Field(description="The tenant.")
    reviewer_id: Id = Field(description="The reviewer.")
    capped_until: Timestamp = Field(description="Until then they decide nothing.")
    decided: Count = Field(description="Decisions counted within the hour.")
    occurred_at: Timestamp = Field(description="When it was counted.")


class ClockTick(Record):
    """Moves the time of an input partition on; says nothing else."""

    partition: Count = Field(description="The task that asked for it.")
    due_at: Timestamp = Field(description="The due time that made it necessary.")
