"""What the notifier asks of its settings, and the Kafka keys that it never leaves to chance."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from consumers.notification.kafka import consumer_settings
from consumers.notification.main import check_settings
from consumers.settings import Settings, SettingsError
from producers.connection import KafkaConfig
from producers.keys import SigningKey, new_key, write_key
from tests.examples import EXECUTOR, TENANT


@dataclass
class Files:
    """Key files as a deployment has them."""

    directory: Path
    key: SigningKey

    def settings(self, **over: Any) -> Settings:
        """Settings with which the notifier starts."""
        form: dict[str, Any] = {
            "executor_key": self.directory / "executor.pem",
            "trusted_keys": str(self.directory / "trusted.json"),
            "grant_trusted_keys": str(self.directory / "grants.json"),
            "smtp_from": "notices@agency.example",
        }
        return Settings.model_validate(form | over)

    def trust(self, *jwks: dict[str, Any]) -> None:
        """Writes the trusted file."""
        (self.directory / "trusted.json").write_text(json.dumps({"keys": list(jwks)}))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    key, grant = new_key(), new_key()
    write_key(tmp_path / "executor.pem", key)
    (tmp_path / "grants.json").write_text(json.dumps({"keys": [grant.public_jwk()]}))
    files = Files(tmp_path, key)
    files.trust(key.public_jwk(executor_id=EXECUTOR, tools=["notice.*"], tenant_ids=[TENANT]))
    return files


def test_the_executor_is_found_by_its_key(files: Files) -> None:
    """The trusted file says who holds the private key, and what for."""
    found = check_settings(files.settings())

    assert found.keys.executor.executor_id == EXECUTOR
    assert found.keys.executor.tools == ("notice.*",)
    assert found.keys.executor.tenant_ids == {TENANT}


@pytest.mark.parametrize(
    ("over", "line"),
    [
        ({"executor_key": None}, "COUNTERSIGN_EXECUTOR_KEY: not set"),
        ({"executor_key": Path("/nowhere.pem")}, "COUNTERSIGN_EXECUTOR_KEY: /nowhere.pem cannot"),
        ({"trusted_keys": None}, "COUNTERSIGN_TRUSTED_KEYS: not set"),
        ({"trusted_keys": "/nowhere.json"}, "COUNTERSIGN_TRUSTED_KEYS: /nowhere.json cannot"),
        ({"grant_trusted_keys": None}, "COUNTERSIGN_GRANT_TRUSTED_KEYS: not set"),
        ({"grant_trusted_keys": "http://x"}, "COUNTERSIGN_GRANT_TRUSTED_KEYS: the trusted keys"),
        ({"smtp_from": None}, "COUNTERSIGN_SMTP_FROM: not set"),
        ({"smtp_from": "nobody"}, "COUNTERSIGN_SMTP_FROM: not one plain mail address"),
        ({"smtp_url": "smtp://u:p@x"}, "COUNTERSIGN_SMTP_URL: a password needs"),
    ],
)
def test_a_wrong_setting_is_named(files: Files, over: dict[str, Any], line: str) -> None:
    """One line, with the variable first and the mend after it."""
    with pytest.raises(SettingsError) as raised:
        check_settings(files.settings(**over))

    (found,) = raised.value.lines
    assert found.startswith(line)


def test_all_wrong_settings_are_named_at_once(files: Files) -> None:
    """An operator mends them in one go."""
    with pytest.raises(SettingsError) as raised:
        check_settings(Settings())

    names = [line.partition(":")[0].removeprefix("COUNTERSIGN_") for line in raised.value.lines]
    assert names == ["EXECUTOR_KEY", "TRUSTED_KEYS", "GRANT_TRUSTED_KEYS", "SMTP_FROM"]


@pytest.mark.parametrize(
    ("entitled", "why"),
    [
        (None, "no key .* is trusted"),
        ({"reviewer_id": "r.okafor", "tenant_id": TENANT}, "has no executor_id"),
        ({"executor_id": EXECUTOR, "tenant_ids": [TENANT]}, "has no tools"),
        ({"executor_id": EXECUTOR, "tools": ["notice.*"]}, "has no tenant_ids"),
    ],
)
def test_a_key_that_is_no_executors(
    files: Files, entitled: dict[str, Any] | None, why: str
) -> None:
    """The trusted file must say that this key is an executor's, for which tools and tenants."""
    files.trust(*([] if entitled is None else [files.key.public_jwk(**entitled)]))

    with pytest.raises(SettingsError, match=f"COUNTERSIGN_TRUSTED_KEYS: .*{why}"):
        check_settings(files.settings())


def test_the_keys_that_progress_rests_on() -> None:
    """Pinned: a change here is a change of what the notifier promises."""
    config = KafkaConfig("k:9092", "p.", client={"session.timeout.ms": "6000", "group.id": "x"})

    found = consumer_settings(config, "n-1")

    found.pop("error_cb")
    assert found == {
        "bootstrap.servers": "k:9092",
        "client.id": "countersign",
        "group.id": "p.notifier",
        "group.instance.id": "n-1",
        "group.protocol": "classic",
        "partition.assignment.strategy": "range",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "enable.partition.eof": False,
        "check.crcs": True,
        "session.timeout.ms": "6000",
        "heartbeat.interval.ms": 2_000,
        "max.poll.interval.ms": 300_000,
        "queued.max.messages.kbytes": 16_384,
    }
    assert "group.instance.id" not in consumer_settings(config)
