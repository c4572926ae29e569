"""Forged policies, people, caps and exceptions: nothing takes effect, each is refused by its reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from core.authentication import COMMAND_TYP, CONTEXT_TYP, POLICY_TYP
from producers.keys import SigningKey
from producers.signing import sign_record
from schemas.codec import Undecodable, decode_any, encode
from schemas.headers import SIGNATURE, ce_headers
from schemas.model import Record
from schemas.registry import OUTPUT_TYPES, ce_type_of, topic_of
from schemas.topics import TOPICS, key_of
from tests import examples as e
from tests.unit.audit.test_directories import a_cap, an_exception
from tests.unit.control.test_governing import (
    BALANCER,
    GOVERNORS,
    MORENO,
    VANCE,
    Town,
    governor,
    newcomer,
    policy,
)
from tests.unit.control.world import AUDIENCE, KEYS
from tests.unit.forge import tokens as t

NOW_S: Final = int(e.at(1).timestamp())
"""When a town is asked to believe."""
DIRECTORY_TOPICS: Final = frozenset({"control-policy", "reviewer-directory", "review-context"})


@dataclass(frozen=True, slots=True)
class Kind:
    """A record of the directories and who signs it, as what."""

    record: Record
    key: SigningKey
    sub: str
    typ: str
    jti: str
    reason: str
    for_ever: bool = False

    def good(self) -> t.Good:
        """A signature that is believed."""
        token = sign_record(
            encode(self.record),
            key=self.key,
            typ=self.typ,
            audience=AUDIENCE,
            sub=self.sub,
            tenant_id=e.TENANT,
            ce_type=ce_type_of(self.record),
            jti=self.jti,
            now=e.at(1),
        )
        return t.Good.of(token, self.key)


def _governed(record: Record, jti: str) -> Kind:
    return Kind(record, GOVERNORS[VANCE], VANCE, POLICY_TYP, jti, "signature")


_EXCEPTION: Final = an_exception()
_CAP: Final = a_cap()
KINDS: Final[dict[str, Kind]] = {
    "policy": _governed(policy("9"), "9"),
    "reviewer": _governed(newcomer(), "ef" * 32),
    "agent": _governed(e.an_agent(owner="r.mallory"), "ef" * 32),
    "cap": Kind(_CAP, BALANCER, "svc:balancer", COMMAND_TYP, _CAP.event_id, "proof"),
    "exception": Kind(
        _EXCEPTION, KEYS["grant"], "-", CONTEXT_TYP, _EXCEPTION.event_id, "proof", for_ever=True
    ),
}
_UNCLAIMED: Final = frozenset({"iat", "exp", "sub"})
"""What a worker's proof does not rest on: it is for ever, and the key says whose it is."""


def town() -> Town:
    """A governed tenant, and another one's governor."""
    return Town(governor(VANCE), governor("g.other", tenant_ids=["globex"]))


def throw(at: Town, kind: Kind, forged: t.Forged, **over: Any) -> None:
    """Appends the record of a kind with these signatures."""
    headers: list[tuple[str, bytes | None]] = [
        *ce_headers(kind.record, ce_id="d", source="/test", time=e.at(1)),
        *((SIGNATURE, token) for token in forged.tokens),
    ]
    topic = over.get("topic") or topic_of(kind.record)
    assert topic is not None
    value = over.get("value", encode(kind.record))
    at.world.cluster.append(topic, 0, key_of(kind.record), value, headers)


def forgeries(kind: Kind) -> Iterator[t.Forged]:
    """All that is forged about a kind's signature."""
    good = kind.good()
    others = [KEYS[e.REVIEWER], KEYS["r.lind"], GOVERNORS["g.other"]]
    for forged in t.forgeries(good, others=others):
        if not (kind.for_ever and forged.claim in _UNCLAIMED):
            yield forged
    if not kind.for_ever:
        yield from (forged for forged, within in t.times(good, NOW_S) if not within)
    if kind.typ != POLICY_TYP:  # several governors may sign
        yield from t.doubled(good)
    for other in OUTPUT_TYPES:
        if other != good.claims["type"]:
            yield t.Forged(f"signed as {other}", (good.claiming(type=other),), "type")
    for sub in (MORENO, "g.other", e.REVIEWER, "*"):
        if not kind.for_ever:
            yield t.Forged(f"sub {sub}", (good.claiming(sub=sub),), "sub")
    for tenant in ("globex", "*"):
        yield t.Forged(f"for tenant {tenant}", (good.claiming(tenant_id=tenant),), "tenant_id")
    for jti in ("8", "10", "ee" * 32):
        yield t.Forged(f"jti {jti}", (good.claiming(jti=jti),), "jti")


