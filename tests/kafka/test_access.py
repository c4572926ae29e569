"""Who may do what at a broker that asks for names: SCRAM, the standard authorizer, TLS.

One broker for all of it; its rights were given by `topics apply --acls`, from no right at all.
"""

# pyright: reportPrivateImportUsage=false

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # they are
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from consumers.access import ACCESS, DEFAULT_PRINCIPALS, ROLES, Role
from consumers.acls_admin import look_at_acls, probe_writes
from consumers.offsets import offsets
from consumers.settings import PREFIX, load
from countersign.__main__ import run
from countersign.server_checks import check_redis
from deploy.mail_sink import MailSink
from producers.connection import NotAllowed, logger
from producers.gate_feed import KafkaGateFeed, Passed
from producers.publisher import Publisher
from schemas.execution import NoticeSent
from schemas.topics import TOPICS
from tests import examples as e
from tests.support.deployment import default_people
from tests.support.eventually import eventually
from tests.support.guarded import ADMIN, STRANGER, Guarded, guarded, password, user

BALANCER = "svc:balancer"
README = Path(__file__).parents[2] / "README.md"


def countersign(env: Mapping[str, str], *argv: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command, run in this process."""
    out, err = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(PREFIX)]:
            patch.delenv(name)
        for name, value in env.items():
            if name.startswith(PREFIX):
                patch.setenv(name, value)
        with redirect_stdout(out), redirect_stderr(err):
            code = run(list(argv))
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def g(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Rights given by the command; then policy and people, by the governor's own credentials."""
    with guarded(tmp_path_factory.mktemp("guarded")) as made:
        assert look_at_acls(made.deployment.settings, DEFAULT_PRINCIPALS).missing
        status, out, said = countersign(made.env(ADMIN), "topics", "apply", "--acls")
        assert status == 0, said
        assert "given: User:countersign-worker: WRITE topic" in out
        directory = made.deployment.directory
        policy, people = directory / "policy.yaml", directory / "directory.yaml"
        policy.write_text(yaml.safe_dump(e.a_policy_form()), encoding="utf-8")
        people.write_text(yaml.safe_dump(_people_form()), encoding="utf-8")
        for name, path in (("policy", policy), ("reviewers", people)):
            status, _, said = countersign(made.env(user("governor")), name, "apply", str(path))
            assert status == 0, said
        yield made


def _people_form() -> dict[str, Any]:
    """The story's people and the balancer, as a file."""
    balancer = e.a_reviewer(
        reviewer_id=BALANCER, roles=["balancer"], scopes=["notice:balance"], team="none"
    )
    forms = [person.model_dump() for person in [*default_people(), balancer]]
    return {
        "tenant_id": e.TENANT,
        "reviewers": [
            {key: form[key] for key in ("reviewer_id", "roles", "scopes", "max_risk_level", "team")}
            for form in forms
            if "reviewer_id" in form
        ],
        "agents": [
            {key: form[key] for key in ("agent_id", "owner", "may_request_for")}
            for form in forms
            if "agent_id" in form
        ],
    }


def ends(g: Guarded) -> dict[tuple[str, int], int]:
    """Where every topic ends now."""
    places = [(g.deployment.topic(name), 0) for name in TOPICS]
    return offsets(AdminClient(g.deployment.config, logger=logger), places, "latest")


def test_to_give_rights_again_gives_none(g: Guarded) -> None:
    """Nothing is missing, nothing is added, nothing there is refused."""
    status, out, said = countersign(g.env(ADMIN), "topics", "apply", "--acls", "--json")

    assert status == 0, said
    assert json.loads(out) == {"right": True, "mended": [], "given": [], "strange": []}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_write_what_the_table_says(g: Guarded, role: Role) -> None:
    """Each topic was asked to be written; and to ask leaves nothing behind."""
    before = ends(g)

    may = probe_writes(g.settings(user(role)))

    assert {name for name, answer in may.items() if answer == "may"} == set(ACCESS[role].writes)
    assert "unknown" not in may.values()
    assert ends(g) == before


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_read_what_the_table_says(g: Guarded, role: Role) -> None:
    """As the broker says of each topic; those it does not show may not be read."""
    admin = AdminClient(g.settings(user(role)).admin_config(), logger=logger)
    asked = admin.describe_topics(
        TopicCollection([g.deployment.topic(name) for name in TOPICS]),
        include_authorized_operations=True,
    )
    reads = set()
    for name in TOPICS:
        with suppress(KafkaException):  # it is not shown
            found = asked[g.deployment.topic(name)].result(timeout=20)
            if AclOperation.READ in (found.authorized_operations or ()):
                reads.add(name)

    assert reads == set(ACCESS[role].reads)


@pytest.mark.parametrize(
    ("role", "topic"),
    [
        ("agent", "decision-command"),
        ("reviewer", "human.decision_recorded"),
        ("reviewer", "tool-gate"),
        ("executor", "control-policy"),
        ("executor", "notice.sent"),
        ("notifier", "audit-journal"),
        ("governor", "audit-journal"),
        ("balancer", "human.decision_recorded"),
        ("auditor", "audit-checkpoint"),
    ],
)
def test_a_forbidden_write_is_refused(g: Guarded, role: Role, topic: str) -> None:
    """A real one, by the producer that our clients use; the topic is as long as before."""
    before = ends(g)

    with Publisher(g.settings(user(role)).kafka_config()) as out, pytest.raises(NotAllowed):
        out.publish_raw(g.deployment.topic(topic), b"acme/x", b"forged", [])

    assert ends(g) == before


def test_only_the_worker_begins_its_transactions(g: Guarded) -> None:
    """Who had its transactional id would fence it; who joined its group would take its tasks."""
    for role in ROLES:
        config = g.settings(user(role)).admin_config()
        producer = Producer(
            {**config, "transactional.id": g.deployment.topic("control-x")}, logger=logger
        )
        if role == "worker":
            producer.init_transactions(20)
            continue
        with pytest.raises(KafkaException) as refused:
            producer.init_transactions(20)
        assert refused.value.args[0].code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, (
            role
        )


def test_only_the_worker_joins_its_group(g: Guarded) -> None:
    """A reviewer may look at the group, for `explain`, and not be in it."""
    config = g.settings(user("reviewer")).admin_config()
    consumer = Consumer({**config, "group.id": g.deployment.topic("control-worker")}, logger=logger)
    try:
        consumer.subscribe([g.deployment.topic("decision-command")])
        message = eventually(lambda: consumer.poll(0.5))
        assert message is not None
        error = message.error()
    finally:
        consumer.close()

    assert error is not None
    assert error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED


def test_a_notice_goes_its_way_with_nobody_having_more_rights_than_needed(g: Guarded) -> None:
    """Request, decision, mail, audit: services and commands each with credentials of their own;
    the worker over TLS to the broker and to Redis. No password is in any log."""
    deployment, directory = g.deployment, g.deployment.directory
    deployment.add_key(BALANCER, reviewer_id=BALANCER, tenant_id=e.TENANT)
    request = directory / "request.json"
    request.write_text(e.a_request().model_dump_json(exclude_defaults=True), encoding="utf-8")
    said: list[str] = []

    def told(role: Role, *argv: str) -> str:
        status, out, err = countersign(g.env(user(role)), *argv)
        said.append(out + err)
        assert status == 0, (role, argv, out, err)
        return out

    with MailSink() as sink:
        worker = deployment.worker(**g.over_tls(user("worker")))
        notifier = deployment.notifier(SMTP_URL=sink.url, **g.in_the_clear(user("notifier")))
        key = str(deployment.key_file(BALANCER))
        balancing: dict[str, Any] = {"BALANCER_KEY": key, **g.in_the_clear(user("balancer"))}
        balancer = deployment.service("balancer", **balancing)
        told("agent", "request", str(request), "--key", str(deployment.key_file(e.AGENT)))
        holder = eventually(
            lambda: json.loads(told("reviewer", "interrupts", "list", "--json"))[0]["assigned_to"]
        )
        balancer.stop()
        told("reviewer", "explain", e.PACKAGE_ID)
        told(
            *("reviewer", "decide", e.PACKAGE_ID, "--tenant", e.TENANT, "--as", holder),
            *("--key", str(deployment.key_file(holder)), "--decision", "approve"),
            *("--version", "1", "--comment", "read"),
        )
        told("agent", "wait", e.PACKAGE_ID, "--tenant", e.TENANT, "--timeout", "30s")
        (sent,) = eventually(lambda: deployment.records("notice.sent", NoticeSent))
        (mail,) = sink.received
        notifier.stop()
    assert sent.provider_message_id == mail.message_id

    _the_executor_hears_its_gates(g)
    eventually(
        lambda: "complete" in told("auditor", "audit", "show", e.PACKAGE_ID, "--tenant", e.TENANT)
    )
    told("auditor", "audit", "verify")
    told("auditor", "reconcile")
    told("auditor", "topics", "plan")
    for role in ROLES:
        told(role, "doctor", "--role", role)
    worker.stop()
    text = "\n".join([deployment.logs(), *said])
    for secret in [password(name) for name in (ADMIN, "countersign", *map(user, ROLES))]:
        assert secret not in text


def _the_executor_hears_its_gates(g: Guarded) -> None:
    """In a group of its own, and keeps its place there."""
    feed = KafkaGateFeed(g.settings(user("executor")).kafka_config(), "executor.bank")
    try:
        passed = eventually(
            lambda: [heard for heard in feed.poll(0.5) if isinstance(heard, Passed)]
        )
        assert feed.commit({passed[-1].partition: passed[-1].offset + 1})
    finally:
        feed.close()


def test_who_else_may_write_is_said(g: Guarded) -> None:
    """By plan, asked as the auditor; and by doctor, asked as that somebody."""
    journal = AclBinding(
        ResourceType.TOPIC,
        g.deployment.topic("audit-journal"),
        ResourcePatternType.LITERAL,
        f"User:{STRANGER}",
        "*",
        AclOperation.WRITE,
        AclPermissionType.ALLOW,
    )
    admin = AdminClient(g.deployment.config, logger=logger)
    given: Any = admin.create_acls([journal])
    given[journal].result(timeout=20)
    stranger = g.settings(STRANGER)
    eventually(lambda: probe_writes(stranger)["audit-journal"] == "may")

    planned = countersign(g.env(user("auditor")), "topics", "plan", "--json")
    asked = countersign(g.env(STRANGER), "doctor", "--role", "agent")

    _take_away(g, f"User:{STRANGER}")
    strange = json.loads(planned[1])["access"]["strange"]
    assert strange == [f"User:{STRANGER} may WRITE topic {journal.name}"]
    assert asked[0] == 1
    assert "may write audit-journal, which the agent must not" in asked[1]


@pytest.mark.parametrize("name", ["acls", "role"])
def test_what_the_readme_shows_runs(g: Guarded, tmp_path: Path, name: str) -> None:
    """What the super user types, with principals that a team would name; then what the auditor."""
    found = re.search(
        rf"<!-- {name} -->\n *```sh\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL
    )
    assert found is not None
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / user("auditor")).symlink_to(g.secret(user("auditor")))
    env = g.env(ADMIN) | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    done = subprocess.run(
        ["bash", "-e", "-c", dedent(found[1])],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )

    for principal in ("User:billing", "User:permits"):
        _take_away(g, principal)
    assert done.returncode == 0, done.stderr + done.stdout
    said = {"acls": "given: User:billing: WRITE topic", "role": "as auditor: may write no topic"}
    assert said[name] in done.stdout


