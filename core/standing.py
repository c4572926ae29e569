"""What stops a command before anyone asks who sent it: time, version, action (the fixed order)."""

from __future__ import annotations

from collections.abc import Sequence

from core.authority import Claim, Failure, Session
from core.context import Context, Event, ReviewerCommand
from core.needs import Act
from core.refusals import BINDING, key_answered, refused
from schemas.commands import HumanDecisionCommand
from schemas.headers import rfc3339
from schemas.state import ControlPointState
from schemas.vocabulary import CODES


def claim_of(command: ReviewerCommand, act: Act, context: Context) -> Claim:
    """Who wants to do what, with which credential."""
    signer = context.signer
    return Claim(
        command.reviewer_id,
        act,
        command.on_behalf_of if isinstance(command, HumanDecisionCommand) else None,
        kid=signer.kid if signer else None,
        sid=signer.sid if signer else None,
        session=Session(signer.auth_time, signer.amr)
        if signer and signer.kind == "gateway"
        else None,
    )


def out_of_time(state: ControlPointState, context: Context) -> Failure | None:
    """TOO_LATE: appended after `decide_by`, whether or not its clock has fired."""
    if state.decide_by is None or context.now <= state.decide_by:
        return None
    return Failure("TOO_LATE", f"the time to decide ended at {rfc3339(state.decide_by)}")


def other_version(state: ControlPointState, command: ReviewerCommand) -> Failure | None:
    """STALE_PACKAGE_VERSION: about another version than the current one."""
    assert state.accepted is not None
    version = state.accepted.request.package.version
    if command.expected_package_version == version:
        return None
    message = f"the package stands at version {version}; read it and decide again"
    return Failure("STALE_PACKAGE_VERSION", message)


def refusal_of(
    state: ControlPointState,
    command: ReviewerCommand,
    context: Context,
    failures: Sequence[Failure],
) -> list[Event]:
    """The refusal of a command, its failures in the order of the rules, and its key's answer where
    time cannot mend it."""
    ordered = sorted(failures, key=lambda failure: CODES.index(failure.code))
    refusal = refused(state, command, context, ordered)
    if refusal.code not in BINDING:
        return [refusal]
    return [refusal, key_answered(command, context, refusal.event_id)]
