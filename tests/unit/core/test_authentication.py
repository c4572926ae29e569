"""Who sent a record: each way a signature can be wrong is refused, and nothing else is."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import pytest

from core.authentication import (
    COMMAND_TYP,
    EXECUTION_TYP,
    REQUEST_TYP,
    Signer,
    TenantMismatch,
    Unauthenticated,
    authenticate,
    is_signed,
)
from core.jwk import KeySetError, TrustedKeys
from producers.keys import SigningKey, new_key
from producers.signing import sign_record
from schemas.codec import encode
from schemas.headers import SIGNATURE, Headers
from schemas.model import Record
from schemas.registry import ce_type_of
from tests import examples as e

AUDIENCE: Final = "countersign-test"
AGENT_KEY, REVIEWER_KEY, GATEWAY_KEY, EXECUTOR_KEY, BARE_KEY = (new_key() for _ in range(5))
KEYS: Final = TrustedKeys.from_jwks(
    {
        "keys": [
            AGENT_KEY.public_jwk(agent_id=e.AGENT, tenant_id=e.TENANT),
            REVIEWER_KEY.public_jwk(reviewer_id=e.REVIEWER, tenant_ids=[e.TENANT, "globex"]),
            GATEWAY_KEY.public_jwk(tenant_ids=[e.TENANT]),
            EXECUTOR_KEY.public_jwk(
                executor_id=e.EXECUTOR, tools=["notice.*"], tenant_ids=[e.TENANT]
            ),
            BARE_KEY.public_jwk(),
        ]
    }
)


def _signed(
    record: Record, key: SigningKey, *, typ: str, sub: str, jti: str, **over: Any
) -> Callable[..., Signer]:
    """Authenticates the record with a signature that is good but for what `over` changes."""
    form: dict[str, Any] = {
        "audience": AUDIENCE,
        "tenant_id": e.TENANT,
        "ce_type": ce_type_of(record),
        "now": e.NOW,
    } | over
    token = sign_record(encode(record), key=key, typ=typ, sub=sub, jti=jti, **form)
    return lambda **other: _authenticated(record, [(SIGNATURE, token.encode())], **other)


def _authenticated(record: Record, headers: Headers, **other: Any) -> Signer:
    form: dict[str, Any] = {
        "ce_type": ce_type_of(record),
        "value": encode(record),
        "headers": headers,
        "keys": KEYS,
        "audience": AUDIENCE,
        "append_time": e.at(1),
    }
    return authenticate(record, **(form | other))


def _decision(key: SigningKey = REVIEWER_KEY, **over: Any) -> Callable[..., Signer]:
    form = {"typ": COMMAND_TYP, "sub": e.REVIEWER, "jti": "cmd-1"} | over
    return _signed(e.a_decision(), key, **form)


def test_a_reviewer_is_who_the_key_says() -> None:
    """A personal key proves the reviewer; a session in its token means nothing."""
    signer = _decision(sid="s1")()

    assert (e.REVIEWER, "reviewer", REVIEWER_KEY.kid, None) == (
        signer.subject,
        signer.kind,
        signer.kid,
        signer.sid,
    )


def test_an_agent_an_executor_and_a_notifier_are_proven() -> None:
    """Requests are proven by the agent's key; takes, receipts and notices by the executor's."""
    executor = {"key": EXECUTOR_KEY, "typ": EXECUTION_TYP, "sub": e.EXECUTOR}

    signers = [
        _signed(e.a_request(), AGENT_KEY, typ=REQUEST_TYP, sub=e.AGENT, jti=e.INTERRUPT_ID)(),
        _signed(e.a_take(), jti=e.ATTEMPT_ID, **executor)(),  # type: ignore[arg-type]
        _signed(e.an_executed(), jti="receipt-1", **executor)(),  # type: ignore[arg-type]
        _signed(e.a_notice_sent(), jti="notice-event-1", **executor)(),  # type: ignore[arg-type]
    ]

    assert ["agent", "executor", "executor", "executor"] == [one.kind for one in signers]
    assert ("notice.*",) == signers[1].tools


def test_a_gateway_speaks_for_its_tenants_reviewers() -> None:
    """A gateway's key proves any reviewer of its tenants, and tells its sessions apart."""
    one, same, two = (_decision(GATEWAY_KEY, sid=sid)() for sid in ("s1", "s1", "s2"))

    assert ("gateway", e.REVIEWER) == (one.kind, one.subject)
    assert one.sid == same.sid != two.sid


def test_the_name_of_a_session_does_not_reach_the_log() -> None:
    """A signer carries a digest of the session, from which the session cannot be used."""
    signer = _decision(GATEWAY_KEY, sid="secret-session")()

    assert "secret-session" not in repr(signer)


