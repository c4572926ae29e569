"""Who has decided too many: decisions of the last hour, and the caps that follow (section 17).

The limit is `decisions_per_hour_max` of today's policy: for a package, of the rule that planned it
(`defaults` where that rule names none, or is gone); for a person, the strictest of those that apply
to what they decided within the hour. All their decisions count, under all their ids; what only
stops something does not (object, revoke, revoke_exception): a cap does not bar it either. A cap
lasts until so many decisions have left the hour that the person stands below the limit again; a
policy made looser does not end one that is in force.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from core.authority import identities_of
from core.directory import TenantContext
from core.identifiers import derived_id
from core.planning import terms_of
from core.policy import Policy
from schemas.directory import ReviewerCapChanged
from schemas.events import HumanDecisionEvent
from schemas.topics import record_key
from schemas.vocabulary import RecordedDecision

HOUR: Final = timedelta(hours=1)
_BRAKES: Final[frozenset[RecordedDecision]] = frozenset({"object", "revoke", "revoke_exception"})

RuleOf = Callable[[bytes], str | None]
"""By record key, the name of the policy rule that planned the package; None: not known."""


@dataclass(frozen=True, slots=True)
class Counted:
    """One decision: when it was appended, and about which package."""

    at: datetime
    package: bytes


class Decisions:
    """The decisions of the last hour, by tenant and reviewer. The same event twice counts once."""

    def __init__(self) -> None:
        self._counted: dict[tuple[str, str], dict[str, Counted]] = {}

    def add(self, event: HumanDecisionEvent) -> None:
        """Counts a decision for who made it, in their own name or another's."""
        if event.decision in _BRAKES:
            return
        package = record_key(event.tenant_id, event.decision_package_id)
        who = self._counted.setdefault((event.tenant_id, event.reviewer_id), {})
        who[event.event_id] = Counted(event.occurred_at, package)

    def forget(self, now: datetime) -> None:
        """Drops what has left the hour that ends now."""
        for who, counted in list(self._counted.items()):
            kept = {some_id: one for some_id, one in counted.items() if one.at > now - HOUR}
            if kept:
                self._counted[who] = kept
            else:
                del self._counted[who]

    def people(self) -> list[tuple[str, str]]:
        """Tenant and reviewer of whoever has decided within the hour."""
        return sorted(self._counted)

    def of(self, tenant_id: str, names: Collection[str]) -> list[Counted]:
        """The decisions of one person under all these ids, oldest first."""
        found = [one for name in names for one in self._counted.get((tenant_id, name), {}).values()]
        return sorted(found, key=lambda one: one.at)


def caps_due(
    decisions: Decisions,
    tenant_id: str,
    reviewer_id: str,
    tenant: TenantContext,
    rule_of: RuleOf,
    now: datetime,
) -> list[ReviewerCapChanged]:
    """The caps to write, one for each id of the person; none below the limit, or where as long a
    cap is in force. Decisions that left the hour must have been forgotten."""
    names = identities_of([reviewer_id], tenant)
    counted = decisions.of(tenant_id, names)
    limits = [limit_of(tenant.policy, rule_of(one.package)) for one in counted]
    limit = min((found for found in limits if found is not None), default=None)
    if limit is None or len(counted) < limit:
        return []
    until = counted[len(counted) - limit].at + HOUR
    if until <= now:
        return []
    return [
        ReviewerCapChanged(
            event_id=derived_id(f"{tenant_id}/{name}/{until.isoformat()}", "reviewer-cap"),
            tenant_id=tenant_id,
            reviewer_id=name,
            capped_until=until,
            decided=len(counted),
            occurred_at=now,
        )
        for name in sorted(names & tenant.reviewers.keys())
        if (cap := tenant.caps.get(name)) is None or cap.capped_until < until
    ]


def limit_of(policy: Policy | None, rule: str | None) -> int | None:
    """`decisions_per_hour_max` for a package that this rule planned; None: no limit."""
    if policy is None:
        return None
    planned_by = next((one for one in policy.rules if one.name == rule), None)
    return terms_of(policy, planned_by).decisions_per_hour_max
