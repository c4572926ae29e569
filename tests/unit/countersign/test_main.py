"""The funnel: every way to fail is one line and an exit code."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from confluent_kafka import KafkaError, KafkaException

from consumers.queue import UnknownControlPoint
from consumers.reading import ReadStalled, TopicMissing
from consumers.settings import SettingsError
from core.jwk import KeySetError
from countersign import __main__ as entry
from countersign.app import app
from countersign.failure import AnswerIsNo, report, understood
from producers.agent import NoOutcome, RequestRefused
from producers.answers import DeadLettered
from producers.connection import BrokerUnreachable, NotAllowed
from producers.keys import KeyFileError
from producers.trusted_keys import KeysUnavailable
from schemas.codec import RegistryUnavailable, Undecodable
from tests import examples as e
from tests.unit.countersign.command import NOBODY, Command


def kafka_error(code: int) -> KafkaException:
    """What librdkafka raises."""
    return KafkaException(KafkaError(code))


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (SettingsError("COUNTERSIGN_X: mend it"), 2, "COUNTERSIGN_X: mend it"),
        (KeyFileError("k.pem: mend it"), 2, "k.pem"),
        (KeySetError("no set"), 2, "no set"),
        (KeysUnavailable("keys.json cannot be read"), 2, "keys.json"),
        (NoOutcome("key-1", "no outcome within 3 s"), 4, "key-1"),
        (RequestRefused(e.a_refusal()), 1, "SEPARATION_OF_DUTIES"),
        (UnknownControlPoint("pkg-1: unknown"), 1, "pkg-1"),
        (NotAllowed("no rights"), 1, "no rights"),
        (DeadLettered("malformed_avro"), 1, "malformed_avro"),
        (Undecodable("no_ce_type"), 1, "no_ce_type"),
        (TopicMissing("interrupt-state"), 1, "countersign topics apply"),
        (BrokerUnreachable("b:1 did not answer"), 3, "COUNTERSIGN_BOOTSTRAP_SERVERS"),
        (ReadStalled("no record"), 3, "no record"),
        (RegistryUnavailable("away"), 3, "schema registry"),
        (kafka_error(KafkaError._TRANSPORT), 3, "COUNTERSIGN_BOOTSTRAP_SERVERS"),
        (kafka_error(KafkaError.TOPIC_AUTHORIZATION_FAILED), 1, "Kafka says no"),
    ],
)
def test_each_error_has_its_exit_code_and_its_mend(
    error: Exception, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 ok, 1 the answer is no, 2 usage or settings, 3 out of reach, 4 no outcome in time."""
    failed = understood(error)

    assert failed is not None
    assert report(failed) == code
    assert words in capsys.readouterr().err


def test_an_error_of_ours_keeps_its_traceback() -> None:
    """A traceback means a bug; hiding it would not make it less of one."""
    assert understood(KeyError("ours")) is None


def test_hostile_words_in_an_error_are_shown_inert(capsys: pytest.CaptureFixture[str]) -> None:
    """A refusal repeats what others wrote."""
    report(AnswerIsNo("refused\x1b[2J\nall is well \u202etxt"))

    assert capsys.readouterr().err == "refused\\u001b[2J\\u000aall is well \\u202etxt\n"


@pytest.mark.parametrize(
    "argv",
    [
        ["nonsense"],
        ["decide"],
        ["decide", "x", "--tenant", "t", "--as", "r", "--decision", "yes", "--version", "1"],
        ["decide", "x", "--tenant", "t", "--as", "r", "--decision", "approve", "--version", "0"],
        ["wait", "x", "--timeout", "soon"],
        ["audit", "verify", "--partition", "-1"],
        ["tail", "no-such-topic"],
        ["decode", "f", "--nope"],
    ],
)
def test_wrong_usage_is_exit_2(command: Command, argv: list[str]) -> None:
    """And nothing on standard output."""
    ran = command(*argv)

    assert (ran.code, ran.out) == (2, "")
    assert ran.err


