"""The ground the demo stands on: topics under a prefix of its own, keys, policy and people."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import deploy
from consumers.settings import PREFIX, Settings, load
from consumers.topics_admin import apply
from countersign.commands.policy import read_policy
from countersign.commands.reviewers import read_directory_file, who
from countersign.directory_file import entries
from countersign.key_files import jwks_text, write_new
from countersign.structured_file import read_structured
from deploy.dev_stack import Servers
from producers.agent import AgentClient
from producers.connection import KafkaConfig
from producers.drafting import new_request
from producers.keys import SigningKey, new_key, write_key
from producers.publisher import Publisher
from producers.reviewer import ReviewerClient
from schemas.directory import PolicyDocument
from schemas.requests import InterruptRequested

FILES: Final = Path(deploy.__file__).parent / "demo"
TENANT: Final = "acme"
AGENT: Final = "agent:drafter"
EXECUTOR: Final = "notifier"
FIRST, SECOND, HEAD = "r.okafor", "r.lind", "r.boss"
SENDER: Final = "notices@acme.example"
PARTITIONS: Final = 1
"""Three packages need one task; each further partition is sixteen files more to make."""


@dataclass(frozen=True, slots=True)
class Ground:
    """One run's deployment: its settings, and the keys of those who act in it."""

    settings: Settings
    env: Mapping[str, str]
    keys: Mapping[str, SigningKey]

    @property
    def kafka(self) -> KafkaConfig:
        """How clients reach it."""
        return self.settings.kafka_config()

    def agent(self) -> AgentClient:
        """The drafting agent."""
        return AgentClient(self.kafka, agent_id=AGENT, tenant_id=TENANT, key=self.keys[AGENT])

    def reviewer(self, reviewer_id: str) -> ReviewerClient:
        """A reviewer's program."""
        key = self.keys[reviewer_id]
        return ReviewerClient(self.kafka, reviewer_id=reviewer_id, tenant_id=TENANT, key=key)

    def exports(self) -> str:
        """What leads other commands to this run, once the servers are named."""
        return (
            f"export {PREFIX}TOPIC_PREFIX={self.settings.topic_prefix} "
            f"{PREFIX}PARTITIONS={self.settings.partitions}"
        )


def lay(servers: Servers, smtp_url: str, directory: Path) -> Ground:
    """Keys and settings, in a directory of their own; nothing at the servers yet."""
    keys = {name: new_key() for name in (AGENT, FIRST, SECOND, HEAD, EXECUTOR)}
    grant = new_key()
    write_key(directory / "grant.pem", grant)
    write_key(directory / "executor.pem", keys[EXECUTOR])
    write_new(directory / "grant-keys.json", jwks_text([grant.public_jwk()]))
    write_new(directory / "trusted-keys.json", jwks_text(_entitled(keys)))
    prefix = f"demo-{uuid4().hex[:8]}."
    chosen = {
        "BOOTSTRAP_SERVERS": servers.bootstrap_servers,
        "REDIS_URL": servers.redis_url,
        "TOPIC_PREFIX": prefix,
        "PARTITIONS": str(PARTITIONS),
        "AUDIENCE": prefix.rstrip("."),
        "TRUSTED_KEYS": str(directory / "trusted-keys.json"),
        "GRANT_KEY": str(directory / "grant.pem"),
        "GRANT_TRUSTED_KEYS": str(directory / "grant-keys.json"),
        "EXECUTOR_KEY": str(directory / "executor.pem"),
        "SMTP_URL": smtp_url,
        "SMTP_FROM": SENDER,
        "LOG_FORMAT": "console",
    }
    env = {name: value for name, value in os.environ.items() if _kept(name, servers)}
    env |= {f"{PREFIX}{name}": value for name, value in chosen.items()}
    return Ground(load(env), env, keys)


def furnish(ground: Ground) -> None:
    """Makes the topics and publishes policy and people. Raises as `topics_admin.apply`."""
    apply(ground.settings)
    policy, document = read_policy(FILES / "policy.yaml")
    people, digest = read_directory_file(FILES / "directory.yaml")
    record = PolicyDocument(
        tenant_id=policy.tenant_id, policy_version=policy.policy_version, document_json=document
    )
    with Publisher(ground.kafka) as out:
        out.publish(record, identity=None, record_id=f"policy-{policy.policy_version}")
        for entry in entries(people, digest):
            out.publish(entry, identity=None, record_id=f"{TENANT}-{who(entry)}")


def drafts() -> list[InterruptRequested]:
    """The three requests of the story."""
    form: Any = read_structured(FILES / "notices.yaml").document
    return [new_request(agent_id=AGENT, tenant_id=TENANT, **fields) for fields in form["notices"]]


def _kept(name: str, servers: Servers) -> bool:
    """Of our settings only how to speak to servers that settings name."""
    if not name.startswith(PREFIX):
        return True
    return servers.how == "settings" and name.startswith(f"{PREFIX}KAFKA_")


def _entitled(keys: Mapping[str, SigningKey]) -> list[Mapping[str, Any]]:
    reviewers = (FIRST, SECOND, HEAD)
    return [
        keys[AGENT].public_jwk(agent_id=AGENT, tenant_id=TENANT),
        *(keys[name].public_jwk(reviewer_id=name, tenant_id=TENANT) for name in reviewers),
        keys[EXECUTOR].public_jwk(executor_id=EXECUTOR, tenant_ids=[TENANT], tools=["notice.*"]),
    ]
