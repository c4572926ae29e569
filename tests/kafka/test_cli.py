"""Commands against the real broker, and with the real worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from consumers.settings import PREFIX
from producers.publisher import Publisher
from schemas.events import CommandRefused, InterruptStatusChanged, ToolGateEvent
from schemas.execution import NoticeSent
from tests import examples as e
from tests.support.deployment import HEAD, OTHER_REVIEWER, Deployment, deployed
from tests.support.eventually import eventually
from tests.support.servers import TestServers
from tests.unit.countersign.command import Command


@pytest.fixture
def cli(
    deployment: Deployment, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    """Commands that speak to the test's deployment."""
    return _cli(deployment, capsys, monkeypatch)


@pytest.fixture
def empty(servers: TestServers, tmp_path: Path) -> Iterator[Deployment]:
    """A deployment in which nobody has published a policy or people."""
    with deployed(servers.bootstrap_servers, servers.redis_url, tmp_path, people=False) as made:
        yield made


@pytest.fixture
def empty_cli(
    empty: Deployment, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    """Commands that speak to the empty deployment."""
    return _cli(empty, capsys, monkeypatch)


def _cli(
    deployment: Deployment, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    for name, value in deployment.env.items():
        if name.startswith(PREFIX):
            monkeypatch.setenv(name, value)
    monkeypatch.chdir(deployment.directory)
    return Command(capsys, monkeypatch)


def write(path: str, form: object) -> str:
    """A file of the working directory."""
    Path(path).write_text(yaml.safe_dump(form), encoding="utf-8")
    return path


def a_request_file(**over: Any) -> str:
    """A request as a user writes it."""
    text = e.a_request(**over).model_dump_json(exclude_defaults=True)
    Path("request.json").write_text(text, encoding="utf-8")
    return "request.json"


def decide_as(
    deployment: Deployment, cli: Command, who: str, decision: str = "approve", *more: str
) -> Any:
    """A decision by somebody who has a key."""
    return cli(
        "decide", e.PACKAGE_ID, "--tenant", e.TENANT, "--as", who, "--key",
        deployment.key_file(who), "--decision", decision, "--version", "1", *more,
    )  # fmt: skip


# --- without a worker -------------------------------------------------------------------------


def test_a_policy_is_published_once_and_never_changed(empty_cli: Command) -> None:
    """The same file again is unchanged; other content under its version is refused."""
    policy = write("policy.yaml", e.a_policy_form())
    other = write("other.yaml", e.a_policy_form(dual_control=True))
    newer = write("newer.yaml", e.a_policy_form(policy_version="8"))

    first, again, refused = (
        empty_cli("policy", "apply", f, "--json") for f in (policy, policy, other)
    )
    second, back = (empty_cli("policy", "apply", f, "--json") for f in (newer, policy))

    assert [first.json["change"], again.json["change"]] == [
        "published, the tenant's first",
        "unchanged",
    ]
    assert refused.code == 1
    assert "differs in: dual_control" in refused.err
    assert [second.json["change"], back.json["change"]] == ["published", "in force again"]


def test_only_changed_people_are_published(empty: Deployment, empty_cli: Command) -> None:
    """And who left the file is removed."""
    people = [
        {"reviewer_id": name, "roles": ["reviewer"], "scopes": [], "max_risk_level": "low"}
        for name in ("r.a", "r.b")
    ]
    form: dict[str, Any] = {"tenant_id": e.TENANT, "reviewers": people}
    first = empty_cli("reviewers", "apply", write("d.yaml", form), "--json")
    changed = form | {"reviewers": [people[0] | {"max_risk_level": "high"}]}
    second = empty_cli("reviewers", "apply", write("d.yaml", changed), "--json")
    third = empty_cli("reviewers", "apply", "d.yaml", "--json")

    assert (first.json["published"], first.json["removed"]) == (["r.a", "r.b"], [])
    assert (second.json["published"], second.json["removed"]) == (["r.a"], ["r.b"])
    assert (third.json["published"], third.json["removed"]) == ([], [])
    assert len(empty.reads("reviewer-directory")) == 4


def test_doctor_finds_a_fresh_deployment_good(cli: Command) -> None:
    """Topics, Redis, keys, schemas, policies."""
    ran = cli("doctor", "--json")

    assert ran.code == 0, ran.out
    levels = {finding["part"]: finding["level"] for finding in ran.json["findings"]}
    assert (levels["topics"], levels["clock"], levels["directories"]) == ("ok", "ok", "ok")


def test_doctor_names_what_is_wrong_with_its_mend(cli: Command) -> None:
    """Another partition count than the topics have, and no policy."""
    wrong = cli("doctor", "--json", settings={"PARTITIONS": "7"})
    missing = cli("doctor", settings={"TOPIC_PREFIX": "nobody."})

    assert (wrong.code, missing.code) == (1, 1)
    errors = [one for one in wrong.json["findings"] if one["level"] == "error"]
    assert errors
    assert all("COUNTERSIGN_PARTITIONS" in one["mend"] for one in errors)
    assert "nobody.tool-gate: missing" in missing.out
    assert "countersign topics apply" in missing.out


def test_what_is_missing_is_no_traceback(cli: Command) -> None:
    """A deployment without topics: each command says what makes them."""
    for argv in (
        ["interrupts", "list"], ["explain", "x"], ["audit", "verify"], ["dlq", "list"],
        ["audit", "show", "x", "--tenant", "t"], ["tail", "tool-gate"],
        ["request", a_request_file(), "--timeout", "1"],
    ):  # fmt: skip
        ran = cli(*argv, settings={"TOPIC_PREFIX": "nobody."})
        assert (ran.code, "countersign topics apply" in ran.err) == (1, True), argv


def test_an_empty_deployment_answers(empty_cli: Command) -> None:
    """Nothing open, no dead letters, nothing to prove."""
    listed, dead = empty_cli("interrupts", "list", "--json"), empty_cli("dlq", "list", "--json")
    verified = empty_cli("audit", "verify", "--json")

    assert (listed.json, dead.json) == ([], [])
    assert (verified.code, verified.json["entries"]) == (0, 0)


def test_tail_shows_each_record_as_one_json_object(cli: Command) -> None:
    """From the start, and no more than was asked for."""
    ran = cli("tail", "reviewer-directory", "--from-start", "--count", "3", "--json")

    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert [row["ce_type"] for row in rows] == ["reviewer.authorization"] * 3
    assert rows[0]["value"]["reviewer_id"] == e.REVIEWER


def test_nothing_answers_a_request_while_no_worker_runs(
    deployment: Deployment, cli: Command
) -> None:
    """Exit 4, and it names what to try again with; a decision names its idempotency key."""
    key = deployment.key_file(e.AGENT)
    asked = cli("request", a_request_file(), "--key", key, "--timeout", "1s")
    decided = decide_as(deployment, cli, e.REVIEWER, "approve", "--timeout", "1",
                        "--idempotency-key", "k-1")  # fmt: skip
    waited = cli("wait", e.PACKAGE_ID, "--timeout", "1")

    assert (asked.code, e.INTERRUPT_ID in asked.err) == (4, True)
    assert (decided.code, "--idempotency-key k-1" in decided.err) == (4, True)
    assert (waited.code, e.PACKAGE_ID in waited.err) == (4, True)


def test_the_entry_point_is_the_same(deployment: Deployment) -> None:
    """`python -m countersign`, as a process."""
    ran = subprocess.run(
        [sys.executable, "-m", "countersign", "dlq", "list", "--json"],
        env=deployment.env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (ran.returncode, json.loads(ran.stdout), ran.stderr) == (0, [], "")


# --- with a worker ----------------------------------------------------------------------------


def test_a_request_is_asked_explained_decided_and_proven(
    deployment: Deployment, cli: Command
) -> None:
    """The whole path of a user, from the shell."""
    deployment.worker()
    key = deployment.key_file(e.AGENT)
    asked = cli("request", a_request_file(), "--key", key, "--json")
    again = cli("request", "request.json", "--key", key, "--json")
    listed = cli("interrupts", "list", "--json")
    shown = cli("interrupts", "show", e.INTERRUPT_ID, "--json")
    explained = cli("explain", e.PACKAGE_ID, "--json")
    early = cli("audit", "show", e.PACKAGE_ID, "--tenant", e.TENANT, "--json")
    decided = decide_as(deployment, cli, e.REVIEWER, "approve", "--json")
    waited = cli("wait", e.PACKAGE_ID, "--json")
    shown_after = cli("audit", "show", e.PACKAGE_ID, "--tenant", e.TENANT)
    verified = cli("audit", "verify", "--json")

    assert (asked.code, asked.json["opened"]["status"]) == (0, "pending")
    assert (again.code, again.json["asked_before"]) == (0, True)
    assert [row["decision_package_id"] for row in listed.json] == [e.PACKAGE_ID]
    assert shown.json["request"]["package"]["title"] == e.a_package().title
    assert set(explained.json["may_act"]) == {e.REVIEWER, OTHER_REVIEWER, HEAD} - {"r.boss"}
    assert explained.json["task"]["owner"]
    assert set(explained.json["task"]["lag"].values()) == {0}
    assert (early.code, early.json["complete"]) == (1, False)
    assert (decided.code, decided.json["decision"], decided.json["final"]) == (0, "approve", True)
    assert (waited.code, waited.json["approved"]) == (0, True)
    assert (shown_after.code, "still open: approved, and not executed" in shown_after.out) == (
        1,
        True,
    )
    assert verified.code == 0, verified.err
    assert verified.json["refolded"] == verified.json["unproven"] == 0
    assert verified.json["signatures"] >= 3


def test_a_notice_that_was_sent_completes_the_audit(deployment: Deployment, cli: Command) -> None:
    """A receipt under the executor's signature: nine answers, exit 0, and the proof holds."""
    deployment.worker()
    cli("request", a_request_file(), "--key", deployment.key_file(e.AGENT))
    decide_as(deployment, cli, e.REVIEWER)
    [gate] = [g for g in deployment.records("tool-gate", ToolGateEvent) if g.gate == "opened"]
    take = e.a_take(grant_id=gate.grant_id)
    deployment.publish(take, by=e.EXECUTOR, record_id=take.attempt_id)
    eventually(lambda: any(
        g.gate == "consumed" for g in deployment.records("tool-gate", ToolGateEvent)
    ))  # fmt: skip
    sent: NoticeSent = e.a_notice_sent(grant_id=gate.grant_id)
    deployment.publish(sent, by=e.EXECUTOR, record_id=sent.event_id)

    ran = eventually(lambda: _when_complete(cli))

    answers = ran["answers"]
    assert answers["was_it_executed"]["executed"] == "yes"
    assert answers["who_approved"][0]["reviewer_id"] == e.REVIEWER
    assert cli("audit", "verify").code == 0


def _when_complete(cli: Command) -> Any:
    ran = cli("audit", "show", e.INTERRUPT_ID, "--tenant", e.TENANT, "--json")
    return ran.json if ran.code == 0 else None


def test_a_refused_decision_is_exit_1_with_its_reason(deployment: Deployment, cli: Command) -> None:
    """And explain tells it afterwards."""
    deployment.worker()
    cli(
        "request",
        a_request_file(requested_by=OTHER_REVIEWER),
        "--key",
        deployment.key_file(e.AGENT),
    )

    refused = decide_as(deployment, cli, OTHER_REVIEWER)
    stale = cli(
        "decide", e.INTERRUPT_ID, "--tenant", e.TENANT, "--as", e.REVIEWER, "--key",
        deployment.key_file(e.REVIEWER), "--decision", "approve", "--version", "2", "--json",
    )  # fmt: skip
    explained = cli("explain", e.PACKAGE_ID)

    assert (refused.code, "SEPARATION_OF_DUTIES" in refused.out) == (1, True)
    assert (stale.code, stale.json["code"]) == (1, "STALE_PACKAGE_VERSION")
    assert f"{OTHER_REVIEWER} may not: " in explained.out
    assert "refused: " in explained.out


def test_deciding_again_with_the_key_gives_the_first_outcome(
    deployment: Deployment, cli: Command
) -> None:
    """After exit 4 nobody need guess whether it counted."""
    deployment.worker()
    cli("request", a_request_file(), "--key", deployment.key_file(e.AGENT))

    first, second = (
        decide_as(deployment, cli, e.REVIEWER, "approve", "--idempotency-key", "k-1", "--json")
        for _ in range(2)
    )
    other = decide_as(deployment, cli, e.REVIEWER, "reject", "--idempotency-key", "k-1", "--json")

    assert (first.code, second.code, first.json) == (0, 0, second.json)
    assert (other.code, other.json["code"]) == (1, "IDEMPOTENCY_CONFLICT")


def test_an_unsigned_or_foreign_request_is_refused(deployment: Deployment, cli: Command) -> None:
    """Nothing is said about what is there."""
    deployment.worker()

    unsigned = cli("request", a_request_file())
    foreign = cli("request", "request.json", "--key", deployment.key_file(e.REVIEWER))

    assert (unsigned.code, "UNAUTHENTICATED" in unsigned.err) == (1, True)
    assert (foreign.code, "UNAUTHENTICATED" in foreign.err) == (1, True)


def test_cancel_ends_an_open_request_and_revokes_a_decided_one(
    deployment: Deployment, cli: Command
) -> None:
    """Wait tells the agent: not approved."""
    deployment.worker()
    key = deployment.key_file(e.AGENT)
    cli("request", a_request_file(), "--key", key)
    decide_as(deployment, cli, e.REVIEWER)
    revoked = cli("cancel", e.PACKAGE_ID, "--tenant", e.TENANT, "--key", key, "--json")
    package = e.a_package(decision_package_id="pkg-2")
    cli("request", a_request_file(interrupt_id="int-2", package=package), "--key", key)
    cancelled = cli("cancel", "int-2", "--tenant", e.TENANT, "--key", key, "--json")
    waited = cli("wait", "pkg-2", "--json")
    again = cli("cancel", "pkg-2", "--tenant", e.TENANT, "--key", key)

    assert (revoked.code, revoked.json["gate"]) == (0, "revoked")
    assert (cancelled.code, cancelled.json["status"]) == (0, "cancelled")
    assert (waited.code, waited.json["approved"]) == (1, False)
    assert (again.code, "NOT_OPEN" in again.err) == (1, True)


def test_a_request_that_waits_is_exit_0_only_when_approved(
    deployment: Deployment, cli: Command
) -> None:
    """`countersign request … --wait && send` sends only what was approved."""
    deployment.worker()
    command = [
        sys.executable, "-m", "countersign", "request", a_request_file(), "--key",
        str(deployment.key_file(e.AGENT)), "--wait", "--timeout", "60s", "--json",
    ]  # fmt: skip
    with subprocess.Popen(
        command, env=deployment.env, cwd=deployment.directory, stdout=subprocess.PIPE, text=True
    ) as waiting:
        eventually(lambda: deployment.records("interrupt-status", InterruptStatusChanged))
        decide_as(deployment, cli, e.REVIEWER, "revise", "--comment", "Shorter.")
        out, _ = waiting.communicate(timeout=60)

    assert (waiting.returncode, json.loads(out)["outcome"]) == (1, "revise")


def test_what_cannot_be_read_is_listed(deployment: Deployment, cli: Command) -> None:
    """With its place and reason; the sender of a dead command is told at once."""
    deployment.worker()
    with Publisher(deployment.kafka) as out:
        where = out.publish_raw(
            deployment.topic("decision-command"), b"acme/pkg-1", b"\x1b[2Jgarbage",
            [("ce_type", b"human.decision_command"), ("ce_id", b"cmd-\xe2\x80\xae9")],
        )  # fmt: skip

    rows = eventually(lambda: cli("dlq", "list", "--json").json)
    text = cli("dlq", "list").out

    [row] = rows
    assert (row["topic"], row["partition"], row["offset"]) == (
        "decision-command", where.partition, where.offset,
    )  # fmt: skip
    assert "garbage" not in text
    assert "\u202e" not in text


def test_an_altered_journal_is_found_where_it_was_altered(
    deployment: Deployment, cli: Command
) -> None:
    """An entry appended by somebody else than the worker does not follow; exit 1 names it."""
    service = deployment.worker()
    cli("request", a_request_file(), "--key", deployment.key_file(e.AGENT))
    assert cli("audit", "verify").code == 0
    service.stop()
    last = deployment.reads("audit-journal")[-1]
    assert last.key is not None and last.value is not None
    headers = [(name, value or b"") for name, value in last.headers]
    with Publisher(replace(deployment.kafka)) as out:
        out.publish_raw(deployment.topic("audit-journal"), last.key, last.value, headers)

    ran = cli("audit", "verify", "--json")
    only = cli("audit", "verify", "--partition", str(last.partition), "--json")

    assert ran.code == only.code == 1
    assert ran.json["fault"]["partition"] == last.partition
    assert "expected seq" in ran.json["fault"]["what"]
    assert f"partition {last.partition}, seq" in ran.err


def test_refusals_are_kept_for_the_reader_of_the_topic(
    deployment: Deployment, cli: Command
) -> None:
    """`tail command-refused` shows them as they come."""
    deployment.worker()
    cli("request", a_request_file())

    ran = cli("tail", "command-refused", "--from-start", "--count", "1", "--json")

    row = json.loads(ran.out)
    [refusal] = deployment.records("command-refused", CommandRefused)
    assert (row["ce_type"], row["value"]["event_id"]) == ("command.refused", refusal.event_id)
