"""Who may write the directories: the worker believes governors, workers and the balancer, nobody else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest

from consumers.control.directories import DirectoryReader
from core.authentication import COMMAND_TYP, CONTEXT_TYP, POLICY_TYP
from core.directory import TenantContext
from core.jwk import TrustedKey, TrustedKeys, trusted_key
from producers.keys import SigningKey, new_key
from producers.signing import sign_record
from schemas.canonical import canonical_json
from schemas.codec import encode
from schemas.directory import PolicyDocument, PolicyExceptionChanged, ReviewerAuthorization
from schemas.headers import SIGNATURE, ce_headers
from schemas.model import Record
from schemas.registry import ce_type_of, topic_of
from schemas.topics import key_of
from tests import examples as e
from tests.fakes.memory_broker import MemoryBroker
from tests.unit.audit.test_directories import a_cap, an_exception
from tests.unit.control.world import AUDIENCE, KEYS, World, settle, trusted

VANCE, MORENO = "g.vance", "g.moreno"
GOVERNORS: Final = {name: new_key() for name in (VANCE, MORENO, "g.other", "g.vance again")}
BALANCER: Final = new_key()
NEWCOMER: Final = "r.newcomer"


def governor(name: str, key: str | None = None, **over: Any) -> TrustedKey:
    """A governor's key in the trusted set."""
    said: dict[str, Any] = {"admin_id": name, "tenant_ids": [e.TENANT]} | over
    return trusted_key(GOVERNORS[key or name].public_jwk(**said))


def keys_with(*more: TrustedKey) -> TrustedKeys:
    """Everybody's keys, and these."""
    balancer = BALANCER.public_jwk(reviewer_id="svc:balancer", tenant_id=e.TENANT)
    return TrustedKeys.of([*trusted().by_kid.values(), trusted_key(balancer), *more])


class Town:
    """A world whose tenant is governed from its first second on; what stands there was unsigned."""

    def __init__(self, *keys: TrustedKey) -> None:
        self.world = World()
        self.refused: list[str] = []
        self.reader = self.another_reader()
        self.world.clock.advance(1)
        since = self.world.clock()
        started = [replace(key, valid_from=key.valid_from or since) for key in keys]
        self.world.keys = keys_with(*started)

    def another_reader(self) -> DirectoryReader:
        """One that begins anew."""
        return DirectoryReader(
            MemoryBroker(self.world.cluster),
            refused=lambda _record, reason, _why: self.refused.append(reason),
        )

    def say(self, record: Record, *tokens: str, **over: Any) -> None:
        """Appends a record with these signatures."""
        topic = topic_of(record)
        assert topic is not None
        headers: list[tuple[str, bytes]] = ce_headers(
            record, ce_id="d", source="/test", time=self.world.clock()
        )
        headers += [(SIGNATURE, token.encode()) for token in tokens]
        value = over.get("value", encode(record))
        self.world.cluster.append(topic, 0, key_of(record), value, list(headers))

    def signed(self, record: Record, by: str = VANCE, **forged: Any) -> str:
        """A governor's signature, good but for what is forged."""
        said: dict[str, Any] = {
            "key": GOVERNORS.get(by),
            "typ": POLICY_TYP,
            "audience": AUDIENCE,
            "sub": by,
            "tenant_id": e.TENANT,
            "ce_type": ce_type_of(record),
            "jti": getattr(record, "policy_version", None)
            or getattr(record, "directory_digest", None),
            "now": self.world.clock(),
        }
        return sign_record(forged.pop("value", encode(record)), **(said | forged))

    def govern(self, record: Record, *by: str) -> None:
        """Appends a record that these have signed."""
        self.say(record, *(self.signed(record, name) for name in by))

    def tenant(self, reader: DirectoryReader | None = None) -> TenantContext:
        """What is believed now."""
        known = (reader or self.reader).refreshed(self.world.trust())
        return known.directory.tenant(e.TENANT)


def policy(version: str, **over: Any) -> PolicyDocument:
    """A version of the policy."""
    form = e.a_policy_form(policy_version=version, **over)
    return PolicyDocument(
        tenant_id=e.TENANT, policy_version=version, document_json=canonical_json(form)
    )


def newcomer(**over: Any) -> ReviewerAuthorization:
    """A person who was not there before."""
    return e.a_reviewer(reviewer_id=NEWCOMER, **over)


def version_of(town: Town) -> str | None:
    """The version in force."""
    found = town.tenant().policy
    return found.policy_version if found else None


