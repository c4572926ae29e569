"""The quorum: its slots as they stand now, and which people fill them (requirements, section 4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from core.planning import escalated, meets_role
from schemas.directory import ReviewerAuthorization
from schemas.state import Approval, ControlPointState, Slot

_Use = Literal["none", "shared", "alone"]
"""What a team has of the slots: none, ordinary ones, or one that shares its team with no other."""


@dataclass(frozen=True, slots=True)
class Approver:
    """A person who approves. Through delegation the principal must meet the slot as well, so that
    nothing is widened; the team is the person's own."""

    reviewer: ReviewerAuthorization
    principal: ReviewerAuthorization | None = None


def current_slots(state: ControlPointState) -> list[Slot]:
    """The quorum as it stands after the escalations so far."""
    assert state.accepted is not None
    plan = state.accepted.plan
    slots = plan.slots
    for step in plan.ladder[: state.ladder_step]:
        slots = escalated(plan.role_order, slots, step.role)
    return slots


def seated(
    slots: Sequence[Slot], approvers: Sequence[Approver], role_order: list[str]
) -> tuple[int, ...]:
    """Indexes of the approvers that fill slots in one maximum matching, one slot a person.

    A distinct_team slot shares its team with no other filled slot; people without a team count as
    one team, since nothing shows that they are not. All sets of slots that can be filled are kept
    as bit masks, team by team: at most 2^slots of them, however many people there are.
    """
    whole = (1 << len(slots)) - 1
    seats: dict[int, tuple[int, ...]] = {0: ()}
    for members in _by_team(approvers).values():
        seats = _with_team(seats, members, slots, approvers, role_order)
        if whole in seats:
            break
    most = max(len(people) for people in seats.values())
    return tuple(sorted(next(people for people in seats.values() if len(people) == most)))


def fits(slot: Slot, approver: Approver, role_order: list[str]) -> bool:
    """Whether the person, and the principal if there is one, has the slot's role and scope."""
    people = [approver.reviewer, *([approver.principal] if approver.principal else [])]
    return all(
        slot.scope in person.scopes
        and any(meets_role(role_order, role, slot.role) for role in person.roles)
        for person in people
    )


def same_approver(
    persons: Iterable[str], kid: str | None, sid: str | None, approval: Approval
) -> bool:
    """Whether an approval is by the same person, delegate or principal, or was signed with the same
    personal key, or in what may be the same session of a gateway."""
    if set(persons) & set(approval.persons):
        return True
    if kid is None or kid != approval.kid:
        return False
    return sid is None or approval.sid is None or sid == approval.sid


def _by_team(approvers: Sequence[Approver]) -> dict[str | None, list[int]]:
    teams: dict[str | None, list[int]] = {}
    for index, approver in enumerate(approvers):
        teams.setdefault(approver.reviewer.team, []).append(index)
    return teams


def _with_team(
    seats: dict[int, tuple[int, ...]],
    members: list[int],
    slots: Sequence[Slot],
    approvers: Sequence[Approver],
    role_order: list[str],
) -> dict[int, tuple[int, ...]]:
    """The sets of slots that can be filled when the members of one more team may sit down too."""
    inside: dict[tuple[int, _Use], tuple[int, ...]] = {
        (mask, "none"): people for mask, people in seats.items()
    }
    alike: dict[tuple[int, ...], int] = {}
    for index in members:
        fitting = tuple(n for n, s in enumerate(slots) if fits(s, approvers[index], role_order))
        alike[fitting] = alike.get(fitting, 0) + 1
        if alike[fitting] > len(slots):
            continue  # there are as many people like this one as there are slots
        for (mask, use), people in list(inside.items()):
            for number in fitting:
                alone = slots[number].distinct_team
                if mask >> number & 1 or use == "alone" or (alone and use != "none"):
                    continue
                after: _Use = "alone" if alone else "shared"
                inside.setdefault((mask | 1 << number, after), (*people, index))
    merged: dict[int, tuple[int, ...]] = {}
    for (mask, _), people in inside.items():
        merged.setdefault(mask, people)
    return merged
