"""Lineage: who stands behind a package, and therefore does not decide on it (section 15)."""

from __future__ import annotations

from collections.abc import Iterable

from core.context import Context
from core.limits import LINEAGE_NAMES_MAX
from schemas.requests import InterruptRequested
from schemas.state import Lineage


def barred(lineage: Lineage) -> frozenset[str]:
    """Who may not decide because the package comes from them, claimed or verified."""
    return frozenset(
        {lineage.first_signer, *lineage.requesters, *lineage.drafters, *lineage.owners}
    )


def is_first_signer(lineage: Lineage, claimed_sender: str, context: Context) -> bool:
    """Whether the record comes from who sent version 1. An unsigned record proves nothing, so it
    never speaks for a package whose first version was signed."""
    if context.signer is not None:
        return context.signer.subject == lineage.first_signer
    return claimed_sender == lineage.first_signer and lineage.first_signer in lineage.claimed


def lineage_of(
    before: Lineage | None, request: InterruptRequested, context: Context
) -> Lineage | None:
    """The lineage with one more version. None: more names than a package may have."""
    package = request.package
    signer = context.signer.subject if context.signer else package.proposed_by
    editors = [c.agent_id for c in package.contributors if c.role in ("drafter", "editor")]
    memory = [package.memory.proposed_by] if package.memory else []
    drafters = [signer, package.drafted_by or package.proposed_by, *editors, *memory]
    agents = [
        agent
        for name in drafters
        if (agent := context.tenant.agents.get(name)) is not None and not agent.removed
    ]
    signed_for = [a.may_request_for for a in agents if a.agent_id == signer]
    verified = {signer, *(name for names in signed_for for name in names)}
    named = [signer, request.requested_by, *drafters]
    claimed = [name for name in named if context.signer is None or name not in verified]
    owners = [agent.owner for agent in agents if agent.owner is not None]
    names = {
        "requesters": _union(before.requesters if before else [], [request.requested_by]),
        "drafters": _union(before.drafters if before else [], drafters),
        "owners": _union(before.owners if before else [], owners),
        "claimed": _union(before.claimed if before else [], claimed),
    }
    if any(len(some) > LINEAGE_NAMES_MAX for some in names.values()):
        return None
    return Lineage(first_signer=before.first_signer if before else signer, **names)


def _union(before: Iterable[str], more: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*before, *more]))
