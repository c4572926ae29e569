"""The offline check of a grant: one altered thing, and nothing may be done."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from core.grants import grant_claims
from core.jwk import TrustedKeys, trusted_key
from producers.grants import GrantInvalid, verify_grant
from producers.keys import SigningKey, new_key
from producers.signing import sign_grant
from schemas.canonical import canonical_json
from schemas.events import ToolGateEvent
from tests import examples as e

GRANT_KEY = new_key()
KEYS = TrustedKeys.of([trusted_key(GRANT_KEY.public_jwk())])


def an_open_gate(key: SigningKey = GRANT_KEY, **over: Any) -> ToolGateEvent:
    """A gate with its signed grant; over: claims that differ."""
    gate = e.a_gate_event()
    claims = grant_claims(gate, e.a_state(), issuer="countersign") | over
    return gate.model_copy(update={"grant_jws": sign_grant(claims, key)})


def refused(gate: ToolGateEvent, now: datetime = e.NOW, keys: TrustedKeys = KEYS) -> str:
    """Why the grant is not believed."""
    with pytest.raises(GrantInvalid) as caught:
        verify_grant(gate, keys=keys, now=now)
    return str(caught.value)


def test_a_good_grant_hands_over_the_approved_arguments_only() -> None:
    """Exactly those, read-only."""
    grant = verify_grant(an_open_gate(), keys=KEYS, now=e.at(60))

    changed: Any = grant.args
    assert dict(grant.args) == e.notice_args()
    assert grant.action_digest == e.ACTION_DIGEST
    with pytest.raises(TypeError):
        changed["recipient"] = "attacker@example.com"


@pytest.mark.parametrize(
    ("alter", "why"),
    [
        (
            lambda g: {"args_json": canonical_json(e.notice_args(recipient="x@y.example"))},
            "approved",
        ),
        (lambda g: {"args_json": g.args_json + " "}, "canonical"),
        (lambda g: {"args_json": "[]"}, "approved"),
        (lambda g: {"tool_name": "notice.other"}, "another tool"),
        (lambda g: {"effect_type": "payment"}, "effect_type"),
        (lambda g: {"tenant_id": "other"}, "tenant_id"),
        (lambda g: {"decision_package_id": "other"}, "decision_package_id"),
        (lambda g: {"interrupt_id": "other"}, "interrupt_id"),
        (lambda g: {"package_version": 2}, "package_version"),
        (lambda g: {"action_digest": "0" * 64}, "action_digest"),
        (lambda g: {"grant_id": "other"}, "another one"),
        (lambda g: {"run_id": "other"}, "another one"),
        (lambda g: {"gate": "revoked"}, "not open"),
        (lambda g: {"grant_jws": None}, "not open"),
        (lambda g: {"args_json": None}, "names no action"),
        (lambda g: {"grant_jws": g.grant_jws[:-4] + "AAAA"}, "not believed"),
    ],
)
def test_a_gate_that_says_something_else_than_its_grant_is_refused(
    alter: Callable[[ToolGateEvent], dict[str, Any]], why: str
) -> None:
    """Whoever may write the topic can change the event, not the grant."""
    gate = an_open_gate()

    assert why in refused(gate.model_copy(update=alter(gate)))


def test_a_grant_ends_and_begins() -> None:
    """`exp` is an end; `nbf` allows for a clock a minute behind."""
    gate = an_open_gate()

    assert "expired" in refused(gate, now=e.at(48 * 3600))
    assert "not valid yet" in refused(gate, now=e.at(-61))
    assert verify_grant(gate, keys=KEYS, now=e.at(1)).grant_id == e.GRANT_ID


@pytest.mark.parametrize("claim", ["exp", "nbf"])
@pytest.mark.parametrize("value", ["soon", True, None, 1e300])
def test_a_grant_without_a_real_time_is_refused(claim: str, value: Any) -> None:
    """No end means no grant."""
    assert refused(an_open_gate(**{claim: value}))


@pytest.mark.parametrize(
    "entitled",
    [
        {"reviewer_id": "r", "tenant_id": "t"},
        {"agent_id": "a", "tenant_id": "t"},
        {"executor_id": "e", "tenant_ids": ["t"], "tools": ["*"]},
        {"tenant_ids": ["t"]},
        {"admin_id": "a", "tenant_ids": ["t"]},
    ],
)
def test_a_key_that_speaks_for_somebody_signs_no_grants(entitled: dict[str, Any]) -> None:
    """Even if it stands in the grant set by mistake."""
    keys = TrustedKeys.of([trusted_key(GRANT_KEY.public_jwk(**entitled))])

    assert "not a grant key" in refused(an_open_gate(), keys=keys)


def test_a_stranger_signs_nothing() -> None:
    """Not in the set; or no longer."""
    ended = TrustedKeys.of([trusted_key(GRANT_KEY.public_jwk(valid_until=e.NOW))])

    assert "not trusted" in refused(an_open_gate(new_key()))
    assert "no longer valid" in refused(an_open_gate(), now=e.at(1), keys=ended)
