"""No key, token, password, argument, comment or package text stands in a log or an error."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import structlog

from consumers.control.judging import Judge
from consumers.control.ports import InputRecord
from consumers.logs import configure
from consumers.settings import PREFIX
from producers.keys import new_key, write_key
from schemas.canonical import canonical_json, record_json
from schemas.codec import decode
from schemas.directory import PolicyDocument
from schemas.headers import SIGNATURE
from schemas.topics import INPUT_TOPICS
from tests import examples as e
from tests.stories.tales import TALES
from tests.support.eventually import eventually
from tests.support.service import Service
from tests.unit.balancing.town import a_town
from tests.unit.control.world import KEYS, World, settle
from tests.unit.core.world import a_person
from tests.unit.countersign.command import NOBODY, Command, Ran
from tests.unit.forge.arena import KINDS, Arena, cases_of
from tests.unit.notification.life import Life
from tests.unit.notification.world import World as NoticeWorld

SECRET: Final = "hunter2-7f3a9c"
"""In whatever must never be shown."""
TEXT_CHARS_MIN: Final = 12
TAIL_CHARS: Final = 32
"""Of a token: enough that it is no other text."""


@pytest.fixture(params=["console", "json"])
def log(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """All that is logged, in both forms; logging is put back as pytest had it."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    out = io.StringIO()
    configure(request.param, out)
    yield out
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def texts_in(value: Any) -> Iterator[str]:
    """The texts for people in a record: those with a space, and mail addresses."""
    match value:
        case dict():
            for inner in value.values():
                yield from texts_in(inner)
        case list():
            for inner in value:
                yield from texts_in(inner)
        case str() if len(value) >= TEXT_CHARS_MIN and (" " in value or e.RECIPIENT in value):
            yield value
        case _:
            return


def texts_of(records: list[InputRecord]) -> Iterator[str]:
    """What must not be shown of these: texts, in whole lines too, and the ends of tokens."""
    for record in records:
        for name, value in record.headers:
            if name == SIGNATURE and value:
                yield value.decode(errors="replace")[-TAIL_CHARS:]
        if not any(name == "ce_type" and value != b"clock.tick" for name, value in record.headers):
            continue
        form = record_json(decode(record.value, record.headers, bytes_max=8 << 20))
        for text in texts_in(form):
            yield text
            yield from (line for line in text.splitlines() if len(line) >= TEXT_CHARS_MIN)
        if isinstance(grant := form.get("grant_jws"), str):
            yield grant[-TAIL_CHARS:]


def secrets_of(world: World) -> set[str]:
    """All that was sent to the worker, and the grants and keys it holds."""
    topics = [*INPUT_TOPICS, "tool-gate", "control-policy"]
    found = {
        text
        for topic in topics
        for text in texts_of(world.cluster.records(topic))
    }  # fmt: skip
    return found | private_texts()


def private_texts() -> set[str]:
    """Lines of the private keys."""
    pems = [key.pem().decode().splitlines() for key in KEYS.values()]
    return {line for pem in pems for line in pem if "-----" not in line}


def shown(secrets: set[str], log: str) -> list[str]:
    """The secrets that a log repeats, as they are or as JSON text."""
    return [text for text in secrets if text in log or json.dumps(text)[1:-1] in log]


@pytest.mark.parametrize("tale", TALES)
def test_a_worker_logs_nothing_of_what_it_judges(tale: str, log: io.StringIO) -> None:
    """Every story of the rules, in both forms."""
    world = TALES[tale]().world
    secrets = secrets_of(world)

    assert len(secrets) > 10
    assert "handled" in log.getvalue()
    assert shown(secrets, log.getvalue()) == []


@pytest.mark.parametrize("ce_type", KINDS)
def test_a_worker_logs_nothing_of_what_is_forged(ce_type: str, log: io.StringIO) -> None:
    """Refused or dead-lettered, it is named by its place."""
    cases = list(cases_of(ce_type))[::5]
    Arena().told(cases)
    tokens = {
        value.decode(errors="replace")[-TAIL_CHARS:]
        for case in cases
        for name, value in case.headers
        if name == SIGNATURE and value and len(value) > TAIL_CHARS
    }
    record = record_json(KINDS[ce_type].record())

    assert len(tokens) > 20
    assert shown(tokens | set(texts_in(record)), log.getvalue()) == []


