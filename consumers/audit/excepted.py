"""The policy exceptions that a control point rests on, and those that were granted there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.directory import TenantContext
from core.exceptions import ended_exceptions
from schemas.directory import PolicyExceptionChanged
from schemas.events import ExceptionTerms
from schemas.headers import rfc3339
from schemas.state import ControlPointState


@dataclass(frozen=True, slots=True)
class Excepted:
    """One exception. rests: whether the plan rests on it; if not, it was only granted here. terms,
    granted_by None: the directory does not know it any more."""

    exception_id: str
    terms: ExceptionTerms | PolicyExceptionChanged | None
    granted_by: str | None
    rests: bool
    ended: bool

    def line(self) -> str:
        """It in a line; nothing of it is somebody's own words."""
        said = f"policy exception {self.exception_id}"
        if self.terms is not None:
            said += f": {self.terms.kind or 'on record only'} for {self.terms.applies_to}"
            said += "" if self.ended else f", until {rfc3339(self.terms.expires_at)}"
            said += f", granted by {self.granted_by}"
        said += ", ended" if self.ended else ""
        return f"{said}; {'the plan rests on it' if self.rests else 'granted here'}"

    def form(self) -> dict[str, Any]:
        """It as JSON."""
        return {
            "exception_id": self.exception_id,
            "plan_rests_on_it": self.rests,
            "ended": self.ended,
            "kind": self.terms.kind if self.terms else None,
            "applies_to": self.terms.applies_to if self.terms else None,
            "expires_at": rfc3339(self.terms.expires_at) if self.terms else None,
            "granted_by": self.granted_by,
        }


def excepted_at(state: ControlPointState, tenant: TenantContext, now: datetime) -> list[Excepted]:
    """Those of the plan first, then what else was granted here."""
    if state.accepted is None:
        return []
    ended = ended_exceptions(state, tenant, now)
    resting = state.accepted.plan.exceptions
    found = []
    for name in resting:
        terms = tenant.exceptions.get(name)
        by = terms.approver_id if terms else None
        found.append(Excepted(name, terms, by, rests=True, ended=name in ended))
    for granted in state.exceptions:
        if granted.terms.exception_id not in resting:
            over = granted.ended or granted.terms.expires_at < now
            name = granted.terms.exception_id
            found.append(
                Excepted(name, granted.terms, granted.approver_id, rests=False, ended=over)
            )
    return found