RECORDS: Final[dict[str, Record]] = {
    "policy": policy("9"),
    "reviewer": newcomer(),
    "agent": e.an_agent(owner="r.mallory"),
}


def test_without_governors_the_acls_are_the_only_guard() -> None:
    """An unsigned policy takes effect."""
    town = Town()
    town.say(policy("9"))

    assert (version_of(town), town.refused) == ("9", [])


@pytest.mark.parametrize("kind", RECORDS)
def test_once_there_is_a_governor_unsigned_records_are_refused(kind: str) -> None:
    """Nothing changes; the reason has a name."""
    town = Town(governor(VANCE))
    before = town.tenant()
    town.say(RECORDS[kind])

    assert (town.tenant(), town.refused) == (before, ["unsigned"])


@pytest.mark.parametrize("kind", RECORDS)
def test_what_a_governor_signed_takes_effect(kind: str) -> None:
    """Policies, reviewers and agents."""
    town = Town(governor(VANCE))
    before = town.tenant()
    town.govern(RECORDS[kind], VANCE)

    assert town.tenant() != before
    assert town.refused == []


FORGED: Final[dict[str, dict[str, Any]]] = {
    "another key": {"key": new_key()},
    "a reviewer's key": {"key": KEYS[e.REVIEWER]},
    "the key of grants": {"key": KEYS["grant"]},
    "another tenant's governor": {"key": GOVERNORS["g.other"], "sub": "g.other"},
    "another sub": {"sub": MORENO},
    "another typ": {"typ": COMMAND_TYP},
    "another deployment": {"audience": "production"},
    "another type": {"ce_type": "human.decision_command"},
    "another tenant": {"tenant_id": "globex"},
    "another jti": {"jti": "8"},
    "other bytes": {"value": b"other"},
    "long ago": {"now": e.NOW - timedelta(hours=1)},
    "the future": {"now": e.NOW + timedelta(hours=1)},
    "a long life": {"lifetime": timedelta(days=1)},
}


@pytest.mark.parametrize("kind", RECORDS)
@pytest.mark.parametrize("forgery", FORGED)
def test_a_signature_that_is_not_a_governors_own_is_refused(kind: str, forgery: str) -> None:
    """Every claim is compared, and every kind of key is the wrong one but the governor's."""
    town = Town(governor(VANCE), governor("g.other", tenant_ids=["globex"]))
    before = town.tenant()
    town.say(RECORDS[kind], town.signed(RECORDS[kind], **FORGED[forgery]))

    assert (town.tenant(), town.refused) == (before, ["signature"])


def test_one_bad_signature_beside_a_good_one_spoils_it() -> None:
    """Nobody can say afterwards that two had signed."""
    town = Town(governor(VANCE))
    record = policy("9")
    town.say(record, town.signed(record), "not.a.token")
    town.say(record, *[town.signed(record)] * 5)

    assert (version_of(town), town.refused) == (e.POLICY_VERSION, ["signature", "signature"])


def test_what_stood_before_the_first_governor_stands() -> None:
    """The key's valid_from is the line, by append time; also for a worker that starts today."""
    town = Town(governor(VANCE))
    town.say(policy("9"))

    again = town.tenant(town.another_reader())
    assert again.policy is not None
    assert again.policy.policy_version == e.POLICY_VERSION


def test_a_tenant_does_not_fall_back_to_believing_anyone() -> None:
    """Its only governor's key has ended: the tenant is closed, not open."""
    town = Town()
    since, until = town.world.clock(), town.world.clock() + timedelta(hours=1)
    town.world.keys = keys_with(governor(VANCE, valid_from=since, valid_until=until))
    town.govern(policy("8"), VANCE)
    town.world.clock.advance(7200)
    town.say(policy("9"))
    town.govern(policy("10"), VANCE)

    assert version_of(town) == "8"
    assert town.refused == ["unsigned", "signature"]


def test_what_a_compromised_key_signed_is_undone_from_that_time_on() -> None:
    """As soon as the key is marked, in the running worker too; what it signed before stands."""
    town = Town(governor(VANCE))
    town.govern(policy("8"), VANCE)
    town.world.clock.advance(60)
    stolen_at = town.world.clock()
    town.govern(policy("9"), VANCE)
    stolen = version_of(town)
    key = replace(governor(VANCE), compromised_at=stolen_at)
    town.world.keys = keys_with(replace(key, valid_from=e.at(1)))

    assert (stolen, version_of(town), town.refused) == ("9", "8", ["signature"])