def test_a_fault_of_ours_shows_no_package(log: io.StringIO) -> None:
    """A traceback says where, and the words of a validation repeat no input."""

    class Broken:
        def __init__(self, judge: Judge) -> None:
            self.judge = self.fault
            self.fire = judge.fire

        def fault(self, *_: Any) -> Any:
            return e.a_decision(comment=SECRET, decision=f"to {SECRET}")

    world = World()
    world.make_judge = lambda known: Broken(world.judge(known))
    worker = world.worker()
    world.request()
    settle(worker)

    assert "task_failed" in log.getvalue()
    assert SECRET not in log.getvalue()


@pytest.mark.parametrize(
    "document",
    [
        canonical_json(e.a_policy_form(unsigned_requests=SECRET)),
        canonical_json(e.a_policy_form(rules=[{"name": SECRET, "mode": SECRET}])),
        canonical_json(e.a_policy_form(policy_version=SECRET)),
        f'{{"{SECRET}": 1}}',
        f"not JSON {SECRET}",
        "[" * 50_000 + SECRET,
    ],
)
def test_a_policy_that_is_refused_is_not_repeated(document: str, log: io.StringIO) -> None:
    """The place in it and the rule are named."""
    world = World()
    world.directory(PolicyDocument(tenant_id=e.TENANT, policy_version="9", document_json=document))
    worker = world.worker()
    world.request()
    settle(worker)

    assert "directory_record_refused" in log.getvalue()
    assert SECRET not in log.getvalue()


def test_a_notifier_logs_nothing_of_what_it_sends(log: io.StringIO) -> None:
    """A notice that is sent, one that is forged, one that is no notice, a server that is away."""
    world = NoticeWorld()
    args = e.notice_args(body=f"The body is {SECRET}.", subject=f"About {SECRET}")
    good = world.open_gate(args=args)
    world.open_gate(2, key=new_key(), args=args)
    world.open_gate(3, args={"notice_id": "EN-1", "recipient": f"{SECRET} no address"})
    altered = canonical_json(args | {"body": f"Another {SECRET}"})
    world.open_gate(4, args=args, args_json=altered)
    Life(world).turns()
    tokens = {str(good.grant_jws)[-TAIL_CHARS:]}
    keys = {
        line
        for key in (world.grant_key, world.executor_key)
        for line in key.pem().decode().splitlines()[1:-1]
    }

    assert len(world.mails) == 1
    assert "notice" in log.getvalue()
    assert shown({SECRET, e.RECIPIENT} | tokens | keys, log.getvalue()) == []


def test_a_balancer_logs_nothing_of_what_it_assigns(log: io.StringIO) -> None:
    """A package's title and reasons are for its reviewer."""
    town = a_town(a_person("r.a"), a_person("r.b"))
    town.ask("pkg-1", title=f"The title is {SECRET}", rationale=f"For {SECRET}")
    town.settle()
    town.forged = True
    town.ask("pkg-2", title=f"The title is {SECRET}", rationale=f"For {SECRET}")
    town.settle()

    assert len(town.sent) > 1
    assert log.getvalue()
    assert shown({SECRET, *e.NOTICE_BODY.splitlines()}, log.getvalue()) == []


SETTINGS: Final = {
    "REDIS_URL": f"redis://worker:{SECRET}@127.0.0.1:9/0",
    "SMTP_URL": f"smtp://sender:{SECRET}@127.0.0.1:9",
    "SMTP_FROM": "notices@agency.example",
    "KAFKA_SASL_PASSWORD": SECRET,
    "KAFKA_SASL_USERNAME": "worker",
    "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "BOOTSTRAP_SERVERS": NOBODY,
    "SCHEMA_REGISTRY_URL": f"http://reader:{SECRET}@127.0.0.1:9",
}


@pytest.mark.parametrize("service", ["worker", "notifier", "balancer"])
def test_a_service_shows_no_password(service: str, tmp_path: Path) -> None:
    """A real process, all of whose servers are away; it says so."""
    grant, executor, balancer = new_key(), new_key(), new_key()
    for name, key in (("grant", grant), ("executor", executor), ("balancer", balancer)):
        write_key(tmp_path / f"{name}.pem", key)
    jwks = [
        executor.public_jwk(executor_id=e.EXECUTOR, tenant_ids=[e.TENANT], tools=["notice.*"]),
        balancer.public_jwk(reviewer_id="svc:balancer", tenant_ids=[e.TENANT]),
    ]
    (tmp_path / "trusted.json").write_text(json.dumps({"keys": jwks}))
    (tmp_path / "grants.json").write_text(json.dumps({"keys": [grant.public_jwk()]}))
    paths = {
        "TRUSTED_KEYS": "trusted.json",
        "GRANT_TRUSTED_KEYS": "grants.json",
        "GRANT_KEY": "grant.pem",
        "EXECUTOR_KEY": "executor.pem",
        "BALANCER_KEY": "balancer.pem",
    }
    env = {f"COUNTERSIGN_{name}": value for name, value in SETTINGS.items()}
    env |= {f"COUNTERSIGN_{name}": str(tmp_path / file) for name, file in paths.items()}
    process = Service(service, [service], env, tmp_path / "log")
    process.start(wait=False)
    eventually(lambda: "away" in process.log_text() or not process.running, within_s=60)
    said = process.log_text()
    process.kill()
    pems = {
        line
        for key in (grant, executor, balancer)
        for line in key.pem().decode().splitlines()[1:-1]
    }

    assert said
    assert "Traceback" not in said
    assert shown({SECRET} | pems, said) == []