def _take_away(g: Guarded, principal: str) -> None:
    """All rights of somebody."""
    anything: Any = None
    theirs = AclBindingFilter(
        ResourceType.ANY,
        anything,
        ResourcePatternType.ANY,
        principal,
        anything,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    admin = AdminClient(g.deployment.config, logger=logger)
    taken: Any = admin.delete_acls([theirs])
    taken[theirs].result(timeout=20)


@pytest.mark.parametrize(
    ("more", "status", "says"),
    [
        ({"KAFKA_SSL_CA_LOCATION": "other"}, 3, "COUNTERSIGN_KAFKA_SSL_CA_LOCATION"),
        ({"KAFKA_SSL_CA_LOCATION": "/nowhere.pem"}, 2, "COUNTERSIGN_KAFKA_"),
        ({"KAFKA_SASL_USERNAME": "nobody"}, 3, "COUNTERSIGN_KAFKA_SASL_PASSWORD"),
        ({"KAFKA_SASL_MECHANISM": "PLAIN"}, 3, "COUNTERSIGN_KAFKA_SASL_MECHANISM"),
    ],
    ids=["another CA", "no CA file", "no such user", "another mechanism"],
)
def test_what_is_wrong_with_the_connection_is_named(
    g: Guarded, more: dict[str, str], status: int, says: str
) -> None:
    """With the setting that mends it, and without the password."""
    if more.get("KAFKA_SSL_CA_LOCATION") == "other":
        more = {"KAFKA_SSL_CA_LOCATION": str(g.other_ca)}

    ended, _, said = countersign(g.env(user("auditor"), **more), "topics", "plan")

    assert (ended, says in said) == (status, True), said
    assert password(user("auditor")) not in said


def test_a_reading_command_names_it_too(g: Guarded) -> None:
    """Whatever is asked of the broker."""
    env = g.env(user("auditor"), KAFKA_SSL_CA_LOCATION=str(g.other_ca))

    ended, _, said = countersign(env, "dlq", "list")

    assert ended == 3
    assert "COUNTERSIGN_KAFKA_SSL_CA_LOCATION to the CA that signed" in said


def test_a_worker_that_does_not_trust_its_broker_says_so(g: Guarded) -> None:
    """It waits, is not ready, and its log names the setting."""
    settings = g.over_tls(user("worker")) | {"KAFKA_SSL_CA_LOCATION": str(g.other_ca)}
    worker = g.deployment.worker(wait=False, **settings)

    eventually(lambda: "COUNTERSIGN_KAFKA_SSL_CA_LOCATION" in worker.log_text())

    assert not worker.ready()
    worker.stop()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda g: g.redis_url.replace(str(g.ca), str(g.other_ca)), "ssl_ca_certs"),
        (lambda g: g.redis_url.replace("pw-of", "no-pw-of"), "user:password"),
        (lambda g: g.redis_url.replace("rediss:", "redis:").partition("?")[0], "REDIS_URL"),
    ],
    ids=["another CA", "another password", "no TLS"],
)
def test_what_is_wrong_with_redis_is_named(
    g: Guarded, wrong: Callable[[Guarded], str], says: str
) -> None:
    """With its mend, and without the URL, in which the password stands."""
    assert [f.level for f in check_redis(load({f"{PREFIX}REDIS_URL": g.redis_url}))] == ["ok"] * 3

    [found] = check_redis(load({f"{PREFIX}REDIS_URL": wrong(g)}))

    assert found.level == "error"
    assert says in found.mend
    assert "pw-of" not in str(found)


