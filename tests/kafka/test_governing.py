"""Signed policies under dual control on the real log, and somebody with a producer of their own."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from consumers.settings import PREFIX
from schemas.canonical import canonical_json
from schemas.directory import PolicyDocument
from schemas.events import CommandRefused, InterruptStatusChanged
from schemas.journal import JournalEntry
from tests import examples as e
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.unit.countersign.command import Command

VANCE, MORENO = "g.vance", "g.moreno"


@pytest.fixture
def cli(
    deployment: Deployment, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    """Commands that speak to the test's deployment."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    for name, value in deployment.env.items():
        if name.startswith(PREFIX):
            monkeypatch.setenv(name, value)
    monkeypatch.chdir(deployment.directory)
    return Command(capsys, monkeypatch)


def policy_file(version: str, **over: Any) -> str:
    """A version of the policy, as a governor keeps it."""
    form = e.a_policy_form(policy_version=version, **over)
    Path("policy.yaml").write_text(yaml.safe_dump(form), encoding="utf-8")
    return "policy.yaml"


def smuggled(deployment: Deployment, version: str) -> None:
    """A policy that somebody who may write the topic has written: nobody needs to be asked."""
    form = e.a_policy_form(policy_version=version)
    form["rules"][0] |= {"approvals": [{"role": "reviewer"}]}
    document = PolicyDocument(
        tenant_id=e.TENANT, policy_version=version, document_json=canonical_json(form)
    )
    deployment.publish(document, by=None, record_id=version)


def test_two_governors_rule_and_nobody_else(deployment: Deployment, cli: Command) -> None:
    """What was applied before the first governor stands; then two sign; a smuggled policy changes
    nothing but a metric; the journal is provable with the keys, and the grant keys are published."""
    worker = deployment.worker()
    smuggled(deployment, "hole")
    keys = {}
    for name in (VANCE, MORENO):
        deployment.add_key(name, admin_id=name, tenant_ids=[e.TENANT], valid_from=datetime.now(UTC))
        keys[name] = str(deployment.key_file(name))
    unsigned = cli("policy", "apply", policy_file("20"))
    alone = cli("policy", "apply", policy_file("20", dual_control=True), "--key", keys[VANCE])
    both = ["--key", keys[VANCE], "--cosign", keys[MORENO]]
    ruled = cli("policy", "apply", policy_file("20", dual_control=True), *both, "--json")
    off = cli("policy", "apply", policy_file("21"), "--key", keys[MORENO])
    smuggled(deployment, "22")
    deployment.agent().submit(e.a_request())
    opened = eventually(
        lambda: deployment.records("interrupt-status", InterruptStatusChanged), within_s=30
    )

    assert (unsigned.code, "has governors" in unsigned.err) == (2, True)
    assert (alone.code, "--cosign" in alone.err) == (2, True)
    assert (off.code, "second governor" in off.err) == (2, True)
    assert (ruled.code, ruled.json["signed_by"]) == (0, [VANCE, MORENO]), ruled.err
    assert [one.status for one in opened] == ["pending"]
    [entry] = [
        j for j in deployment.records("audit-journal", JournalEntry) if j.verdict == "recorded"
    ]
    assert entry.context.policy_version == "20"
    assert deployment.records("command-refused", CommandRefused) == []
    assert 'directory_refused_total{reason="unsigned"} 1.0' in worker.metrics()
    verified = cli("audit", "verify", "--json")
    assert verified.code == 0, verified.err
    served, printed = json.loads(worker.get("/grants/jwks.json")[1]), cli("keys", "jwks")
    assert served == printed.json


def test_people_are_governed_too(deployment: Deployment, cli: Command) -> None:
    """A directory with a governor's signature is in force; the same one again changes nothing."""
    deployment.add_key(VANCE, admin_id=VANCE, tenant_ids=[e.TENANT], valid_from=datetime.now(UTC))
    person = {
        "reviewer_id": "r.new", "roles": ["senior_reviewer"], "scopes": ["notice:approve"],
        "max_risk_level": "high",
    }  # fmt: skip
    form = {"tenant_id": e.TENANT, "reviewers": [person], "agents": []}
    Path("directory.yaml").write_text(yaml.safe_dump(form), encoding="utf-8")
    options = ["--key", str(deployment.key_file(VANCE)), "--json"]

    first, again = (cli("reviewers", "apply", "directory.yaml", *options) for _ in range(2))

    assert (first.code, first.json["published"]) == (0, ["r.new"]), first.err
    assert e.REVIEWER in first.json["removed"]
    assert (again.code, again.json["published"], again.json["removed"]) == (0, [], [])
