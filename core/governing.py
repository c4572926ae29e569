"""Who may change policies, people and the context of reviews: the directories as a fold of what is
believed (guarantee 21). Pure; the worker, the audit and the balancer all fold with it.

A governor's signature is judged by the append time of what it signs, so that whoever folds the same
records with the same keys believes the same ones, whenever they do it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, assert_never

from core.authentication import (
    CONTEXT_TYP,
    POLICY_TYP,
    TenantMismatch,
    Unauthenticated,
    authenticate,
    proven,
)
from core.directory import Directory, DirectoryRecord, DirectoryRefused
from core.jwk import TrustedKey, TrustedKeys
from schemas.directory import (
    AgentRegistration,
    PolicyDocument,
    PolicyExceptionChanged,
    ReviewerAuthorization,
    ReviewerCapChanged,
)
from schemas.headers import SIGNATURE, Headers
from schemas.registry import ce_type_of

SIGNERS_MAX: Final = 4
"""Signatures on one record; two are ever needed, and each costs a verification."""
Governance = PolicyDocument | ReviewerAuthorization | AgentRegistration


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom to believe about the directories.

    workers: the public keys of grants, by which workers prove what they write; None: not known
    here, and not asked. balancer_id: in whose name reviewers are capped. unsigned: the worker of
    this deployment believes unsigned records.
    """

    keys: TrustedKeys
    audience: str
    balancer_id: str
    workers: TrustedKeys | None = None
    unsigned: bool = False

    def governors(self, tenant_id: str, moment: datetime) -> list[TrustedKey]:
        """The policy_admin keys of a tenant that had begun by then, ended ones too: a tenant that
        was governed once does not fall back to believing anyone when a key runs out."""
        return [
            key
            for key in self.keys.by_kid.values()
            if key.policy_admin
            and tenant_id in key.tenant_ids
            and (key.valid_from is None or key.valid_from <= moment)
        ]


