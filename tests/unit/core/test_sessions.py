"""What comes through a gateway: whose session, how old, how proven, and where it is not enough."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, cast

import pytest

from core.authentication import COMMAND_TYP, Unauthenticated, authenticate
from core.jwk import TrustedKeys, trusted_key
from core.policy import parse_policy
from producers.keys import SigningKey, new_key
from producers.signing import sign_record
from schemas.codec import encode
from schemas.events import CommandParked, CommandRefused, HumanDecisionEvent
from schemas.headers import SIGNATURE
from schemas.registry import ce_type_of
from tests import examples as e
from tests.unit.core.world import World, a_decision_by, a_policy, asked, code, of, signer_of
from tests.unit.core.world import a_world as unasked

GATEWAY: Final = new_key()
PERSONAL: Final = new_key()
KEYS: Final = TrustedKeys.of(
    [
        trusted_key(GATEWAY.public_jwk(tenant_ids=[e.TENANT])),
        trusted_key(PERSONAL.public_jwk(reviewer_id=e.REVIEWER, tenant_id=e.TENANT)),
    ]
)


def a_world(**rule: Any) -> World:
    """An open package under a policy whose only rule says this."""
    return asked(a_policy(policy_version="8", rule=rule))


def decided(
    world: World, *, auth_time: datetime | None = None, amr: tuple[str, ...] = (), **over: Any
) -> str | None:
    """The code that a decision through a gateway is refused with; None: it counts."""
    command = a_decision_by(e.REVIEWER, **over)
    signer = signer_of(command, kid="gw", kind="gateway", sid="s", auth_time=auth_time, amr=amr)
    return code(world.send(command, signer=signer))


def test_at_critical_risk_people_sign_with_keys_of_their_own() -> None:
    """The policy's default; a gateway that was broken into approves nothing critical."""
    through, alone = (asked(package=e.a_package(risk_level="critical")) for _ in range(2))
    command = a_decision_by(e.REVIEWER)

    step = through.send(command, signer=signer_of(command, kid="gw", kind="gateway", sid="s"))

    assert code(step) == "DECISION_NOT_ALLOWED"
    assert "keys of one's own" in through.last(CommandRefused).message
    assert code(alone.send(command)) is None


def test_the_default_can_be_widened_and_lifted() -> None:
    """`personal_keys` names the risks; an empty list takes gateways everywhere."""
    risk = e.a_package().risk_level

    assert decided(a_world(personal_keys=[risk])) == "DECISION_NOT_ALLOWED"
    assert decided(a_world(personal_keys=[])) is None
    assert parse_policy(e.a_policy_form()).defaults.personal_keys == ["critical"]


@pytest.mark.parametrize("decision", ["reject", "revise", "request_more_evidence"])
def test_every_decision_needs_the_key(decision: str) -> None:
    """Not only an approval decides."""
    world = a_world(personal_keys=["low", "medium", "high", "critical"])

    assert decided(world, decision=decision, comment="because") == "DECISION_NOT_ALLOWED"


@pytest.mark.parametrize(
    ("seconds_before", "found"),
    [(None, "DECISION_NOT_ALLOWED"), (3600, None), (3601, "DECISION_NOT_ALLOWED")],
)
def test_a_session_may_be_only_so_old(seconds_before: float | None, found: str | None) -> None:
    """By the append time of the command, to the second; one that names no login is too old."""
    world = a_world(session_max_age="1h")
    auth_time = None if seconds_before is None else e.at(world.clock - seconds_before)

    assert decided(world, auth_time=auth_time) == found


@pytest.mark.parametrize(
    ("amr", "found"),
    [
        ((), "DECISION_NOT_ALLOWED"),
        (("pwd",), "DECISION_NOT_ALLOWED"),
        (("mfa",), "DECISION_NOT_ALLOWED"),
        (("pwd", "hwk", "mfa"), None),
    ],
)
def test_a_login_must_have_every_method_that_is_asked(
    amr: tuple[str, ...], found: str | None
) -> None:
    """RFC 8176."""
    assert decided(a_world(session_amr=["mfa", "hwk"]), amr=amr) == found


