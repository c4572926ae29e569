"""The directory file: who may review for a tenant, and which agents may ask (one tenant a file)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from schemas.directory import AgentRegistration, Delegation, ReviewerAuthorization
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


class ReviewerRow(_Part):
    """A person and what they may do."""

    reviewer_id: Id
    roles: Annotated[list[Line], Field(min_length=1)]
    scopes: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9._@-]+:[a-z_]+$")]]
    max_risk_level: RiskLevel
    team: Line | None = None
    conflicts: list[Line] = []
    active_until: Instant | None = None
    delegates: list[DelegateRow] = []


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


Fault = tuple[tuple[str | int, ...], str]


def faults(file: DirectoryFile) -> list[Fault]:
    """What the form alone cannot see: where it stands, and its mend."""
    found: list[Fault] = []
    people: set[str] = set()
    for index, row in enumerate(file.reviewers):
        at: tuple[str | int, ...] = ("reviewers", index, "reviewer_id")
        if row.reviewer_id in people:
            found.append((at, f"{row.reviewer_id} stands twice; merge the two"))
        people.add(row.reviewer_id)
    agents: set[str] = set()
    for index, agent in enumerate(file.agents):
        if agent.agent_id in agents:
            found.append((("agents", index, "agent_id"), f"{agent.agent_id} stands twice"))
        agents.add(agent.agent_id)
    for index, row in enumerate(file.reviewers):
        for number, lent in enumerate(row.delegates):
            at = ("reviewers", index, "delegates", number)
            if lent.to not in people:
                found.append(((*at, "to"), f"{lent.to} is not in this file; add them"))
            if lent.until <= lent.from_:
                found.append(((*at, "until"), "ends before it begins; put it after `from`"))
    return found


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
