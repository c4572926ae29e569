"""Where forged records are thrown in: the real worker on a log in memory, with a package at stake."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from core.authentication import typ_of
from core.jwk import TrustedKeys
from core.jws import b64url
from producers.keys import SigningKey, new_key
from producers.signing import sign_record
from schemas.codec import decode_any, encode
from schemas.events import CommandRefused, ToolGateEvent
from schemas.headers import CE_TYPE, SIGNATURE, ce_headers
from schemas.model import Record
from schemas.registry import INPUT_TYPES, ce_type_of, topic_of
from schemas.topics import INPUT_TOPICS, key_of, partition_for
from tests import examples as e
from tests.unit.control.world import AUDIENCE, KEYS, World, settle, trusted
from tests.unit.forge import tokens as t

OTHER_TENANT: Final = "globex"
OTHERS: Final[dict[str, SigningKey]] = {
    "gateway": new_key(),
    "governor": new_key(),
    "nobody": new_key(),
    "abroad": new_key(),
    "both": new_key(),
    "not yet": new_key(),
    "ended": new_key(),
    "compromised": new_key(),
    "p256": t.new_p256(),
}
NOW_S: Final = int(e.NOW.timestamp())
_A_MOMENT: Final = timedelta(microseconds=1)
Maker = Callable[..., Record]


@dataclass(frozen=True, slots=True)
class Kind:
    """A signed input record, by whom it is sent, and the name of its id."""

    make: Maker
    sender: str
    id_field: str

    def record(self, **over: Any) -> Record:
        """The record."""
        return self.make(**over)


KINDS: Final[dict[str, Kind]] = {
    "interrupt.requested": Kind(e.a_request, e.AGENT, "interrupt_id"),
    "interrupt.cancelled": Kind(e.a_cancellation, e.AGENT, "interrupt_id"),
    "human.decision_command": Kind(e.a_decision, e.REVIEWER, "command_id"),
    "human.override_command": Kind(e.an_override, e.REVIEWER, "command_id"),
    "review_task.command": Kind(e.a_task_command, e.REVIEWER, "command_id"),
    "grant.revocation_command": Kind(e.a_revocation, e.REVIEWER, "command_id"),
    "audit.verdict_command": Kind(e.a_verdict, e.REVIEWER, "command_id"),
    "policy.exception_command": Kind(e.an_exception, e.REVIEWER, "command_id"),
    "grant.take": Kind(e.a_take, e.EXECUTOR, "attempt_id"),
    "tool.executed": Kind(e.an_executed, e.EXECUTOR, "event_id"),
    "tool.failed": Kind(e.a_failed, e.EXECUTOR, "event_id"),
    "tool.in_doubt": Kind(e.an_in_doubt, e.EXECUTOR, "event_id"),
    "tool.denied": Kind(e.a_denied, e.EXECUTOR, "event_id"),
    "outcome.reported": Kind(
        lambda **over: e.an_outcome(**({"reported_by": e.EXECUTOR} | over)), e.EXECUTOR, "event_id"
    ),
    "notice.sent": Kind(e.a_notice_sent, e.EXECUTOR, "event_id"),
    "notice.failed": Kind(e.a_notice_failed, e.EXECUTOR, "event_id"),
}
UNSIGNED: Final = frozenset({"clock.tick"})
"""What nobody signs: it says nothing but what time it is."""
UNREADABLE: Final = frozenset(
    {
        "unknown_encoding", "unknown_fingerprint", "malformed_avro", "invalid_field",
        "key_mismatch", "ce_type_mismatch", "no_registry",
    }
)  # fmt: skip
REFUSED: Final = frozenset({"UNAUTHENTICATED"})
MISMATCH: Final = frozenset({"TENANT_MISMATCH"})


def key_of_sender(name: str) -> SigningKey:
    """The key that is good for a sender."""
    return KEYS[name]


def keys() -> TrustedKeys:
    """Everybody's keys, and those of others whose keys are as trusted, but not for this."""
    someone: dict[str, Any] = {
        "agent_id": e.AGENT,
        "reviewer_id": e.REVIEWER,
        "executor_id": e.EXECUTOR,
    }
    here: dict[str, Any] = {"tenant_ids": [e.TENANT]}
    found = [
        OTHERS["gateway"].public_jwk(**here),
        OTHERS["governor"].public_jwk(admin_id="g.vance", tenant_ids=[OTHER_TENANT]),
        OTHERS["nobody"].public_jwk(),
        OTHERS["abroad"].public_jwk(**someone, tenant_id=OTHER_TENANT),
        OTHERS["both"].public_jwk(**someone, tenant_ids=[e.TENANT, OTHER_TENANT]),
        OTHERS["not yet"].public_jwk(**someone, **here, valid_from=e.NOW + _A_MOMENT),
        OTHERS["ended"].public_jwk(**someone, **here, valid_until=e.NOW),
        OTHERS["compromised"].public_jwk(**someone, **here)
        | {"compromised_at": e.NOW.isoformat().replace("+00:00", "Z")},
        OTHERS["p256"].public_jwk(**someone, **here),
    ]
    more = TrustedKeys.from_jwks({"keys": found})
    return TrustedKeys.of([*trusted().by_kid.values(), *more.by_kid.values()])