@pytest.mark.parametrize(
    "argv",
    [
        ["interrupts", "list"],
        ["interrupts", "show", "x"],
        ["explain", "x"],
        ["wait", "x"],
        ["audit", "verify"],
        ["audit", "show", "x", "--tenant", "t"],
        ["dlq", "list"],
        ["tail"],
        ["doctor"],
        ["topics", "plan"],
    ],
)
def test_a_wrong_setting_is_exit_2_and_named(command: Command, argv: list[str]) -> None:
    """Before anything is asked of a server."""
    ran = command(*argv, settings={"PARTITIONS": "many"})

    assert (ran.code, "COUNTERSIGN_PARTITIONS" in ran.err) == (2, True)


def test_a_setting_that_we_rest_on_is_refused_by_name(command: Command) -> None:
    """Exactly-once is not an option."""
    ran = command("interrupts", "show", "x", settings={"KAFKA_ENABLE_IDEMPOTENCE": "false"})

    assert (ran.code, "enable.idempotence cannot be set" in ran.err) == (2, True)


def test_a_key_that_librdkafka_does_not_know_is_a_wrong_setting(command: Command) -> None:
    """It is named, and it is exit 2."""
    ran = command("interrupts", "show", "x", settings={"KAFKA_NO_SUCH_KEY": "1"})

    assert (ran.code, "no.such.key" in ran.err) == (2, True)
    assert "COUNTERSIGN_KAFKA_" in ran.err


def test_a_broker_out_of_reach_is_exit_3(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the time a reader waits for an answer; nothing else is printed."""
    monkeypatch.setattr("consumers.reading.ANSWER_WITHIN_S", 0.5)

    ran = command("interrupts", "show", "x", settings={"BOOTSTRAP_SERVERS": NOBODY})

    assert (ran.code, ran.out) == (3, "")
    assert ran.err.count("\n") == 1
    assert "COUNTERSIGN_BOOTSTRAP_SERVERS" in ran.err


def test_ctrl_c_is_exit_130(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """128 + SIGINT, without a traceback."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("countersign.commands.interrupts.deployment", interrupted)

    ran = command("interrupts", "list")

    assert (ran.code, ran.out) == (130, "")
    assert "Traceback" not in ran.err


def test_the_version_is_printed(command: Command) -> None:
    """One line."""
    ran = command("--version")

    assert (ran.code, ran.out.split()[0]) == (0, "countersign")


def test_a_terminal_that_lacks_a_character_kills_no_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An ASCII terminal shows escapes."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    Path("é.json").write_text('{"partition": 0, "due_at": "2026-03-02T09:00:00Z"}')
    Path("p.yaml").write_text("tenant_id: é\n", encoding="utf-8")

    code = entry.run(["decode", "é.json", "--type", "clock.tick"])
    print("é", end="")
    sys.stdout.flush()

    assert (code, raw.getvalue().endswith(b"\\xe9")) == (0, True)


def commands(group: typer.Typer, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command, as it is typed."""
    for one in group.registered_commands:
        assert one.callback is not None
        name = one.name or one.callback.__name__.strip("_").replace("_", "-")
        yield (*path, name)
    for sub in group.registered_groups:
        assert sub.typer_instance is not None
        yield from commands(sub.typer_instance, (*path, sub.name) if sub.name else path)


@pytest.mark.parametrize("path", sorted(commands(app)), ids=" ".join)
def test_the_help_of_each_command_has_examples(command: Command, path: tuple[str, ...]) -> None:
    """What it does in one sentence, and how it is typed."""
    ran = command(*path, "--help")

    assert ran.code == 0
    assert "Examples:" in ran.out
    assert f"countersign {' '.join(path)}" in ran.out


def test_no_command_of_a_later_release_is_offered() -> None:
    """A command that only says it does not work yet is worse than none."""
    offered = {" ".join(path) for path in commands(app)}

    assert not offered & {"policy simulate", "dlq redrive", "bench"}
