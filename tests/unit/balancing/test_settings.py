"""What the balancer asks of its settings, and the Kafka keys that it never leaves to chance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from consumers.balancing.kafka import consumer_settings
from consumers.balancing.main import check_settings
from consumers.settings import Settings, SettingsError
from producers.connection import KafkaConfig
from producers.keys import SigningKey, new_key, write_key
from tests.examples import AGENT, TENANT
from tests.unit.balancing.town import BALANCER


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    key = new_key()
    write_key(tmp_path / "balancer.pem", key)
    return key


def settings(directory: Path, *jwks: dict[str, Any], **over: Any) -> Settings:
    """Settings with these trusted keys; without any, none can be seen from here."""
    form: dict[str, Any] = {"balancer_key": directory / "balancer.pem"}
    if jwks:
        (directory / "trusted.json").write_text(json.dumps({"keys": list(jwks)}))
        form["trusted_keys"] = str(directory / "trusted.json")
    return Settings.model_validate(form | over)


def test_a_key_of_its_own(tmp_path: Path, key: SigningKey) -> None:
    """The key of the reviewer that it is in the directory."""
    jwk = key.public_jwk(reviewer_id=BALANCER, tenant_id=TENANT)

    assert check_settings(settings(tmp_path, jwk)) == key


def test_a_gateway_key(tmp_path: Path, key: SigningKey) -> None:
    """It speaks for the reviewers of several tenants."""
    jwk = key.public_jwk(tenant_ids=[TENANT, "globex"])

    assert check_settings(settings(tmp_path, jwk)) == key


def test_trusted_keys_that_are_elsewhere(tmp_path: Path, key: SigningKey) -> None:
    """The worker has the last word; the balancer need not see them."""
    assert check_settings(settings(tmp_path)) == key


def test_a_key_of_somebody_else(tmp_path: Path, key: SigningKey) -> None:
    """It is refused at the start, with the mend."""
    for jwk in (
        key.public_jwk(reviewer_id="r.okafor", tenant_id=TENANT),
        key.public_jwk(agent_id=AGENT, tenant_id=TENANT),
    ):
        with pytest.raises(SettingsError, match="does not sign for svc:balancer"):
            check_settings(settings(tmp_path, jwk))
    with pytest.raises(SettingsError, match="has no key"):
        check_settings(settings(tmp_path, new_key().public_jwk(tenant_ids=[TENANT])))


def test_no_key(tmp_path: Path) -> None:
    """What is missing is named with the command that makes it."""
    with pytest.raises(SettingsError, match="keys new --reviewer svc:balancer"):
        check_settings(Settings.model_validate({}))
    with pytest.raises(SettingsError, match="COUNTERSIGN_BALANCER_KEY: .*cannot be read"):
        check_settings(settings(tmp_path))


def test_consumer_keys() -> None:
    """Only what was committed is folded, nothing is skipped, and no position is kept."""
    found = consumer_settings(KafkaConfig(topic_prefix="t.", client={"isolation.level": "x"}))

    assert {
        "group.id": "t.balancer",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "check.crcs": True,
        "allow.auto.create.topics": False,
    }.items() <= found.items()
