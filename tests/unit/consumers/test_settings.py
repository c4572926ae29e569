"""Settings: read once, a wrong one named with its mend, secrets never shown."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from consumers.settings import OURS, Settings, SettingsError, load

P = "COUNTERSIGN_"


def wrong(**settings: str) -> tuple[str, ...]:
    """The lines of the error."""
    with pytest.raises(SettingsError) as caught:
        load({f"{P}{name}": value for name, value in settings.items()})
    return caught.value.lines


def test_the_defaults_are_those_of_the_contract() -> None:
    """An empty environment is a loopback deployment that trusts nobody."""
    settings = load({})

    shown = settings.model_dump(exclude={"redis_url", "smtp_url", "log_format"})
    assert shown == {
        "bootstrap_servers": "127.0.0.1:9092",
        "topic_prefix": "",
        "partitions": 12,
        "audience": "countersign",
        "trusted_keys": None,
        "grant_key": None,
        "grant_trusted_keys": None,
        "executor_key": None,
        "subject_keys": None,
        "balancer_key": None,
        "balancer_id": "svc:balancer",
        "smtp_from": None,
        "park_ttl": timedelta(seconds=60),
        "open_per_task_max": 100_000,
        "checkpoint_entries": 1000,
        "checkpoint_every": timedelta(minutes=10),
        "metrics_port": 9464,
        "metrics_host": "127.0.0.1",
        "schema_registry_url": None,
        "output_format": "avro",
        "group_protocol": "classic",
        "group_instance_id": None,
    }
    assert settings.redis_url.get_secret_value() == "redis://127.0.0.1:6379/0"
    assert settings.smtp_url.get_secret_value() == "smtp://127.0.0.1:25"


@pytest.mark.parametrize(
    ("name", "value", "mend"),
    [
        ("PARTITIONS", "0", "greater than or equal to 1"),
        ("PARTITIONS", "many", "valid integer"),
        ("TOPIC_PREFIX", "a/b", "match pattern"),
        ("PARK_TTL", "60", "write a duration"),
        ("PARK_TTL", "30d", "less than or equal"),
        ("OPEN_PER_TASK_MAX", "0", "greater than or equal to 1"),
        ("METRICS_PORT", "70000", "less than or equal to 65535"),
        ("OUTPUT_FORMAT", "xml", "'avro' or 'json'"),
        ("LOG_FORMAT", "xml", "'console' or 'json'"),
        ("BOOTSTRAP_SERVERS", "kafka", "host:port"),
        ("REDIS_URL", "http://x", "redis://"),
        ("SMTP_URL", "mailto:x", "smtp://"),
        ("AUDIENCE", "x" * 300, "at most 256"),
    ],
)
def test_a_wrong_value_is_named_with_its_mend(name: str, value: str, mend: str) -> None:
    """One line: the variable, then what it must be."""
    [line] = wrong(**{name: value})

    assert line.startswith(f"{P}{name}: ")
    assert mend in line


def test_every_wrong_setting_is_named_at_once() -> None:
    """Nobody likes to mend them one run at a time."""
    lines = wrong(PARTITIONS="x", OUTPUT_FORMAT="y", PARTITION="3", KAFKA_ACKS="1")

    named = {line.split(":")[0] for line in lines}
    assert named == {f"{P}{n}" for n in ("PARTITIONS", "OUTPUT_FORMAT", "PARTITION", "KAFKA_ACKS")}


def test_a_misspelt_setting_is_not_ignored() -> None:
    """A trusted file that nobody reads would be found out too late."""
    assert wrong(TRUSTED_KEY="x") == (
        f"{P}TRUSTED_KEY: no such setting; did you mean {P}TRUSTED_KEYS?",
    )


@pytest.mark.parametrize("key", [key for key in sorted(OURS) if "_" not in key])
def test_a_key_that_the_guarantees_rest_on_is_refused_by_name(key: str) -> None:
    """Each with its reason. (A key with an underscore cannot be spelt as a variable.)"""
    name = f"KAFKA_{key.upper().replace('.', '_')}"

    [line] = wrong(**{name: "x"})

    assert line.startswith(f"{P}{name}: ")
    assert OURS[key] in line


def test_other_keys_go_to_librdkafka() -> None:
    """Dots are written as underscores."""
    settings = load({f"{P}KAFKA_SECURITY_PROTOCOL": "SASL_SSL", f"{P}KAFKA_SASL_USERNAME": "u"})

    assert settings.kafka == {"security.protocol": "SASL_SSL", "sasl.username": "u"}
    assert settings.admin_config()["security.protocol"] == "SASL_SSL"


def test_secrets_come_from_files(tmp_path: Path) -> None:
    """The last newline is the editor's, not the secret's."""
    (tmp_path / "url").write_text("redis://:hunter2@r:6379/0\n")
    (tmp_path / "pw").write_text("swordfish\n")

    settings = load(
        {
            f"{P}REDIS_URL_FILE": str(tmp_path / "url"),
            f"{P}KAFKA_SASL_PASSWORD_FILE": str(tmp_path / "pw"),
        }
    )

    assert settings.redis_url.get_secret_value() == "redis://:hunter2@r:6379/0"
    assert settings.kafka == {"sasl.password": "swordfish"}


def test_a_secret_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """And a setting given twice."""
    (tmp_path / "url").write_text("redis://r")

    [missing] = wrong(REDIS_URL_FILE=str(tmp_path / "none"))
    [twice] = wrong(REDIS_URL_FILE=str(tmp_path / "url"), REDIS_URL="redis://x")

    assert missing.startswith(f"{P}REDIS_URL_FILE: ")
    assert "both set" in twice


def test_no_secret_is_shown() -> None:
    """Neither by repr nor by the configuration of clients, nor in an error."""
    settings = load(
        {
            f"{P}REDIS_URL": "redis://:hunter2@r:6379/0",
            f"{P}SMTP_URL": "smtps://u:hunter2@m:465",
            f"{P}KAFKA_SASL_PASSWORD": "hunter2",
        }
    )

    shown = repr(settings) + str(settings) + repr(settings.kafka_config())
    assert "hunter2" not in shown + settings.model_dump_json()
    assert "hunter2" not in " ".join(wrong(REDIS_URL="http://:hunter2@r", PARTITIONS="x"))


def test_empty_is_unset() -> None:
    """`COUNTERSIGN_PARTITIONS=` in a compose file means the default."""
    assert load({f"{P}PARTITIONS": ""}).partitions == 12


def test_settings_are_read_from_what_is_handed_in_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is one argument."""
    monkeypatch.setenv(f"{P}PARTITIONS", "3")

    assert load({}).partitions == 12
    assert load().partitions == 3


def test_settings_are_frozen() -> None:
    """Read once, then passed on."""
    changed: Any = load({})

    with pytest.raises(ValueError, match="frozen"):
        changed.partitions = 3


@pytest.mark.parametrize(
    ("servers", "loopback"),
    [
        ("127.0.0.1:9092", True),
        ("localhost:1,127.0.0.1:2", True),
        ("[::1]:9092", True),
        ("127.0.0.1:9092,kafka:9092", False),
        ("localhost.evil.example:9092", False),
        ("10.0.0.1:9092", False),
    ],
)
def test_loopback_is_every_server_on_this_machine(servers: str, loopback: bool) -> None:
    """What `--insecure-unsigned` asks for."""
    assert load({f"{P}BOOTSTRAP_SERVERS": servers}).loopback is loopback


def test_names_carry_the_prefix() -> None:
    """Topics, groups and transactional ids of one deployment."""
    assert load({f"{P}TOPIC_PREFIX": "staging."}).topic("tool-gate") == "staging.tool-gate"


def test_every_setting_is_known_to_a_reader_of_the_table() -> None:
    """A new field must be named here, and in the README, on purpose."""
    assert len(Settings.model_fields) == 26