@dataclass(frozen=True, slots=True)
class Case:
    """One forged record and what must become of it: one of these codes or reasons."""

    name: str
    ce_type: str
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    expected: frozenset[str] = REFUSED
    topic: str = ""
    key: bytes | None = b""
    elsewhere: bool = False
    claim: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What became of it, as the journal has it."""

    verdicts: tuple[str, ...]
    code: str
    refusal: CommandRefused | None


def good_token(record: Record, sender: str, key: SigningKey | None = None) -> t.Good:
    """A signature over the record that is believed."""
    kind = KINDS[ce_type_of(record)]
    signer = key or key_of_sender(kind.sender)
    token = sign_record(
        encode(record),
        key=signer,
        typ=typ_of(record),
        audience=AUDIENCE,
        sub=sender,
        tenant_id=e.TENANT,
        ce_type=ce_type_of(record),
        jti=getattr(record, kind.id_field),
        now=e.NOW,
    )
    return t.Good.of(token, signer)


def headers_of(
    record: Record, tokens: Sequence[bytes | None], **over: bytes
) -> tuple[tuple[str, bytes | None], ...]:
    """The headers of a record with these signatures; over: other values of headers."""
    plain = ce_headers(record, ce_id="forged", source="/test", time=e.NOW)
    said = [(name, over.get(name.replace("-", "_"), value)) for name, value in plain]
    return (*said, *((SIGNATURE, token) for token in tokens))


class Arena:
    """One world; a package at some stage of its life; forged records thrown in."""

    def __init__(self, stage: str = "open") -> None:
        self.world = World(keys=keys())
        self.worker = self.world.worker()
        if stage != "unseen":
            self.world.request()
            settle(self.worker, turns=5)
        if stage == "decided":
            self.world.decide()
            settle(self.worker, turns=5)
            assert [gate.gate for gate in self.world.all(ToolGateEvent)] == ["opened"]

    def states(self) -> dict[int, dict[bytes, bytes]]:
        """All control points, byte for byte."""
        return {n: dict(part.values) for n, part in self.world.store._parts.items()}

    def told(self, cases: Sequence[Case]) -> list[Told]:
        """Throws them in, all at once, and reads what became of each."""
        places = [self._thrown(case) for case in cases]
        settle(self.worker, turns=len(cases) // 50 + 10)
        assert self.worker.fenced == {}
        found: dict[tuple[str, int, int], list[Any]] = {}
        for entry in self.world.journal():
            where = (entry.input.topic, entry.input.partition, entry.input.offset)
            found.setdefault(where, []).append(entry)
        dead = {
            (said["dlq_topic"], int(said["dlq_partition"]), int(said["dlq_offset"])): said[
                "dlq_reason"
            ]
            for said in (
                {n: (v or b"").decode(errors="replace") for n, v in letter.headers}
                for letter in self.world.dead()
            )
        }
        return [self._became(found.get(place, []), dead.get(place)) for place in places]

    def _thrown(self, case: Case) -> tuple[str, int, int]:
        partitions = self.world.cluster.partitions
        at = partition_for(case.key or b"", partitions)
        at = (at + 1) % partitions if case.elsewhere else at
        offset = self.world.cluster.append(case.topic, at, case.key, case.value, list(case.headers))
        return case.topic, at, offset

    def _became(self, entries: Sequence[Any], dead: str | None) -> Told:
        verdicts = tuple(entry.verdict for entry in entries)
        events = [decode_any(event) for entry in entries for event in entry.events]
        refusal = next((one for one in events if isinstance(one, CommandRefused)), None)
        code = refusal.code if refusal else dead or ""
        return Told(verdicts, code, refusal)

    def published(self) -> dict[str, int]:
        """How many records stand on each topic of the worker but those of refusals."""
        quiet = {
            *INPUT_TOPICS, "command-refused", "dead-letter", "audit-journal", "audit-checkpoint"
        }  # fmt: skip
        return {
            topic: len(records)
            for (topic, _), records in sorted(self.world.cluster.log.items())
            if topic not in quiet
        }


def case_of(
    record: Record, forged: t.Forged, expected: frozenset[str] = REFUSED, **over: Any
) -> Case:
    """A record with forged signatures, where it belongs."""
    topic, key = topic_of(record), key_of(record)
    assert topic is not None
    said: dict[str, Any] = {
        "value": encode(record),
        "headers": headers_of(record, forged.tokens),
        "topic": topic,
        "key": key,
        "claim": forged.claim,
    }
    return Case(forged.name, ce_type_of(record), expected=expected, **(said | over))


def cases_of(ce_type: str) -> Iterator[Case]:
    """Every case of a type of record but the flipped bytes."""
    kind = KINDS[ce_type]
    record = kind.record()
    good = good_token(record, kind.sender)
    others = [KEYS["r.lind"], OTHERS["p256"], OTHERS["gateway"]]
    for forged in (
        *t.forgeries(good, others=others), *t.doubled(good), *t.sessions(good, NOW_S)
    ):  # fmt: skip
        yield case_of(record, forged)
    for forged, within in t.times(good, NOW_S):
        if not within:
            yield case_of(record, forged)
    yield from _p256(record, kind)
    yield from _of_other_keys(record, kind, good)
    yield from _aimed_elsewhere(record, kind, good)
    yield from _misplaced(record, good)


def _p256(record: Record, kind: Kind) -> Iterator[Case]:
    good = good_token(record, kind.sender, OTHERS["p256"])
    for forged in (*t.heads(good, [KEYS[e.REVIEWER]]), *t.encodings(good)):
        yield case_of(record, t.Forged(f"P-256: {forged.name}", forged.tokens))


def _of_other_keys(record: Record, kind: Kind, good: t.Good) -> Iterator[Case]:
    """Really signed, by a trusted key that may not: for this, here, or now."""
    for name, key in (*KEYS.items(), *OTHERS.items()):
        if name in (kind.sender, "p256", "both"):
            continue
        if name == "gateway" and good.head["typ"] == "countersign-command+jwt":
            continue  # it may
        head = {**good.head, "kid": key.kid, "alg": key.algorithm}
        for sub in dict.fromkeys((kind.sender, name)):
            token = good.made(head, {**good.claims, "sub": sub}, key)
            yield case_of(record, t.Forged(f"key of {name} for {sub}", (token,), "sub"))
    for name, expected in (("abroad", MISMATCH), ("both", MISMATCH), (kind.sender, REFUSED)):
        key = OTHERS.get(name) or KEYS[name]
        head = {**good.head, "kid": key.kid}
        token = good.made(head, {**good.claims, "tenant_id": OTHER_TENANT}, key)
        forged = t.Forged(f"for another tenant by {name}", (token,), "tenant_id")
        yield case_of(record, forged, expected)


def _aimed_elsewhere(record: Record, kind: Kind, good: t.Good) -> Iterator[Case]:
    """Good signatures over something else than where they are used."""
    for other in (*INPUT_TYPES, "policy.document", "tool_gate.opened", "interrupt.opened"):
        if other != good.claims["type"]:
            token = good.claiming(type=other)
            yield case_of(record, t.Forged(f"signed as {other}", (token,), "type"))
    for audience in ("production", "countersign", "*", f"{AUDIENCE},production"):
        token = good.claiming(aud=audience)
        yield case_of(record, t.Forged(f"for deployment {audience}", (token,), "aud"))
    for sub in (e.AGENT, e.REVIEWER, "r.lind", e.EXECUTOR, "svc:balancer", "g.vance", "*"):
        if sub != kind.sender:
            yield case_of(record, t.Forged(f"sub {sub}", (good.claiming(sub=sub),), "sub"))
    if "decision_package_id" in type(record).model_fields:
        moved = kind.record(decision_package_id="pkg-other")
        yield case_of(moved, t.Forged("at another package", (good.made(),), "body"))
        abroad = kind.record(tenant_id=OTHER_TENANT)
        yield case_of(abroad, t.Forged("at another tenant", (good.made(),), "body"))
    renamed = kind.record(**{kind.id_field: "another-id"})
    yield case_of(renamed, t.Forged("under another id", (good.made(),), "body"))
    token = good_token(renamed, kind.sender).claiming(jti=good.claims["jti"])
    yield case_of(renamed, t.Forged("jti of another", (token,), "jti"))


def _misplaced(record: Record, good: t.Good) -> Iterator[Case]:
    """A good signature on a record that stands, is framed or is named wrongly."""
    whole = t.Forged("", (good.made(),))

    def case(name: str, *expected: str, **over: Any) -> Case:
        made = case_of(record, t.Forged(name, whole.tokens), frozenset(expected), **over)
        return made

    own = topic_of(record)
    for topic in INPUT_TOPICS:
        if topic != own:
            reason = "rekeyed_not_ours" if topic == "rekeyed" else "wrong_topic"
            yield case(f"on {topic}", reason, topic=topic)
    coordinates = (
        ("rekeyed_topic", str(own).encode()), ("rekeyed_partition", b"0"),
        ("rekeyed_offset", b"0"), ("rekeyed_append_time_us", b"1"), ("rekeyed_proof", b"00" * 32),
    )  # fmt: skip
    headers = (*headers_of(record, whole.tokens), *coordinates)
    yield case("rekeyed by a stranger", "rekeyed_not_ours", topic="rekeyed", headers=headers)
    bad = headers_of(record, (good.made(key=t.STRANGER),))
    yield case("forged and on another partition", *REFUSED, headers=bad, elsewhere=True)
    yield case("no key", "null_key", key=None)
    yield case("key of another package", "key_mismatch", key=f"{e.TENANT}/pkg-other".encode())
    yield case("key of another tenant", "key_mismatch", key=f"globex/{e.PACKAGE_ID}".encode())
    value = encode(record)
    yield case("no value", "null_value", value=None)
    yield case("cut", "malformed_avro", value=value[:-1])
    yield case("longer", "malformed_avro", value=value + b"\0")
    yield case("too large", "value_too_large", value=value + bytes(256 * 1024))
    yield case("framed", "no_registry", value=b"\x00\x00\x00\x00\x01" + value[10:])
    form = encode(record, output="json")
    json_headers = headers_of(record, whole.tokens, content_type=b"application/json")
    yield case("the same as JSON", *REFUSED, value=form, headers=json_headers)
    spaced = t.Forged("", (good.claiming(body=b64url(hashlib.sha256(form).digest())),))
    yield case(
        "JSON with a space more", *REFUSED, value=form + b" ",
        headers=headers_of(record, spaced.tokens, content_type=b"application/json"),
    )  # fmt: skip
    for other in INPUT_TYPES:
        if other != ce_type_of(record):
            named = headers_of(record, whole.tokens, ce_type=other.encode())
            yield case(f"named {other}", "ce_type_mismatch", headers=named)
    named = headers_of(record, whole.tokens, ce_type=b"no.such")
    yield case("named nothing known", "unknown_ce_type", headers=named)
    twice = (*headers_of(record, whole.tokens), (CE_TYPE, ce_type_of(record).encode()))
    yield case("named twice", "duplicate_header", headers=twice)
    renamed = tuple(
        (n.title() if n == SIGNATURE else n, v) for n, v in headers_of(record, whole.tokens)
    )
    yield case("signature under another name", *REFUSED, headers=renamed)


def flipped(ce_type: str, *, every: int | None, masks: Sequence[int] = (1,)) -> Iterator[Case]:
    """The record with bytes of its value flipped; every: how many of them, None all."""
    kind = KINDS[ce_type]
    record = kind.record()
    whole = t.Forged("", (good_token(record, kind.sender).made(),))
    value = encode(record)
    step = 1 if every is None else max(1, len(value) // every)
    for at in range(0, len(value), step):
        for mask in masks:
            other = bytes([*value[:at], value[at] ^ mask, *value[at + 1 :]])
            forged = t.Forged(f"byte {at} ^ {mask:#x}", whole.tokens, "body")
            yield case_of(record, forged, REFUSED | UNREADABLE, value=other)