WRONG: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "another deployment": ({"audience": "production"}, "aud"),
    "another type of record": ({"ce_type": "human.override_command"}, "type"),
    "a typ of another purpose": ({"typ": REQUEST_TYP}, "typ"),
    "another record's id": ({"jti": "cmd-2"}, "jti"),
    "someone else's name": ({"sub": "r.lind"}, "sub"),
    "a tenant the key is not for": ({"tenant_id": "initech"}, "tenant"),
    "longer than ten minutes": ({"lifetime": timedelta(minutes=11)}, "10 minutes"),
    "ends before it begins": ({"lifetime": timedelta(0)}, "after iat"),
    "from the future": ({"now": e.at(90)}, "future"),
    "expired": ({"now": e.at(-601)}, "expired"),
    "a key for nobody": ({"key": BARE_KEY}, "may not sign"),
    "an agent's key": ({"key": AGENT_KEY}, "may not sign"),
    "an unknown key": ({"key": new_key()}, "not trusted"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_signature_is_not_believed(fault: str) -> None:
    """Each claim binds the signature to one sender, record, purpose, deployment and time."""
    over, said = WRONG[fault]

    with pytest.raises(Unauthenticated, match=said):
        _decision(**over)()


def test_a_record_that_was_changed_is_not_believed() -> None:
    """The signature is over the bytes: another decision under it is refused."""
    changed = encode(e.a_decision(decision="reject"))

    with pytest.raises(Unauthenticated, match="body"):
        _decision()(value=changed)


def test_validly_signed_for_another_tenant() -> None:
    """TenantMismatch: entitled to the claimed tenant, which is not the record's."""
    with pytest.raises(TenantMismatch):
        _decision(tenant_id="globex")()


@pytest.mark.parametrize(
    ("record", "key", "typ", "jti"),
    [
        (e.a_cancellation(), AGENT_KEY, REQUEST_TYP, e.INTERRUPT_ID),
        (e.a_notice_sent(), EXECUTOR_KEY, EXECUTION_TYP, "notice-event-1"),
    ],
)
def test_a_personal_key_has_one_name(record: Record, key: SigningKey, typ: str, jti: str) -> None:
    """Where the record does not say who sent it, the key does; the token cannot say otherwise."""
    with pytest.raises(Unauthenticated, match="does not belong"):
        _signed(record, key, typ=typ, sub="someone-else", jti=jti)()


def test_a_gateway_does_not_speak_for_agents() -> None:
    """A key that names nobody signs commands of reviewers only."""
    sign = _signed(e.a_request(), GATEWAY_KEY, typ=REQUEST_TYP, sub=e.AGENT, jti=e.INTERRUPT_ID)

    with pytest.raises(Unauthenticated, match="may not sign"):
        sign()


@pytest.mark.parametrize(
    ("member", "seconds"), [("valid_until", 1), ("valid_from", 2), ("compromised_at", 1)]
)
def test_a_key_outside_its_time_is_not_believed(member: str, seconds: float) -> None:
    """A key is judged at the record's append time: not before, not after, not once compromised."""
    text = e.at(seconds).isoformat().replace("+00:00", "Z")
    jwk = REVIEWER_KEY.public_jwk(reviewer_id=e.REVIEWER, tenant_id=e.TENANT) | {member: text}

    with pytest.raises(Unauthenticated, match="key"):
        _decision()(keys=TrustedKeys.from_jwks({"keys": [jwk]}))


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (b"", "compact"),
        (b"a.b", "compact"),
        (b"a.b.c.d", "compact"),
        (b"\xff.\xff.\xff", "compact"),
        (b"x" * 9000, "8192"),
    ],
)
def test_what_is_no_token_is_not_believed(token: bytes, said: str) -> None:
    """Garbage in the header is a bad signature, never an error of ours."""
    with pytest.raises(Unauthenticated, match=said):
        _authenticated(e.a_decision(), [(SIGNATURE, token)])


def test_a_missing_signature_is_told_from_a_bad_one() -> None:
    """Only a record without the header at all is unsigned."""
    assert [False, True, True] == [
        is_signed(headers)
        for headers in ([("ce_id", b"x")], [(SIGNATURE, b"")], [(SIGNATURE, None)])
    ]


def test_two_signatures_are_none() -> None:
    """A second signature header could be read instead of the first by someone else."""
    with pytest.raises(Unauthenticated, match="two signatures"):
        _authenticated(e.a_decision(), [(SIGNATURE, b"a.b.c"), (SIGNATURE, b"a.b.c")])


@pytest.mark.parametrize(
    "head",
    [
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "ES256"},
        {"crit": ["exp"]},
        {"jku": "https://example.org"},
        {"jwk": {"kty": "OKP"}},
        {"b64": False},
        {"x5u": "https://example.org"},
        {"cty": "jwt"},
    ],
)
def test_the_header_says_nothing_but_alg_kid_and_typ(head: dict[str, Any]) -> None:
    """The key decides the algorithm; no header can bring its own key, or switch checking off."""
    said = {"alg": "EdDSA", "kid": REVIEWER_KEY.kid, "typ": COMMAND_TYP} | head
    part = base64.urlsafe_b64encode(json.dumps(said).encode()).rstrip(b"=")

    with pytest.raises(Unauthenticated):
        _authenticated(e.a_decision(), [(SIGNATURE, part + b".e30.AAAA")])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"d": "AAAA"}, "private"),
        ({"crv": "Ed448"}, "neither"),
        ({"alg": "ES256"}, "only EdDSA"),
        ({"use": "enc"}, "use"),
        ({"kid": "mine"}, "thumbprint"),
        ({"policy_admin": True}, "admin_id"),
        ({"reviewer_id": "a/b"}, "reviewer_id"),
        ({"x": "!!"}, "point"),
    ],
)
def test_a_key_that_cannot_be_used_is_refused_with_its_mend(
    change: dict[str, Any], said: str
) -> None:
    """The set of trusted keys is read whole or not at all."""
    jwk = new_key().public_jwk(tenant_id=e.TENANT) | change

    with pytest.raises(KeySetError, match=said):
        TrustedKeys.from_jwks({"keys": [jwk]})


def test_a_key_stands_once() -> None:
    """Two entries for one key could entitle it twice."""
    key = new_key()
    jwks = [key.public_jwk(agent_id="a"), key.public_jwk(reviewer_id="r")]

    with pytest.raises(KeySetError, match="twice"):
        TrustedKeys.from_jwks({"keys": jwks})
