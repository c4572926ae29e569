"""`topics` without a broker: who plays which role, limits, and the commands that set them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka import KafkaError

from consumers.access import ACCESS, DEFAULT_PRINCIPALS, ROLES, Role
from consumers.acls_admin import May
from consumers.kafka_trouble import reason
from consumers.quotas_admin import commands, run
from countersign.failure import UsageWrong
from countersign.role_options import principals_of, quotas_of, role_lines
from countersign.server_checks import of_writable
from producers.connection import NotAllowed
from schemas.topics import TOPICS
from tests.unit.countersign.command import Command

README: Final = Path(__file__).parents[3] / "README.md"


def test_a_named_role_has_only_who_was_named() -> None:
    """Others keep their default."""
    found = principals_of(["agent=User:a", "agent=User:CN=b,O=c"])

    assert found == {**DEFAULT_PRINCIPALS, "agent": ["User:a", "User:CN=b,O=c"]}


@pytest.mark.parametrize(
    "wrong",
    ["agent", "agent=a", "agent=User:", "agent=User:*", "nobody=User:a", "agent=User:ANONYMOUS"],
)
def test_a_principal_that_is_none_is_refused(wrong: str, command: Command) -> None:
    """Exit 2, before anything is asked of a broker; a right for everybody would be no right."""
    ran = command("topics", "apply", "--acls", "--principal", wrong)

    assert ran.code == 2
    assert wrong.partition("=")[0] in ran.err


def test_limits_are_overridden_by_role() -> None:
    """The rest stays as in the table."""
    limits = quotas_of(DEFAULT_PRINCIPALS, ["agent.producer_byte_rate=5"])

    quota = ACCESS["agent"].quota
    assert quota is not None
    assert limits["User:countersign-agent"] == {**quota.form(), "producer_byte_rate": 5}
    assert "User:countersign-worker" not in limits


@pytest.mark.parametrize(
    "wrong",
    ["agent.bytes=1", "agent.producer_byte_rate=0", "agent.producer_byte_rate=x", "worker.x=1", ""],
)
def test_a_limit_that_is_none_is_refused(wrong: str) -> None:
    """Also one for the worker, for whom everybody waits."""
    with pytest.raises(UsageWrong):
        quotas_of(DEFAULT_PRINCIPALS, [wrong])


def test_a_command_for_each_limited_principal() -> None:
    """As kafka-configs.sh wants them."""
    found = commands(
        {"User:a": {"producer_byte_rate": 1, "request_percentage": 2}},
        "b:1",
        command_config=Path("admin.properties"),
    )

    words = (
        "kafka-configs.sh --bootstrap-server b:1 --command-config admin.properties --alter"
        " --entity-type users --entity-name a"
        " --add-config producer_byte_rate=1,request_percentage=2"
    )
    assert found == [words.split()]


def test_a_program_that_fails_is_told(tmp_path: Path) -> None:
    """With the first lines of what it said, and one that is not there by its name."""
    failing = tmp_path / "fails"
    failing.write_text("#!/bin/sh\necho no rights >&2\nexit 1\n")
    failing.chmod(0o755)

    with pytest.raises(NotAllowed, match="no rights"):
        run([str(failing)])
    with pytest.raises(NotAllowed, match="cannot be run"):
        run([str(tmp_path / "none")])


def test_the_plan_names_every_role_and_topic() -> None:
    """With the prefix, and long lists the short way round."""
    text = "\n".join(role_lines(DEFAULT_PRINCIPALS, "t.", ()))

    assert "worker: User:countersign-worker; countersign worker" in text
    assert "  writes: every topic but t.control-policy, t.reviewer-directory" in text
    assert "  transactional ids: t.control-*" in text
    assert "  writes: t.interrupt-requested" in text
    assert "missing" not in text


@pytest.mark.parametrize("role", ROLES)
def test_the_readme_says_what_a_role_may_write(role: Role) -> None:
    """As the table does, in the same form."""
    said = re.search(
        rf"^\| `{role}` \| ([^|]*) \|", README.read_text(encoding="utf-8"), re.MULTILINE
    )

    assert said is not None
    writes = set(ACCESS[role].writes)
    named = set(re.findall(r"`([^`]+)`", said[1]))
    assert (set(TOPICS) - named if said[1].startswith("every") else named) == writes


# --- what doctor makes of what may be written ------------------------------------------------------


def probed(*may: str, unknown: bool = False) -> dict[str, May]:
    other: May = "unknown" if unknown else "may not"
    return {name: "may" if name in may else other for name in TOPICS}


@pytest.mark.parametrize(
    ("may", "role", "level", "says"),
    [
        (tuple(TOPICS), None, "warning", "every topic: the broker enforces no ACLs"),
        (("interrupt-requested",), None, "ok", "as the role agent"),
        (("interrupt-requested", "decision-command"), None, "warning", "no role's"),
        ((), None, "ok", "no topic, as the role auditor"),
        (("interrupt-requested",), "agent", "ok", "refused 16 other topics"),
        (("interrupt-requested", "tool-gate"), "agent", "error", "tool-gate, which the agent must"),
        ((), "agent", "error", "may not write interrupt-requested, which the agent must"),
    ],
)
def test_what_may_be_written_is_judged_by_role(
    may: tuple[str, ...], role: Role | None, level: str, says: str
) -> None:
    """More than the role: an error; less: an error; no role named: which it fits."""
    [found] = of_writable(probed(*may), role)

    assert found.level == level
    assert says in found.what


def test_a_missing_topic_says_nothing_of_rights() -> None:
    """It is said to be missing elsewhere."""
    [found] = of_writable(probed("interrupt-requested", unknown=True), "agent")

    assert found.level == "ok"


# --- what the client library notes ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "text", "says"),
    [
        (KafkaError._SSL, "… certificate verify failed: broker …", "_SSL_CA_LOCATION"),
        (
            KafkaError._SSL,
            "… certificate verify failed: IP address mismatch …",
            "COUNTERSIGN_BOOTSTRAP_SERVERS",
        ),
        (KafkaError._SSL, "wrong version number (after 3ms in state X)", "_SECURITY_PROTOCOL"),
        (
            KafkaError._AUTHENTICATION,
            "Unsupported SASL mechanism: broker's supported mechanisms: SCRAM-SHA-512 (after 1ms)",
            "the broker speaks SCRAM-SHA-512; mend: COUNTERSIGN_KAFKA_SASL_MECHANISM",
        ),
        (KafkaError._AUTHENTICATION, "Authentication failed", "COUNTERSIGN_KAFKA_SASL_PASSWORD"),
    ],
)
def test_trouble_names_its_mend(code: int, text: str, says: str) -> None:
    """The setting that is wrong."""
    said = reason(KafkaError(code, text))

    assert said is not None
    assert says in said
    assert "; mend: " in said


def test_a_broker_that_is_away_is_no_trouble_of_these() -> None:
    """Nothing is made up."""
    assert reason(KafkaError(KafkaError._TRANSPORT, "Connection refused")) is None