def reasons_of(kind: Kind, forged: t.Forged) -> str:
    """By which reason a forgery is refused."""
    unsigned = not forged.tokens and kind.reason == "signature"
    return "unsigned" if unsigned else kind.reason


@pytest.mark.parametrize("name", KINDS)
def test_every_forgery_of_a_directory_record_is_refused(name: str) -> None:
    """Nothing of the tenant has changed; each is refused by its reason."""
    kind, at = KINDS[name], town()
    before = at.tenant()
    cases = list(forgeries(kind))
    for forged in cases:
        throw(at, kind, forged)

    assert at.tenant() == before
    wanted = [reasons_of(kind, forged) for forged in cases]
    wrong = [
        (forged.name, found)
        for forged, want, found in zip(cases, wanted, at.refused, strict=True)
        if found != want
    ]
    assert wrong == []


def flips(kind: Kind, every: int, masks: tuple[int, ...]) -> Iterator[bytes]:
    """The value with one byte flipped. Not those that are another tenant's then: what nobody
    governs is guarded by the rights on the topic alone."""
    value = encode(kind.record)
    for at in range(0, len(value), max(1, len(value) // every)):
        for mask in masks:
            other = bytes([*value[:at], value[at] ^ mask, *value[at + 1 :]])
            try:
                tenant = getattr(decode_any(other), "tenant_id", e.TENANT)
            except Undecodable:
                tenant = e.TENANT
            if tenant == e.TENANT:
                yield other


def assert_flips_fail(kind: Kind, every: int, masks: tuple[int, ...]) -> None:
    """None of them takes effect."""
    at = town()
    before = at.tenant()
    whole = t.Forged("", (kind.good().made(),))
    values = list(flips(kind, every, masks))
    for value in values:
        throw(at, kind, whole, value=value)

    assert len(values) > 20
    assert at.tenant() == before
    assert len(at.refused) == len(values)
    assert set(at.refused) <= {kind.reason, "undecodable"}


@pytest.mark.parametrize("name", KINDS)
def test_flipped_bytes_of_a_directory_record_are_refused(name: str) -> None:
    """Wherever they stand in the value."""
    assert_flips_fail(KINDS[name], 40, (1,))


@pytest.mark.long
@pytest.mark.parametrize("name", KINDS)
def test_every_flipped_byte_of_a_directory_record_is_refused(name: str) -> None:
    """All of them, each in three ways."""
    assert_flips_fail(KINDS[name], 10_000_000, (0x01, 0x80, 0xFF))


@pytest.mark.parametrize("name", KINDS)
def test_a_directory_record_on_another_topic_takes_no_effect(name: str) -> None:
    """Also really signed."""
    kind, at = KINDS[name], town()
    before = at.tenant()
    own = topic_of(kind.record)
    for topic in sorted(DIRECTORY_TOPICS - {own}):
        throw(at, kind, t.Forged("", (kind.good().made(),)), topic=topic)

    assert at.tenant() == before
    assert at.refused == ["undecodable"] * 2


@pytest.mark.parametrize("name", KINDS)
def test_what_is_not_forged_takes_effect(name: str) -> None:
    """Otherwise the matrix would show nothing."""
    kind, at = KINDS[name], town()
    before = at.tenant()
    throw(at, kind, t.Forged("good", (kind.good().made(),)))

    assert at.tenant() != before
    assert at.refused == []


def test_the_matrix_of_directories_is_complete() -> None:
    """Every record that stands on a topic of the directories, every claim of each."""
    on_topics = {name for topic in DIRECTORY_TOPICS for name in TOPICS[topic].records}
    assert {type(kind.record).__name__ for kind in KINDS.values()} == on_topics
    for kind in KINDS.values():
        left_out = _UNCLAIMED if kind.for_ever else frozenset()
        altered = {forged.claim for forged in forgeries(kind)}
        assert altered >= kind.good().claims.keys() - left_out
