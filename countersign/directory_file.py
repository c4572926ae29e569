"""The directory file: who may review for a tenant, and which agents may ask (one tenant a file)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from schemas.directory import Absence, AgentRegistration, Delegation, ReviewerAuthorization
from schemas.model import Id, Line
from schemas.vocabulary import RiskLevel

DirectoryEntry = ReviewerAuthorization | AgentRegistration


def _instant(value: object) -> object:
    if isinstance(value, str):
        try:
            time = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("write a time such as 2027-01-01T00:00:00Z") from None
        if time.tzinfo is None:
            raise ValueError("add the time zone, such as 2027-01-01T00:00:00Z")
        return time.astimezone(UTC)
    return value


Instant = Annotated[datetime, BeforeValidator(_instant)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class DelegateRow(_Part):
    """Authority lent to `to` between two times."""

    to: Id
    from_: Annotated[Instant, Field(alias="from")]
    until: Instant


class AbsenceRow(_Part):
    """A time without decisions of one's own; the delegate, if named, may stand in."""

    from_: Annotated[Instant, Field(alias="from")]
    until: Instant
    delegate: Id | None = None


class ReviewerRow(_Part):
    """A person and what they may do."""

    reviewer_id: Id
    roles: Annotated[list[Line], Field(min_length=1)]
    scopes: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9._@-]+:[a-z_]+$")]]
    max_risk_level: RiskLevel
    team: Line | None = None
    conflicts: list[Line] = []
    active_until: Instant | None = None
    delegates: Annotated[list[DelegateRow], Field(max_length=64)] = []
    absences: Annotated[list[AbsenceRow], Field(max_length=64)] = []
    linked_identities: Annotated[list[Id], Field(max_length=256)] = []


class AgentRow(_Part):
    """An agent, who answers for it and for whom it may ask."""

    agent_id: Id
    owner: Id | None = None
    may_request_for: list[Id] = []


class DirectoryFile(_Part):
    """One tenant's people and agents."""

    tenant_id: Id
    reviewers: list[ReviewerRow] = []
    agents: list[AgentRow] = []


Loc = tuple[str | int, ...]
Fault = tuple[Loc, str]


def faults(file: DirectoryFile) -> list[Fault]:
    """What the form alone cannot see: where it stands, and its mend."""
    found: list[Fault] = []
    people: set[str] = set()
    for index, row in enumerate(file.reviewers):
        at: Loc = ("reviewers", index, "reviewer_id")
        if row.reviewer_id in people:
            found.append((at, f"{row.reviewer_id} stands twice; merge the two"))
        people.add(row.reviewer_id)
    agents: set[str] = set()
    for index, agent in enumerate(file.agents):
        if agent.agent_id in agents:
            found.append((("agents", index, "agent_id"), f"{agent.agent_id} stands twice"))
        agents.add(agent.agent_id)
    linked: dict[str, str] = {}
    for index, row in enumerate(file.reviewers):
        at = ("reviewers", index)
        found += _lending_faults(row, at, people)
        found += _linking_faults(row, at, people, linked)
    return found


def _lending_faults(row: ReviewerRow, at: Loc, people: set[str]) -> Iterator[Fault]:
    """Of delegations and absences: whom they name, and when."""
    spans: list[tuple[Loc, str, str | None, DelegateRow | AbsenceRow]] = [
        ((*at, "delegates", number), "to", one.to, one) for number, one in enumerate(row.delegates)
    ]
    spans += [
        ((*at, "absences", number), "delegate", one.delegate, one)
        for number, one in enumerate(row.absences)
    ]
    for where, key, name, span in spans:
        if name == row.reviewer_id:
            yield (*where, key), f"{name} cannot stand in for themselves; name another reviewer"
        elif name is not None and name not in people:
            yield (*where, key), f"{name} is not in this file; add them"
        if span.until <= span.from_:
            yield (*where, "until"), "ends before it begins; put it after `from`"


def _linking_faults(
    row: ReviewerRow, at: Loc, people: set[str], linked: dict[str, str]
) -> Iterator[Fault]:
    """Of linked identities: one identity is one person. `linked` says whose each is so far."""
    for number, name in enumerate(row.linked_identities):
        where = (*at, "linked_identities", number)
        if name == row.reviewer_id:
            yield where, f"{name} is this reviewer's own id; remove it"
        elif name in people:
            yield where, f"{name} is another reviewer of this file; link it, or list it, not both"
        elif name in linked:
            yield where, f"{name} is linked to {linked[name]} already; leave it to one of them"
        linked.setdefault(name, row.reviewer_id)


def entries(file: DirectoryFile, digest: str) -> list[DirectoryEntry]:
    """The records of the file; `digest` is the SHA-256 of its bytes."""
    reviewers: list[DirectoryEntry] = [
        ReviewerAuthorization(
            reviewer_id=row.reviewer_id,
            roles=row.roles,
            tenant_id=file.tenant_id,
            scopes=list(row.scopes),
            max_risk_level=row.max_risk_level,
            team=row.team,
            conflicts=row.conflicts,
            active_until=row.active_until,
            delegates=[
                Delegation(to=lent.to, valid_from=lent.from_, valid_until=lent.until)
                for lent in row.delegates
            ],
            absences=[
                Absence(valid_from=away.from_, valid_until=away.until, delegate=away.delegate)
                for away in row.absences
            ],
            linked_identities=row.linked_identities,
            directory_digest=digest,
        )
        for row in file.reviewers
    ]
    return reviewers + [
        AgentRegistration(
            agent_id=row.agent_id,
            tenant_id=file.tenant_id,
            owner=row.owner,
            may_request_for=row.may_request_for,
            directory_digest=digest,
        )
        for row in file.agents
    ]


def changes(
    wanted: list[DirectoryEntry], present: list[DirectoryEntry], digest: str
) -> list[DirectoryEntry]:
    """What must be published so that `present` becomes `wanted`; who left is `removed`."""
    before = {_who(entry): entry for entry in present}
    after = {_who(entry): entry for entry in wanted}
    changed = [entry for who, entry in after.items() if not _same(before.get(who), entry)]
    gone = [
        entry.model_copy(update={"removed": True, "directory_digest": digest})
        for who, entry in before.items()
        if who not in after and not entry.removed
    ]
    return changed + gone


def _who(entry: DirectoryEntry) -> tuple[str, str]:
    if isinstance(entry, ReviewerAuthorization):
        return "reviewer", entry.reviewer_id
    return "agent", entry.agent_id


def _same(one: DirectoryEntry | None, other: DirectoryEntry) -> bool:
    return (
        one is not None
        and one.model_copy(update={"directory_digest": other.directory_digest}) == other
    )
