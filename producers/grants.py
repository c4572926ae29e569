"""What an executor checks before it takes: the grant, offline (contract, Grants and single use)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from core.authentication import GRANT_TYP
from core.jwk import TrustedKeys
from core.jws import BadToken, verify
from schemas.canonical import action_digest, is_canonical, parse_json_strict
from schemas.events import ToolGateEvent

SKEW_MAX: Final = timedelta(seconds=60)
"""How far our clock may be behind the worker's; nbf only, an end is an end."""
_SAME: Final = (
    "tenant_id",
    "interrupt_id",
    "decision_package_id",
    "package_version",
    "effect_type",
    "action_digest",
)


class GrantInvalid(Exception):
    """The grant does not authorise this action; the message says why. Do not act."""


class GrantEnded(GrantInvalid):
    """The grant is good and its time is over. Do not act."""


@dataclass(frozen=True, slots=True)
class VerifiedGrant:
    """A grant whose signature, claims and arguments agree. `args` is what may be done, exactly.

    approvers, decision_event_ids: who let it be done, and where that stands; empty when a policy
    or an unobjected window did.
    """

    grant_id: str
    tool_name: str
    args: Mapping[str, Any]
    action_digest: str
    expires_at: datetime
    gate: ToolGateEvent
    approvers: tuple[str, ...] = ()
    decision_event_ids: tuple[str, ...] = ()


def verify_grant(gate: ToolGateEvent, *, keys: TrustedKeys, now: datetime) -> VerifiedGrant:
    """Verifies the grant of an opened gate without asking anybody. Raises GrantInvalid.

    keys: GRANT_TRUSTED_KEYS; a key that speaks for an agent, a reviewer or an executor signs no
    grants, even if it stands in the set.
    """
    if gate.gate != "opened" or gate.grant_jws is None or gate.grant_id is None:
        raise GrantInvalid("the gate is not open with a grant")
    if gate.tool_name is None or gate.effect_type is None or gate.args_json is None:
        raise GrantInvalid("the gate names no action")
    try:
        verified = verify(gate.grant_jws, keys=keys, typ=GRANT_TYP)
    except BadToken as error:
        raise GrantInvalid(f"the grant is not believed: {error}") from None
    if verified.key.algorithm != "EdDSA" or not verified.key.is_bare:
        raise GrantInvalid("the key is not a grant key")
    if reason := verified.key.unusable_at(now):
        raise GrantInvalid(reason)
    claims = verified.claims
    if claims.get("aud") != gate.tool_name:
        raise GrantInvalid("the grant is for another tool (aud)")
    if claims.get("jti") != gate.grant_id or claims.get("sub") != gate.run_id:
        raise GrantInvalid("the grant is another one than the gate names (jti, sub)")
    for name in _SAME:
        said, wanted = claims.get(name), getattr(gate, name)
        # In Python true is 1: another reader of the same grant would not agree.
        if said is None or said != wanted or type(said) is not type(wanted):
            raise GrantInvalid(f"the grant and the gate do not agree ({name})")
    expires_at = _instant(claims, "exp")
    if now >= expires_at:
        raise GrantEnded("the grant has expired")
    if _instant(claims, "nbf") > now + SKEW_MAX:
        raise GrantInvalid("the grant is not valid yet; check this machine's clock")
    return VerifiedGrant(
        grant_id=gate.grant_id,
        tool_name=gate.tool_name,
        args=_bound_args(gate.tool_name, gate.effect_type, gate.args_json, claims),
        action_digest=claims["action_digest"],
        expires_at=expires_at,
        gate=gate,
        approvers=_texts(claims, "approvers"),
        decision_event_ids=_texts(claims, "decision_event_ids"),
    )


def _bound_args(
    tool_name: str, effect_type: str, args_json: str, claims: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The arguments, if they are what was approved, byte for byte."""
    if not is_canonical(args_json):
        raise GrantInvalid("the arguments are not canonical JSON")
    if action_digest(tool_name, effect_type, args_json) != claims["action_digest"]:
        raise GrantInvalid("the arguments are not those that were approved (action_digest)")
    args = parse_json_strict(args_json)
    if not isinstance(args, dict):
        raise GrantInvalid("the arguments are not an object")
    return MappingProxyType(args)


def _texts(claims: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = claims.get(name, [])
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise GrantInvalid(f"the grant's {name} is no list of texts")
    return tuple(found)


def _instant(claims: Mapping[str, Any], name: str) -> datetime:
    seconds = claims.get(name)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise GrantInvalid(f"the grant has no {name}")
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        raise GrantInvalid(f"the grant's {name} is not an instant") from None
