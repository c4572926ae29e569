"""What agents send: the decision package and the interrupt around it (requirements, sections 5, 6, 21)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from schemas.model import Id, Line, Lines, Record, Text, Timestamp
from schemas.vocabulary import AuthorityTransition, RiskLevel


class Evidence(Record):
    """One piece of evidence, with the digest that shows it is the same piece later."""

    ref: Line = Field(description="Reference of the evidence, as in evidence_refs.")
    sha256: Line | None = Field(default=None, description="Lower-case hex SHA-256 of its bytes.")
    media_type: Line | None = Field(default=None, description="Its media type.")
    captured_at: Timestamp | None = Field(default=None, description="When it was captured.")


class Draft(Record):
    """The draft that the action would make official."""

    media_type: Line = Field(description="Media type of the draft.")
    text: Text | None = Field(
        default=None, description="The draft itself, when it is text and small."
    )
    ref: Line | None = Field(default=None, description="Where the draft lies otherwise.")
    sha256: Line | None = Field(default=None, description="Lower-case hex SHA-256 of the draft.")


class ToolCall(Record):
    """The exact call that an approval would authorise."""

    tool_name: Id = Field(description="Name of the tool.")
    effect_type: Id = Field(description="Kind of effect, such as external_notice.")
    args_json: Text = Field(description="The arguments as RFC 8785 canonical JSON text.")


class MemoryApprovalPackage(Record):
    """A memory that an agent wants to keep (requirements, section 21)."""

    package_id: Id = Field(description="Id of the memory package.")
    proposed_memory: Text = Field(description="The memory as it would be stored.")
    subject_type: Line = Field(description="Kind of subject the memory is about.")
    subject_id: Line = Field(description="The subject the memory is about.")
    source_refs: Lines = Field(default=[], description="Where the memory comes from.")
    sensitivity: Line = Field(description="Sensitivity class of the memory.")
    retention: Line = Field(description="How long it would be kept.")
    proposed_by: Id = Field(description="The agent that proposes it.")
    supersedes: Id | None = Field(
        default=None, description="The stored memory that this one replaces."
    )


class Dissent(Record):
    """A position against the proposal, shown and never summed up."""

    by: Id = Field(description="Who dissents.")
    position: Text = Field(description="The other position.")
    rationale: Text = Field(description="Its reasons.")


class Contributor(Record):
    """An agent that took part in the package."""

    agent_id: Id = Field(description="The agent.")
    role: Line = Field(description="Its part, such as drafter or risk.")
    position: Text | None = Field(default=None, description="Its position on the proposal.")


class DecisionPackage(Record):
    """All a reviewer needs to decide, in one version (requirements, section 5).

    Absent text is empty text: that a package is incomplete is for the rules to say, with an answer.
    """

    decision_package_id: Id = Field(description="Id of the package, the same in all versions.")
    tenant_id: Id = Field(description="The tenant it belongs to.")
    run_id: Id = Field(description="The agent run that waits for it.")
    subject_type: Line = Field(default="", description="Kind of subject, such as case or customer.")
    subject_id: Line = Field(default="", description="The subject.")
    title: Line = Field(default="", description="One line that says what is asked.")
    proposed_action: Text = Field(default="", description="The action proposed, in words.")
    proposed_by: Id = Field(description="The agent that proposes; it signs the request.")
    rationale: Text = Field(default="", description="Why the action is proposed.")
    evidence_refs: Lines = Field(default=[], description="References of the evidence used.")
    risk_level: RiskLevel = Field(
        description="Risk as the agent sees it: low, medium, high, critical."
    )
    confidence: float = Field(ge=0.0, le=1.0, description="Confidence of the system, 0 to 1.")
    known_uncertainties: Lines = Field(default=[], description="What is known to be uncertain.")
    alternatives: Lines = Field(default=[], description="Other actions that were considered.")
    policy_basis: Lines = Field(default=[], description="Policies the proposal rests on.")
    side_effect_preview: Text = Field(
        default="{}", description="What would change, as RFC 8785 JSON text."
    )
    version: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        description="Package version, from 1."
    )
    evidence: Annotated[list[Evidence], Field(max_length=256)] = Field(
        default=[], description="Digests and kinds of the evidence."
    )
    draft: Draft | None = Field(default=None, description="The draft that would become official.")
    consequence: Text | None = Field(default=None, description="What approval leads to, in words.")
    does_not_authorize: Lines = Field(default=[], description="What approval does not authorise.")
    downstream_impact: Lines = Field(default=[], description="What changes further down the line.")
    tool_call: ToolCall | None = Field(
        default=None, description="The exact tool call, where there is one."
    )
    memory: MemoryApprovalPackage | None = Field(
        default=None, description="The memory write, if it is one."
    )
    dissents: Annotated[list[Dissent], Field(max_length=64)] = Field(
        default=[], description="Positions against the proposal."
    )
    contributors: Annotated[list[Contributor], Field(max_length=64)] = Field(
        default=[], description="Agents that took part."
    )
    subject_relations: Lines = Field(
        default=[], description="Entities the subject relates to, for conflict checks."
    )
    drafted_by: Id | None = Field(
        default=None, description="Who drafted it; proposed_by when null."
    )
    deadline: Timestamp | None = Field(
        default=None, description="When the decision stops being useful."
    )
    escalation_path: Lines = Field(default=[], description="Escalation path the agent suggests.")
    prior_decisions: Lines = Field(default=[], description="Ids of similar earlier decisions.")
    reopens: Id | None = Field(default=None, description="Closed package that this one reopens.")


class InterruptRequested(Record):
    """An agent pauses and asks (requirements, section 6). One per package version."""

    interrupt_id: Id = Field(description="Id of the interrupt, new for each package version.")
    tenant_id: Id = Field(description="The tenant.")
    run_id: Id = Field(description="The agent run that waits.")
    thread_id: Id = Field(description="The thread to resume.")
    checkpoint_id: Id | None = Field(default=None, description="The checkpoint to resume from.")
    interrupt_type: Line | None = Field(
        default=None, description="Kind of interrupt, for policy rules."
    )
    reason: Text = Field(description="Why a human is asked.")
    required_role: Line | None = Field(
        default=None, description="Role asked for; can only tighten policy."
    )
    requested_by: Id = Field(description="On whose behalf it is asked.")
    authority_transition: AuthorityTransition | None = Field(
        default=None, description="The authority boundary that the action crosses."
    )
    package: DecisionPackage = Field(description="The decision package.")
    expires_at: Timestamp | None = Field(
        default=None, description="Absolute end; can only tighten policy."
    )


class InterruptCancelled(Record):
    """The requester takes its request back."""

    interrupt_id: Id = Field(description="The interrupt to cancel.")
    tenant_id: Id = Field(description="The tenant.")
    decision_package_id: Id = Field(description="The package.")
    reason: Text = Field(description="Why it is taken back.")
    requested_by: Id = Field(description="The agent that cancels; it signs the record.")