def test_an_older_signature_does_not_bring_its_version_back() -> None:
    """Whoever may append could play an old policy again within its ten minutes."""
    town = Town(governor(VANCE))
    old = policy("8")
    recorded = town.signed(old)
    town.say(old, recorded)
    town.world.clock.advance(60)
    town.govern(policy("9"), VANCE)
    town.say(old, recorded)
    refused = (version_of(town), list(town.refused))
    town.govern(old, VANCE)

    assert refused == ("9", ["replayed"])
    assert version_of(town) == "8"


DUAL: Final = {"dual_control": True}


@pytest.mark.parametrize(
    ("by", "reasons"),
    [
        ([VANCE], ["dual_control"]),
        ([VANCE, VANCE], ["dual_control"]),
        ([VANCE, MORENO], []),
    ],
)
@pytest.mark.parametrize(
    "record",
    [policy("9", **DUAL), policy("9"), newcomer(), e.an_agent(owner="r.mallory")],
    ids=["policy", "policy without it", "reviewer", "agent"],
)
def test_dual_control_takes_two_governors(
    by: Sequence[str], reasons: list[str], record: Record
) -> None:
    """Under it everything does, and switching it off too."""
    town = Town(governor(VANCE), governor(MORENO))
    town.govern(policy("8", **DUAL), VANCE, MORENO)
    before = town.tenant()
    town.govern(record, *by)

    assert ((town.tenant() == before), town.refused) == (bool(reasons), reasons)


def test_dual_control_is_brought_in_by_two() -> None:
    """One governor alone cannot lock the tenant."""
    town = Town(governor(VANCE), governor(MORENO))
    town.govern(policy("8", **DUAL), VANCE)

    assert (version_of(town), town.refused) == (e.POLICY_VERSION, ["dual_control"])


def test_two_keys_of_one_governor_are_one_governor() -> None:
    """The people are counted, not the keys."""
    town = Town(governor(VANCE), governor(VANCE, "g.vance again"))
    record = policy("8", **DUAL)
    again = town.signed(record, key=GOVERNORS["g.vance again"])
    town.say(record, town.signed(record), again)

    assert (version_of(town), town.refused) == (e.POLICY_VERSION, ["dual_control"])


@pytest.mark.parametrize("read_between", [False, True])
def test_people_are_judged_by_the_policy_of_their_time(read_between: bool) -> None:
    """One signature before dual control, two after it; whenever the topics were read."""
    town = Town(governor(VANCE), governor(MORENO))
    town.govern(newcomer(), VANCE)
    if read_between:
        town.tenant()
    town.world.clock.advance(1)
    town.govern(policy("8", **DUAL), VANCE, MORENO)
    if read_between:
        town.tenant()
    town.world.clock.advance(1)
    town.govern(newcomer(max_risk_level="critical"), VANCE)

    assert town.tenant().reviewers[NEWCOMER].max_risk_level == newcomer().max_risk_level
    assert town.refused == ["dual_control"]


def test_people_judged_before_an_older_policy_was_seen_are_judged_again() -> None:
    """Two partitions are not appended to in the order of their times: what is believed follows from
    the records alone."""
    town = Town(governor(VANCE), governor(MORENO))
    record = policy("8", **DUAL)
    tokens = [town.signed(record, name) for name in (VANCE, MORENO)]
    town.world.clock.advance(10)
    town.govern(newcomer(), VANCE)
    early = NEWCOMER in town.tenant().reviewers
    town.world.clock.advance(-5)
    town.say(record, *tokens)

    assert (early, NEWCOMER in town.tenant().reviewers) == (True, False)
    assert town.tenant() == town.tenant(town.another_reader())


def worker_proof(record: PolicyExceptionChanged, key: SigningKey, **over: Any) -> str:
    """A worker's proof of what it wrote, good but for the key and what is changed."""
    said: dict[str, Any] = {
        "typ": CONTEXT_TYP,
        "audience": AUDIENCE,
        "sub": "-",
        "tenant_id": e.TENANT,
        "ce_type": ce_type_of(record),
        "jti": record.event_id,
        "now": e.NOW,
    }
    return sign_record(over.pop("value", encode(record)), key=key, **(said | over))


EXCEPTION_FORGERIES: Final[dict[str, dict[str, Any]]] = {
    "another key": {"key": new_key()},
    "a governor's key": {"key": GOVERNORS[VANCE]},
    "a reviewer's key": {"key": KEYS[e.REVIEWER]},
    "the typ of grants": {"typ": "countersign-grant+jwt"},
    "another deployment": {"audience": "production"},
    "another tenant": {"tenant_id": "globex"},
    "another event": {"jti": "ev-other"},
    "other bytes": {"value": b"other"},
    "another type": {"ce_type": "reviewer.cap_changed"},
}