def test_a_flood_is_slowed_and_only_whose_it_is(g: Guarded, tmp_path: Path) -> None:
    """`topics apply --quotas` runs Kafka's own program; then the broker holds the agent back."""
    program = tmp_path / "kafka-configs.sh"
    classpath = ":".join(map(str, g.kafka.jars))
    program.write_text(
        f"#!/bin/sh\nexec {shlex.quote(str(g.kafka.java))} -XX:TieredStopAtLevel=1 -cp "
        f'{shlex.quote(classpath)} kafka.admin.ConfigCommand "$@"\n'
    )
    program.chmod(0o755)
    login = tmp_path / "admin.properties"
    login.write_text(
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-256\n"
        "sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required "
        f'username="{ADMIN}" password="{password(ADMIN)}";\n'
    )
    # one principal for all others, so that the program is run twice
    others = [
        f"--principal={role}=User:others" for role in ROLES if role not in ("agent", "worker")
    ]

    ran = countersign(
        g.deployment.env,
        *("topics", "apply", "--quotas", "--limit", "agent.producer_byte_rate=10000", *others),
        *("--kafka-configs", str(program), "--command-config", str(login)),
    )

    assert ran[0] == 0, ran[2]
    assert "User:countersign-agent: producer_byte_rate 10000" in ran[2]
    assert _throttled_ms(g, user("agent"), "interrupt-requested") > 0
    assert _throttled_ms(g, user("reviewer"), "decision-command") == 0


def _throttled_ms(g: Guarded, name: str, topic: str) -> float:
    """How long the broker held somebody back who writes 60 records of 8 KiB."""
    held: list[float] = []
    producer = Producer(
        {
            **g.settings(name).admin_config(),
            "throttle_cb": lambda event: held.append(event.throttle_time),
            "linger.ms": 0,
            "batch.size": 10_000,
        },
        logger=logger,
    )
    for _ in range(60):
        producer.produce(g.deployment.topic(topic), b"x" * 8192, partition=0)
        producer.poll(0)
        if held and max(held) > 0:
            break
    eventually(lambda: producer.poll(0.1) >= 0 and (max(held, default=0) > 0 or len(producer) == 0))
    producer.purge()
    producer.flush(5)
    return max(held, default=0)
