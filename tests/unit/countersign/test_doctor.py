"""What `doctor` finds without a server: keys, configuration, clock, schemas."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from consumers.settings import Settings, load
from countersign.findings import Finding
from countersign.key_checks import check_keys
from countersign.server_checks import check_redis, check_schemas, of_newest, of_redis_config
from producers.keys import new_key, write_key
from tests import examples as e


def settings(trial: Path, **over: str) -> Settings:
    """The settings that the trial's `env` exports."""
    exported = {}
    for line in (trial / "env").read_text().splitlines():
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            exported[name] = value
    return load(exported | {f"COUNTERSIGN_{name}": value for name, value in over.items()})


def errors(found: list[Finding]) -> list[tuple[str, str]]:
    """Part and mend of the errors."""
    return [(finding.part, finding.mend) for finding in found if finding.level == "error"]


def test_what_init_wrote_has_no_error(trial: Path) -> None:
    """Only that policies are not signed is warned of."""
    found = check_keys(settings(trial), e.NOW)

    assert errors(found) == []
    assert [finding.part for finding in found if finding.level == "warning"] == ["TRUSTED_KEYS"]


def test_nothing_set_is_warned_of_with_its_mend() -> None:
    """Each service misses something; the mend names the setting."""
    found = check_keys(load({}), e.NOW)

    assert errors(found) == []
    assert all(finding.mend for finding in found)
    assert {finding.part for finding in found} == {
        "TRUSTED_KEYS", "GRANT_TRUSTED_KEYS", "GRANT_KEY", "EXECUTOR_KEY",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "part"),
    [("GRANT_KEY", "GRANT_KEY"), ("EXECUTOR_KEY", "EXECUTOR_KEY")],
)
def test_a_key_that_nobody_trusts_is_an_error(trial: Path, name: str, part: str) -> None:
    """It signs, and the other side would not believe it."""
    write_key(Path("stranger.pem"), new_key())

    [(found, mend)] = errors(check_keys(settings(trial, **{name: "stranger.pem"}), e.NOW))

    assert found == part
    assert "add its JWK" in mend


def test_a_key_file_that_others_can_read_is_an_error(trial: Path) -> None:
    """With the command that mends it."""
    path = trial / "keys" / "grant.pem"
    path.chmod(0o644)

    found = check_keys(settings(trial), e.NOW)

    assert any("chmod 600" in finding.what for finding in found if finding.level == "error")


def test_a_grant_set_with_a_person_in_it_is_an_error(trial: Path) -> None:
    """Such a key signs no grants, so it stands there by mistake."""
    trusted = json.loads((trial / "trusted-keys.json").read_text())
    path = trial / "grant-keys.json"
    both = json.loads(path.read_text())["keys"] + trusted["keys"][:1]
    path.write_text(json.dumps({"keys": both}))

    assert errors(check_keys(settings(trial), e.NOW)) != []


def test_a_broken_set_is_an_error(trial: Path) -> None:
    """It names the file."""
    (trial / "trusted-keys.json").write_text("{")

    found = [f for f in check_keys(settings(trial), e.NOW) if f.level == "error"]

    assert [f.part for f in found] == ["TRUSTED_KEYS"]
    assert "trusted-keys.json" in found[0].what


def test_an_ended_key_is_warned_of(trial: Path) -> None:
    """It still stands in the set."""
    ended = new_key().public_jwk(reviewer_id="r.x", tenant_id="acme", valid_until=e.NOW)
    path = trial / "trusted-keys.json"
    path.write_text(json.dumps({"keys": [*json.loads(path.read_text())["keys"], ended]}))

    found = check_keys(settings(trial), e.at(1))

    assert any(f"key {ended['kid']}" in finding.what for finding in found)


def test_no_secret_is_shown(trial: Path) -> None:
    """Findings name files and thumbprints only."""
    text = repr(check_keys(settings(trial), e.NOW))

    for path in (trial / "keys").iterdir():
        assert path.read_text().splitlines()[1] not in text


@pytest.mark.parametrize(
    ("config", "levels"),
    [
        ({"maxmemory-policy": "noeviction", "appendonly": "yes"}, ["ok", "ok"]),
        ({"maxmemory-policy": "allkeys-lru", "appendonly": "yes"}, ["error", "ok"]),
        ({"maxmemory-policy": "noeviction", "appendonly": "no"}, ["ok", "warning"]),
        ({}, ["error", "warning"]),
    ],
)
def test_a_redis_that_forgets_is_an_error(config: dict[str, str], levels: list[str]) -> None:
    """Eviction loses states; a restart without appendonly only costs time."""
    found = of_redis_config(config)

    assert [finding.level for finding in found] == levels
    assert all(finding.mend for finding in found if finding.level != "ok")


def test_a_redis_out_of_reach_is_an_error_without_its_password() -> None:
    """The URL may hold one, so it is not repeated."""
    [finding] = check_redis(load({"COUNTERSIGN_REDIS_URL": "redis://:hunter2@127.0.0.1:9/0"}))

    assert (finding.level, "hunter2" in repr(finding)) == ("error", False)


@pytest.mark.parametrize(
    ("behind_s", "level"), [(-5.0, "ok"), (0.5, "ok"), (10.0, "warning"), (61.0, "error")]
)
def test_a_clock_behind_the_brokers_is_told(behind_s: float, level: str) -> None:
    """A record that was appended in our future shows it."""
    newest = (e.NOW + timedelta(seconds=behind_s)).timestamp() * 1000

    assert of_newest(int(newest), e.NOW).level == level


def test_without_a_record_the_clock_is_not_judged() -> None:
    """An empty log tells no time."""
    assert of_newest(-1, e.NOW).level == "ok"


def test_the_schema_files_are_those_of_the_program() -> None:
    """What is given to others is what is written."""
    assert [finding.level for finding in check_schemas()] == ["ok"]


def test_a_tenant_without_governors_is_named(trial: Path) -> None:
    """One governor of each tenant ends the warning; one without a beginning is another."""
    config = settings(trial)
    path = Path(str(config.trusted_keys))
    document = json.loads(path.read_text())
    [warned] = [f for f in check_keys(config, e.NOW) if f.level == "warning"]
    tenant = warned.what.removeprefix("no policy_admin key of ").partition(":")[0]
    said: list[list[str]] = []
    for valid_from in (None, e.NOW):
        jwk = new_key().public_jwk(admin_id="g", tenant_ids=[tenant], valid_from=valid_from)
        path.write_text(json.dumps({"keys": [*document["keys"], jwk]}))
        said.append([f.what for f in check_keys(config, e.NOW) if f.level == "warning"])

    assert f"countersign keys new --admin G --tenant {tenant}" in warned.mend
    assert [len(one) for one in said] == [1, 0]
    assert "no valid_from" in said[0][0]
