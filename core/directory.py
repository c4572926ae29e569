"""What every task reads as context: the tenants' policies, reviewers and agents.

An immutable fold of `control-policy` and `reviewer-directory`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import assert_never

from pydantic import ValidationError

from core.policy import Policy, parse_policy
from schemas.canonical import parse_json_strict
from schemas.directory import (
    AgentRegistration,
    PolicyDocument,
    PolicyExceptionChanged,
    ReviewerAuthorization,
    ReviewerCapChanged,
)

DirectoryRecord = (
    PolicyDocument
    | ReviewerAuthorization
    | AgentRegistration
    | PolicyExceptionChanged
    | ReviewerCapChanged
)


class DirectoryRefused(ValueError):
    """A directory record that must not take effect; the message says why and what to do.

    reason: a stable slug, for metrics.
    """

    def __init__(self, why: str, reason: str = "content") -> None:
        super().__init__(why)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class TenantContext:
    """One tenant's policy in force and its people and agents."""

    policy: Policy | None = None
    documents: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    reviewers: Mapping[str, ReviewerAuthorization] = field(
        default_factory=lambda: MappingProxyType({})
    )
    agents: Mapping[str, AgentRegistration] = field(default_factory=lambda: MappingProxyType({}))
    exceptions: Mapping[str, PolicyExceptionChanged] = field(
        default_factory=lambda: MappingProxyType({})
    )
    caps: Mapping[str, ReviewerCapChanged] = field(default_factory=lambda: MappingProxyType({}))
    identities: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    """By any id of a person with several: all their ids."""

    def reviewer(self, reviewer_id: str, now: datetime) -> ReviewerAuthorization | None:
        """The reviewer's authorization if it is in force at `now`."""
        found = self.reviewers.get(reviewer_id)
        if found is None or found.removed:
            return None
        return found if found.active_until is None or now <= found.active_until else None


@dataclass(frozen=True, slots=True)
class Directory:
    """All tenants. `apply` returns a new one; a policy version is immutable."""

    tenants: Mapping[str, TenantContext] = field(default_factory=lambda: MappingProxyType({}))

    def tenant(self, tenant_id: str) -> TenantContext:
        """The tenant's context; an empty one for a tenant nobody described."""
        return self.tenants.get(tenant_id, TenantContext())

    def apply(self, record: DirectoryRecord) -> Directory:
        """The directory after one record. Raises DirectoryRefused; then nothing has changed."""
        tenant = self.tenant(record.tenant_id)
        match record:
            case PolicyDocument():
                tenant = _with_policy(tenant, record)
            case ReviewerAuthorization():
                tenant = _with_reviewer(tenant, record)
            case AgentRegistration():
                agents = {**tenant.agents, record.agent_id: record}
                tenant = replace(tenant, agents=MappingProxyType(agents))
            case PolicyExceptionChanged():
                tenant = _with_exception(tenant, record)
            case ReviewerCapChanged():
                known = tenant.caps.get(record.reviewer_id)
                if known is None or known.capped_until <= record.capped_until:
                    caps = {**tenant.caps, record.reviewer_id: record}
                    tenant = replace(tenant, caps=MappingProxyType(caps))
            case _:
                assert_never(record)
        return Directory(MappingProxyType({**self.tenants, record.tenant_id: tenant}))


def _with_exception(tenant: TenantContext, record: PolicyExceptionChanged) -> TenantContext:
    """Two packages may grant one id at the same moment, each in its own task: the first to be
    appended keeps it. What has ended does not come back."""
    known = tenant.exceptions.get(record.exception_id)
    if known is not None and known.decision_package_id != record.decision_package_id:
        raise DirectoryRefused(
            f"exception {record.exception_id} was granted at {known.decision_package_id}; take "
            "another id"
        )
    if known is not None and known.change != "granted" and record.change == "granted":
        raise DirectoryRefused(
            f"exception {record.exception_id} has ended ({known.change}); ask for a new one"
        )
    exceptions = {**tenant.exceptions, record.exception_id: record}
    return replace(tenant, exceptions=MappingProxyType(exceptions))


def _with_reviewer(tenant: TenantContext, record: ReviewerAuthorization) -> TenantContext:
    before = tenant.reviewers.get(record.reviewer_id)
    reviewers = {**tenant.reviewers, record.reviewer_id: record}
    tenant = replace(tenant, reviewers=MappingProxyType(reviewers))
    if not record.linked_identities and (before is None or not before.linked_identities):
        return tenant
    identities: dict[str, frozenset[str]] = {}
    for person in reviewers.values():
        if person.removed or not person.linked_identities:
            continue
        everyone = frozenset({person.reviewer_id, *person.linked_identities})
        everyone = everyone.union(*(identities.get(name, frozenset()) for name in everyone))
        identities.update(dict.fromkeys(everyone, everyone))
    return replace(tenant, identities=MappingProxyType(identities))


def _places(error: ValidationError) -> str:
    """Where it is wrong and by which rule; nothing of what stands there, nor a made-up name."""
    found = []
    for one in error.errors(include_url=False, include_input=False, include_context=False):
        unknown = one["type"] == "extra_forbidden"
        place = ".".join(map(str, one["loc"][: -1 if unknown else None])) or "the policy"
        found.append(f"{place}: {one['type']}")
    return "; ".join(found)


def _with_policy(tenant: TenantContext, record: PolicyDocument) -> TenantContext:
    known = tenant.documents.get(record.policy_version)
    if known is not None and known != record.document_json:
        raise DirectoryRefused(
            f"policy_version {record.policy_version!r} of {record.tenant_id} exists with other "
            "content; give the changed policy a new version"
        )
    try:
        policy = parse_policy(parse_json_strict(record.document_json))
    except ValidationError as error:
        raise DirectoryRefused(
            f"the policy of {record.tenant_id} is not valid: {_places(error)}"
        ) from None
    except ValueError:
        raise DirectoryRefused(
            f"the policy of {record.tenant_id} is not valid: not I-JSON text of bounded depth"
        ) from None
    if (policy.tenant_id, policy.policy_version) != (record.tenant_id, record.policy_version):
        raise DirectoryRefused(
            "the policy document names another tenant or version than its record"
        )
    documents = MappingProxyType({**tenant.documents, record.policy_version: record.document_json})
    return replace(tenant, policy=policy, documents=documents)