@pytest.fixture
def command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    """Runs commands in an empty folder, beside files that hold secrets and are wrong."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    write_key(Path("good.pem"), new_key())
    pem = Path("good.pem").read_text()
    request = record_json(e.a_request())
    files = {
        "garbage.pem": f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n",
        "broken.pem": pem.replace("PRIVATE", "SECRET"),
        "cut.pem": pem[: len(pem) // 2] + SECRET,
        "private.json": json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "d": SECRET}]}),
        "no_keys.json": json.dumps({"keys": [{"kty": SECRET, "crv": SECRET, "x": SECRET}]}),
        "bad_point.json": json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": SECRET}]}),
        "no_jwks.json": json.dumps({SECRET: [SECRET]}),
        "request.json": json.dumps(request | {"reason": SECRET}),
        "wrong.json": json.dumps(request | {"package": {"title": SECRET}}),
        "unlike.json": json.dumps(request | {"expires_at": SECRET, "reason": 1}),
        "no.json": f"{{{SECRET}",
    }
    for name, text in files.items():
        Path(name).write_text(text)
        Path(name).chmod(0o600)
    return Command(capsys, monkeypatch)


_DECIDE: Final = (
    "decide", "pkg-1", "--tenant", "acme", "--as", "r.a", "--decision", "approve", "--version", "1",
    "--comment", SECRET, "--key",
)  # fmt: skip
_REQUEST: Final = ("request", "request.json", "--key")


def assert_silent(ran: Ran) -> None:
    """It failed, said why, and repeated nothing."""
    assert ran.code in (2, 3, 4)
    assert ran.err
    assert SECRET not in ran.out + ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("argv", [
    *((*_DECIDE, key) for key in ("garbage.pem", "broken.pem", "cut.pem", "no.pem")),
    *((*_REQUEST, key) for key in ("garbage.pem", "broken.pem", "cut.pem")),
    *(("request", file, "--key", "good.pem") for file in ("wrong.json", "unlike.json", "no.json")),
    ("policy", "check", "no.json"),
    ("reviewers", "check", "no.json"),
], ids=" ".join)  # fmt: skip
def test_a_wrong_file_is_named_and_not_repeated(argv: tuple[str, ...], command: Command) -> None:
    """Keys, requests, policies and people."""
    assert_silent(command(*argv))


@pytest.mark.parametrize("argv", [("worker",), ("notifier",), ("balancer",)], ids=" ".join)
@pytest.mark.parametrize("wrong", [
    {"TRUSTED_KEYS": "private.json"},
    {"TRUSTED_KEYS": "no_keys.json"},
    {"TRUSTED_KEYS": "bad_point.json"},
    {"TRUSTED_KEYS": "no_jwks.json"},
    {"GRANT_KEY": "garbage.pem", "EXECUTOR_KEY": "garbage.pem", "BALANCER_KEY": "garbage.pem"},
    {"GRANT_KEY": "cut.pem", "EXECUTOR_KEY": "cut.pem", "BALANCER_KEY": "cut.pem"},
    {"REDIS_URL": f"http://u:{SECRET}@h"},
    {"REDIS_URL": f"redis://u:{SECRET}@h:port"},
    {"SMTP_URL": f"mailto://u:{SECRET}@h"},
    {"SMTP_URL": f"smtp://u:{SECRET}@h:port"},
    {"SCHEMA_REGISTRY_URL": f"ftp://u:{SECRET}@h"},
    {"KAFKA_SASL_PASSWORD": SECRET, "KAFKA_GROUP_ID": SECRET},
    {"BOOTSTRAP_SERVERS": SECRET},
], ids=" ".join)  # fmt: skip
def test_a_wrong_setting_is_named_and_not_repeated(
    argv: tuple[str, ...], wrong: dict[str, str], command: Command
) -> None:
    """With the trusted keys unset or wrong, no service comes as far as asking a server."""
    assert_silent(command(*argv, settings={"BOOTSTRAP_SERVERS": NOBODY} | wrong))