def test_a_personal_key_has_no_session() -> None:
    """What is asked of sessions is not asked of it."""
    world = a_world(session_max_age="1h", session_amr=["mfa"])

    assert code(world.send(a_decision_by(e.REVIEWER))) is None


def test_the_decision_says_when_and_how_the_person_logged_in() -> None:
    """For who audits it."""
    world = a_world()
    decided(world, auth_time=e.at(-60), amr=("mfa",))

    decision = world.last(HumanDecisionEvent)
    assert (decision.auth_time, decision.amr) == (e.at(-60), ["mfa"])


def test_a_parked_decision_keeps_its_session() -> None:
    """It is judged by the login it was sent in, when the package has come."""
    world = unasked(a_policy(policy_version="8", rule={"session_amr": ["mfa"]}))
    for number, amr in enumerate(((), ("mfa",))):
        command = a_decision_by(e.REVIEWER, command_id=f"c{number}", idempotency_key=f"c{number}")
        signer = signer_of(command, kid="gw", kind="gateway", sid="s", auth_time=e.at(-5), amr=amr)
        world.send(command, signer=signer)
    parked = of(world.events, CommandParked)
    world.send(e.a_request())

    assert [(p.auth_time, p.amr) for p in parked] == [(e.at(-5), []), (e.at(-5), ["mfa"])]
    assert world.last(CommandRefused).command_id == "c0"
    assert world.last(HumanDecisionEvent).command_id == "c1"


def signed(key: Any = GATEWAY, **claims: Any) -> Any:
    """Who signed a decision with these claims beside the usual ones."""
    command, value = e.a_decision(), encode(e.a_decision())
    token = sign_record(
        value, key=cast("SigningKey", _Adding(key, claims)), typ=COMMAND_TYP, audience="a", sub=e.REVIEWER,
        tenant_id=e.TENANT, ce_type=ce_type_of(command), jti=command.command_id, now=e.NOW,
    )  # fmt: skip
    return authenticate(
        command, ce_type_of(command), value, [(SIGNATURE, token.encode())],
        keys=KEYS, audience="a", append_time=e.at(1),
    )  # fmt: skip


class _Adding:
    """A key that signs more than it is given."""

    def __init__(self, key: Any, claims: dict[str, Any]) -> None:
        self.key, self.claims = key, claims

    def sign(self, claims: dict[str, Any], *, typ: str) -> Any:
        return self.key.sign(claims | self.claims, typ=typ)


def test_the_gateways_claims_are_read() -> None:
    """`sid`, `auth_time` in seconds, `amr` as a list."""
    signer = signed(sid="s", auth_time=int(e.at(-60).timestamp()), amr=["mfa", "otp"])

    assert (signer.auth_time, signer.amr) == (e.at(-60), ("mfa", "otp"))


def test_a_personal_keys_session_claims_say_nothing() -> None:
    """It could say of itself what it likes."""
    signer = signed(PERSONAL, sid="s", auth_time=int(e.at(-60).timestamp()), amr=["mfa"])

    assert (signer.sid, signer.auth_time, signer.amr) == (None, None, ())


@pytest.mark.parametrize(
    "claims",
    [
        {"auth_time": "yesterday"},
        {"auth_time": True},
        {"auth_time": 1e30},
        {"auth_time": int(e.at(120).timestamp())},
        {"amr": "mfa"},
        {"amr": [1]},
        {"amr": [""]},
        {"amr": ["a b"]},
        {"amr": ["x" * 65]},
        {"amr": ["mfa"] * 17},
        {"amr": {"mfa": True}},
        {"sid": ""},
        {"sid": 7},
    ],
    ids=str,
)
def test_session_claims_that_are_none_are_refused(claims: dict[str, Any]) -> None:
    """Not taken for absent."""
    with pytest.raises(Unauthenticated):
        signed(**claims)