def test_nobody_grants_exceptions_by_writing_them() -> None:
    """Neither unsigned nor signed twice; a worker's own proof is believed, also years later."""
    town = Town()
    record = an_exception()
    town.say(record)
    town.say(record, *[worker_proof(record, KEYS["grant"])] * 2)
    refused = (dict(town.tenant().exceptions), list(town.refused))
    town.world.clock.advance(365 * 86400)
    town.say(record, worker_proof(record, KEYS["grant"]))

    assert refused == ({}, ["proof", "proof"])
    assert list(town.tenant().exceptions) == [record.exception_id]


@pytest.mark.parametrize("forgery", EXCEPTION_FORGERIES)
def test_a_forged_proof_of_an_exception_is_refused(forgery: str) -> None:
    """Each claim is compared; nobody's key but a worker's proves it."""
    town = Town(governor(VANCE))
    over: dict[str, Any] = {"key": KEYS["grant"]} | EXCEPTION_FORGERIES[forgery]
    record = an_exception()
    town.say(record, worker_proof(record, over.pop("key"), **over))

    assert (dict(town.tenant().exceptions), town.refused) == ({}, ["proof"])


@pytest.mark.parametrize(
    ("key", "sub", "believed"),
    [
        (BALANCER, "svc:balancer", True),
        (KEYS["r.lind"], "r.lind", False),
        (KEYS["r.lind"], "svc:balancer", False),
        (KEYS["grant"], "svc:balancer", False),
        (GOVERNORS[VANCE], "svc:balancer", False),
        (None, None, False),
    ],
)
def test_only_the_balancer_caps_reviewers(
    key: SigningKey | None, sub: str | None, believed: bool
) -> None:
    """Any reviewer could stop another otherwise."""
    town = Town(governor(VANCE))
    cap = a_cap()
    tokens = [town.signed(cap, key=key, typ=COMMAND_TYP, sub=sub, jti=cap.event_id)] if key else []
    town.say(cap, *tokens)

    assert bool(town.tenant().caps) is believed
    assert town.refused == ([] if believed else ["proof"])


def test_an_earlier_cap_played_again_does_not_end_a_later_one() -> None:
    """The longest counts."""
    town = Town()
    caps = [a_cap(), a_cap().model_copy(update={"event_id": "ev-2", "capped_until": e.at(9000)})]
    tokens = [
        town.signed(cap, key=BALANCER, typ=COMMAND_TYP, sub="svc:balancer", jti=cap.event_id)
        for cap in caps
    ]
    for number in (0, 1, 0):
        town.say(caps[number], tokens[number])

    assert town.tenant().caps[e.REVIEWER].capped_until == e.at(9000)


def test_the_worker_goes_on_past_what_it_refuses_and_counts_it() -> None:
    """The offset is passed, the metric moves, and decisions rest on what was believed."""
    town = Town(governor(VANCE))
    town.say(policy("9", defaults={"decide_within": "1h"}))
    worker = town.world.worker()
    town.world.request()
    settle(worker)

    [entry] = town.world.journal()
    assert (entry.context.policy_version, entry.context.policy_offset) == (e.POLICY_VERSION, 2)
    assert entry.context.directory_digest is not None
    counted = worker._metrics.directory_refused.labels("unsigned")._value.get()
    assert counted == 1


def test_an_admin_id_alone_governs_nothing() -> None:
    """The member that counts is policy_admin."""
    named = replace(governor(MORENO), policy_admin=False)
    town = Town(governor(VANCE), named)
    town.govern(policy("9"), MORENO)

    assert (version_of(town), town.refused) == (e.POLICY_VERSION, ["signature"])


def test_a_key_that_speaks_for_somebody_proves_no_exception() -> None:
    """Also where it stands in the set of grant keys by mistake."""
    town, record = Town(), an_exception()
    reviewer = trusted().by_kid[KEYS[e.REVIEWER].kid]
    town.say(record, worker_proof(record, KEYS[e.REVIEWER]))
    trust = replace(town.world.trust(), workers=TrustedKeys.of([reviewer]))
    known = town.reader.refreshed(trust)

    assert not known.directory.tenant(e.TENANT).exceptions
    assert town.refused == ["proof"]
