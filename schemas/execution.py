"""What executors send: takes, receipts, notices (requirements, sections 10, 22). All are signed."""

from __future__ import annotations

from pydantic import Field

from schemas.model import Id, Line, Record, Text, Timestamp
from schemas.vocabulary import Outcome


class GrantTake(Record):
    """An executor asks to be the one that runs a grant."""

    grant_id: Id = Field(description="The grant, from its verified token.")
    attempt_id: Id = Field(description="Id of this attempt; the answer carries it.")
    executor_id: Id = Field(description="The executor; must be who the signature says.")
    tenant_id: Id = Field(description="The tenant.")
    decision_package_id: Id = Field(description="The package.")


class Receipt(GrantTake):
    """What all receipts share."""

    event_id: Id = Field(description="Id of this receipt.")
    action_digest: Line = Field(description="Digest of the action that was run.")
    result_digest: Line | None = Field(
        default=None, description="Lower-case hex SHA-256 of the result."
    )
    detail: Text | None = Field(default=None, description="What happened, in words.")
    occurred_at: Timestamp = Field(description="When it happened, by the executor's clock.")


class ToolExecuted(Receipt):
    """The action was run."""


class ToolFailed(Receipt):
    """The action was tried and is known not to have happened."""


class ToolInDoubt(Receipt):
    """It is not known whether the action happened; a human must look."""


class ToolDenied(Receipt):
    """The executor refused to act."""

    reason: Text = Field(description="Why it refused.")


class OutcomeReported(Record):
    """How it went, later."""

    event_id: Id = Field(description="Id of this report.")
    tenant_id: Id = Field(description="The tenant.")
    decision_package_id: Id = Field(description="The package.")
    grant_id: Id = Field(description="The grant that was run.")
    outcome: Outcome = Field(description="ok, incident or reversed.")
    severity: Line | None = Field(default=None, description="How bad, for an incident.")
    detail: Text | None = Field(default=None, description="What happened, in words.")
    reported_by: Id = Field(description="Who reports.")
    occurred_at: Timestamp | None = Field(default=None, description="When it happened.")


class Notice(Record):
    """What NoticeSent and NoticeFailed share."""

    event_id: Id = Field(description="Id of this event.")
    tenant_id: Id = Field(description="The tenant.")
    run_id: Id = Field(description="The agent run that asked.")
    interrupt_id: Id = Field(description="The interrupt that was decided.")
    decision_package_id: Id = Field(description="The package.")
    grant_id: Id = Field(description="The grant that was taken.")
    attempt_id: Id = Field(description="The attempt that took it.")
    action_digest: Line = Field(description="Digest of the action that was run.")
    notice_id: Line = Field(description="Id of the notice, from the arguments.")
    recipient: Line = Field(description="Mail address of the recipient.")


class NoticeSent(Notice):
    """The mail server took the notice (requirements, section 10)."""

    provider_message_id: Line = Field(description="The Message-ID of the mail.")
    occurred_at: Timestamp = Field(description="When the mail was taken.")


class NoticeFailed(Notice):
    """The notice was not sent and will not be."""

    reason: Text = Field(description="Why, as the mail server or the guard said.")
    occurred_at: Timestamp = Field(description="When it was given up.")
