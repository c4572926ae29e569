"""Policy exceptions: what they lift at intake, and whether they still hold (section 23).

An exception is for one package and until one time; it is looked up by name and never generalised,
so it sets no precedent. It is read from the directory, since it may be granted at another package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from core.directory import TenantContext
from schemas.directory import PolicyExceptionChanged
from schemas.requests import DecisionPackage
from schemas.state import ControlPointState
from schemas.vocabulary import ExceptionKind


@dataclass(frozen=True, slots=True)
class Lifted:
    """The exceptions in force for one request, by the rule they lift."""

    by_kind: Mapping[ExceptionKind, str] = field(default_factory=lambda: MappingProxyType({}))
    on_record: tuple[str, ...] = ()

    def has(self, kind: ExceptionKind) -> bool:
        """Whether the rule of this kind is lifted."""
        return kind in self.by_kind


def lifted_for(
    package: DecisionPackage, tenant: TenantContext, now: datetime, *, behind: frozenset[str]
) -> Lifted:
    """What is lifted for this package today. A reopening is for the closed package it names. Nobody
    excepts a package they stand `behind`, wherever the exception was granted."""
    by_kind: dict[ExceptionKind, str] = {}
    on_record = []
    for exception in tenant.exceptions.values():
        approver = exception.approver_id
        known = tenant.identities.get(approver, frozenset({approver}))
        if not _holds(exception, now) or known & behind:
            continue
        target = package.reopens if exception.kind == "reopening" else package.decision_package_id
        if exception.applies_to != target:
            continue
        if exception.kind is None:
            on_record.append(exception.exception_id)
        else:
            by_kind.setdefault(exception.kind, exception.exception_id)
    return Lifted(MappingProxyType(by_kind), tuple(on_record))


def exceptions_used(state: ControlPointState, now: datetime) -> list[str]:
    """The exceptions a decision of this moment rests on: those of the intake, and those granted
    here for this very package."""
    assert state.accepted is not None
    here = [
        granted.terms.exception_id
        for granted in state.exceptions
        if not granted.ended
        and granted.terms.expires_at >= now
        and granted.terms.applies_to == state.decision_package_id
    ]
    return list(dict.fromkeys([*state.accepted.plan.exceptions, *here]))


def ended_exceptions(state: ControlPointState, tenant: TenantContext, now: datetime) -> list[str]:
    """Exceptions of the intake that were revoked or have expired since."""
    assert state.accepted is not None
    return [
        name
        for name in state.accepted.plan.exceptions
        if (found := tenant.exceptions.get(name)) is None or not _holds(found, now)
    ]


def _holds(exception: PolicyExceptionChanged, now: datetime) -> bool:
    return exception.change == "granted" and now <= exception.expires_at