@dataclass(frozen=True, slots=True)
class Said:
    """A directory record as it stands in its topic."""

    record: DirectoryRecord
    offset: int
    appended: datetime
    value: bytes = b""
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Governed:
    """The directories, and what is needed to judge the next record. trust None: all is believed."""

    trust: Trust | None = None
    directory: Directory = field(default_factory=Directory)
    _dual: Mapping[str, tuple[tuple[datetime, bool], ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    _issued: Mapping[tuple[str, str], float] = field(default_factory=lambda: MappingProxyType({}))
    _people_until: datetime | None = None
    _chains: tuple[str, str, str] = ("", "", "")

    @property
    def digest(self) -> str:
        """Over all that was believed, by topic, in its order: two folds with one digest are one."""
        return hashlib.sha256("/".join(self._chains).encode()).hexdigest()

    def overtaken_by(self, said: Said) -> bool:
        """Whether the policy is older than people who were judged without it. Then fold again from
        the first record, policies first: what is believed must not hang on when it was read."""
        return (
            self.trust is not None
            and isinstance(said.record, PolicyDocument)
            and self._people_until is not None
            and said.appended <= self._people_until
        )

    def applied(self, said: Said) -> Governed:
        """After one more record. Raises DirectoryRefused; then nothing has changed."""
        record, issued = said.record, self._issued
        match record:
            case PolicyDocument() | ReviewerAuthorization() | AgentRegistration():
                issued_at = self._signed(said, record)
                if issued_at is not None:
                    issued = MappingProxyType({**issued, _subject(record): issued_at})
            case PolicyExceptionChanged():
                _check_worker(said, record, self.trust)
            case ReviewerCapChanged():
                _check_balancer(said, record, self.trust)
            case _:
                assert_never(record)
        return self._with(said, self.directory.apply(record), issued)

    def _with(
        self, said: Said, directory: Directory, issued: Mapping[tuple[str, str], float]
    ) -> Governed:
        dual, people_until, chains = self._dual, self._people_until, list(self._chains)
        match said.record:
            case PolicyDocument(tenant_id=tenant_id):
                policy = directory.tenant(tenant_id).policy
                now = (said.appended, policy is not None and policy.dual_control)
                dual = MappingProxyType({**dual, tenant_id: (*dual.get(tenant_id, ()), now)})
                topic = 0
            case ReviewerAuthorization() | AgentRegistration():
                people_until = max(people_until or said.appended, said.appended)
                topic = 1
            case _:
                topic = 2
        link = f"{chains[topic]}/{said.offset}/{hashlib.sha256(said.value).hexdigest()}"
        chains[topic] = hashlib.sha256(link.encode()).hexdigest()
        first, second, third = chains
        return replace(
            self,
            directory=directory,
            _dual=dual,
            _issued=issued,
            _people_until=people_until,
            _chains=(first, second, third),
        )

    def _signed(self, said: Said, record: Governance) -> float | None:
        """When governors issued the record; None: the tenant has none. Raises DirectoryRefused."""
        trust = self.trust
        if trust is None or not trust.governors(record.tenant_id, said.appended):
            return None
        tokens = [value or b"" for name, value in said.headers if name == SIGNATURE]
        if not tokens:
            raise DirectoryRefused(
                f"{record.tenant_id} has governors, and none has signed this; apply it with --key",
                "unsigned",
            )
        if len(tokens) > SIGNERS_MAX:
            raise DirectoryRefused(f"over {SIGNERS_MAX} signatures", "signature")
        claims = [_governor(token, said, record, trust) for token in tokens]
        if len({one["sub"] for one in claims}) < self._signers_needed(said, record):
            raise DirectoryRefused(
                f"{record.tenant_id} is under dual control and two governors have not signed this; "
                "apply it with --key and --cosign",
                "dual_control",
            )
        issued_at: float = min(one["iat"] for one in claims)
        if issued_at < self._issued.get(_subject(record), issued_at):
            raise DirectoryRefused(
                "it was signed before what is in force; sign it again to go back to it", "replayed"
            )
        return issued_at

    def _signers_needed(self, said: Said, record: Governance) -> int:
        """Two under dual control, as it stood when the record was appended. Two also for the policy
        that brings it in: so it is shown that there are two."""
        history: Sequence[tuple[datetime, bool]] = self._dual.get(record.tenant_id, ())
        if isinstance(record, PolicyDocument):
            after = self.directory.apply(record).tenant(record.tenant_id).policy
            in_force = [dual for _, dual in history[-1:]]
            in_force.append(after is not None and after.dual_control)
        else:
            in_force = [dual for since, dual in history if since <= said.appended][-1:]
        return 2 if any(in_force) else 1


def _subject(record: Governance) -> tuple[str, str]:
    """What a record replaces when it takes effect."""
    match record:
        case PolicyDocument():
            return record.tenant_id, "policy"
        case ReviewerAuthorization():
            return record.tenant_id, f"reviewer/{record.reviewer_id}"
        case AgentRegistration():
            return record.tenant_id, f"agent/{record.agent_id}"
        case _:
            assert_never(record)


def _governor(token: bytes, said: Said, record: Governance, trust: Trust) -> Mapping[str, Any]:
    """The claims of a governor of the record's tenant. Raises DirectoryRefused."""
    try:
        found = proven(
            token,
            keys=trust.keys,
            typ=POLICY_TYP,
            ce_type=ce_type_of(record),
            value=said.value,
            audience=trust.audience,
            append_time=said.appended,
        )
    except Unauthenticated as error:
        raise DirectoryRefused(f"a signature is not good: {error}", "signature") from None
    key, claims = found.key, found.claims
    version = isinstance(record, PolicyDocument)
    wanted = (
        record.policy_version if isinstance(record, PolicyDocument) else record.directory_digest
    )
    if not key.policy_admin or record.tenant_id not in key.tenant_ids:
        why = f"the key {key.kid} is no policy_admin of {record.tenant_id}"
    elif claims.get("sub") != key.admin_id:
        why = "the key does not belong to the claimed sub"
    elif claims.get("tenant_id") != record.tenant_id:
        why = "the claim tenant_id is another than the record's"
    elif claims.get("jti") != wanted:
        why = f"the claim jti is not the {'policy_version' if version else 'directory_digest'}"
    else:
        return claims
    raise DirectoryRefused(f"a signature is not good: {why}", "signature")


def _check_worker(said: Said, record: PolicyExceptionChanged, trust: Trust | None) -> None:
    """Raises DirectoryRefused unless a worker proves that the exception came about by the rules.
    The proof does not run out: what it says is true for ever, and saying it again changes nothing."""
    if trust is None or trust.workers is None:
        return
    tokens = [value or b"" for name, value in said.headers if name == SIGNATURE]
    if len(tokens) != 1:
        raise DirectoryRefused("only a worker writes exceptions, with its proof", "proof")
    try:
        found = proven(
            tokens[0],
            keys=trust.workers,
            typ=CONTEXT_TYP,
            ce_type=ce_type_of(record),
            value=said.value,
            audience=trust.audience,
            append_time=said.appended,
            for_ever=True,
        )
    except Unauthenticated as error:
        raise DirectoryRefused(f"the worker's proof is not good: {error}", "proof") from None
    fits = (found.claims.get("tenant_id"), found.claims.get("jti"))
    if not found.key.is_bare or fits != (record.tenant_id, record.event_id):
        raise DirectoryRefused("the worker's proof is of something else", "proof")


def _check_balancer(said: Said, record: ReviewerCapChanged, trust: Trust | None) -> None:
    """Raises DirectoryRefused unless the balancer has signed."""
    if trust is None or trust.unsigned:
        return
    try:
        signer = authenticate(
            record,
            ce_type_of(record),
            said.value,
            said.headers,
            keys=trust.keys,
            audience=trust.audience,
            append_time=said.appended,
        )
    except (Unauthenticated, TenantMismatch) as error:
        raise DirectoryRefused(f"the cap's signature is not good: {error}", "proof") from None
    if signer.subject != trust.balancer_id:
        raise DirectoryRefused(f"only {trust.balancer_id} caps reviewers", "proof")
