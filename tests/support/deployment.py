"""A deployment of its own for one test: topics under a unique prefix, keys, policy and people."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import uuid4

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from consumers.reading import Read, read_topic
from consumers.settings import PREFIX, Settings, load
from consumers.topics_admin import apply, wanted
from producers.agent import AgentClient
from producers.connection import KafkaConfig, logger
from producers.keys import SigningKey, new_key, read_key, write_key
from producers.publisher import Identity, Published, Publisher
from producers.reviewer import ReviewerClient
from schemas.canonical import canonical_json
from schemas.codec import decode
from schemas.directory import AgentRegistration, PolicyDocument, ReviewerAuthorization
from schemas.model import Record
from schemas.topics import WRAPPED_BYTES_MAX
from tests.examples import (
    AGENT,
    EXECUTOR,
    REVIEWER,
    TENANT,
    a_policy_form,
    a_reviewer,
    an_agent,
)
from tests.support.service import Service

PARTITIONS: Final = 4
OTHER_REVIEWER: Final = "r.lind"
HEAD: Final = "r.boss"
R = TypeVar("R", bound=Record)


def default_people() -> list[ReviewerAuthorization | AgentRegistration]:
    """Two senior reviewers of different teams, the head of enforcement, and the agent."""
    scopes = ["notice:approve", "notice:reject", "notice:revise"]
    return [
        a_reviewer(active_until=None),
        a_reviewer(reviewer_id=OTHER_REVIEWER, team="south", active_until=None),
        a_reviewer(
            reviewer_id=HEAD,
            roles=["head_of_enforcement"],
            scopes=scopes,
            max_risk_level="critical",
            team="head",
            active_until=None,
        ),
        an_agent(),
    ]


@dataclass
class Deployment:
    """What a test needs to speak to a deployment, and to start its services.

    The keys of the story's agent, reviewers and executor are made at the start; `identity` makes
    more. Services are killed, by their own process ids, when the test ends.
    """

    settings: Settings
    env: dict[str, str]
    directory: Path
    tenant: str = TENANT
    services: list[Service] = field(default_factory=list)
    _keys: dict[str, SigningKey] = field(default_factory=dict)
    _jwks: list[dict[str, Any]] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)

    # --- where things are -----------------------------------------------------------------

    @property
    def kafka(self) -> KafkaConfig:
        """How clients reach the deployment."""
        return self.settings.kafka_config()

    @property
    def config(self) -> dict[str, Any]:
        """librdkafka keys for plain reading."""
        return self.settings.admin_config()

    def topic(self, name: str) -> str:
        """The topic's name with the prefix."""
        return self.settings.topic(name)

    def key_file(self, name: str) -> Path:
        """The PEM of `agent_id`, `reviewer_id`, `executor_id` or "grant"."""
        return self.directory / f"{name.replace(':', '-')}.pem"

    # --- who is trusted -------------------------------------------------------------------

    def key(self, name: str) -> SigningKey:
        """The key of somebody who was made before."""
        return self._keys[name]

    def add_key(self, name: str, **entitles: Any) -> SigningKey:
        """A new key in the trusted file. entitles: as `SigningKey.public_jwk`."""
        key = new_key()
        write_key(self.key_file(name), key)
        self._keys[name] = read_key(self.key_file(name))
        self._jwks.append(key.public_jwk(**entitles))
        self._write_jwks("trusted.json", self._jwks)
        return self._keys[name]

    def _write_jwks(self, name: str, keys: Sequence[Mapping[str, Any]]) -> None:
        new = self.directory / f"{name}.new"
        new.write_text(json.dumps({"keys": list(keys)}), encoding="utf-8")
        new.replace(self.directory / name)

    # --- clients --------------------------------------------------------------------------

    def agent(self, agent_id: str = AGENT) -> AgentClient:
        """The agent's side; a new agent gets a trusted key (not a registration)."""
        if agent_id not in self._keys:
            self.add_key(agent_id, agent_id=agent_id, tenant_id=self.tenant)
        return AgentClient(
            self.kafka, agent_id=agent_id, tenant_id=self.tenant, key=self._keys[agent_id]
        )

    def reviewer(self, reviewer_id: str = REVIEWER) -> ReviewerClient:
        """A reviewer's side; a new one gets a trusted key (not an authorization)."""
        if reviewer_id not in self._keys:
            self.add_key(reviewer_id, reviewer_id=reviewer_id, tenant_id=self.tenant)
        return ReviewerClient(
            self.kafka, reviewer_id=reviewer_id, tenant_id=self.tenant, key=self._keys[reviewer_id]
        )

    def identity(self, name: str) -> Identity:
        """In whose name a raw `Publisher` signs."""
        return Identity(self._keys[name], name)

    # --- publishing -----------------------------------------------------------------------

    def publish(self, record: Record, *, by: str | None, record_id: str) -> Published:
        """One record, signed by somebody's key or by nobody's."""
        with Publisher(self.kafka) as out:
            identity = self.identity(by) if by is not None else None
            return out.publish(record, identity=identity, record_id=record_id)

    def publish_policy(self, form: Mapping[str, Any] | None = None) -> PolicyDocument:
        """A policy in its file's form; the story's when none is given."""
        form = a_policy_form() if form is None else dict(form)
        document = PolicyDocument(
            tenant_id=form["tenant_id"],
            policy_version=form["policy_version"],
            document_json=canonical_json(form),
        )
        self.publish(document, by=None, record_id=document.policy_version)
        return document

    def publish_people(self, *people: ReviewerAuthorization | AgentRegistration) -> None:
        """Reviewers and agents; the story's when none are given."""
        for person in people or default_people():
            self.publish(person, by=None, record_id=f"person-{uuid4()}")

    @contextmanager
    def publishing(self) -> Iterator[Callable[[Record, str, str], Published]]:
        """A function that publishes many: record, who signs, record id."""
        with Publisher(self.kafka) as out:
            yield lambda record, by, record_id: out.publish(
                record, identity=self.identity(by), record_id=record_id
            )

    # --- reading --------------------------------------------------------------------------

    def reads(self, topic: str) -> list[Read]:
        """Every committed record of a topic (named without prefix) as it stands in the log."""
        return list(read_topic(self.config, self.topic(topic)))

    def records(self, topic: str, kind: type[R] = Record) -> list[R]:  # type: ignore[assignment]  # mypy: default of a type variable
        """Every committed record of a topic, decoded; only those of `kind`.

        Order holds within a package. Not for dead-letter and rekeyed, which hold original bytes.
        """
        decoded = (
            decode(read.value, read.headers, bytes_max=WRAPPED_BYTES_MAX)
            for read in self.reads(topic)
        )
        return [record for record in decoded if isinstance(record, kind)]

    # --- services -------------------------------------------------------------------------

    def service(
        self, *command: str, wait: bool = True, module: str = "countersign", **env: str
    ) -> Service:
        """Starts `countersign <command>` and waits until it is ready.

        env: further settings by their name without the prefix, such as SMTP_URL. module: another
        program than `countersign`.
        """
        name = f"{command[0]}-{len(self.services) + 1}"
        named = {f"{PREFIX}{key}": value for key, value in env.items()}
        log = self.directory / f"{name}.log"
        service = Service(name, command, {**self.env, **named}, log, module=module)
        self._stack.enter_context(service)
        self.services.append(service)
        return service.start(wait=wait)

    def worker(self, *, wait: bool = True, **env: str) -> Service:
        """Starts a control worker."""
        return self.service("worker", wait=wait, **env)

    def notifier(self, *, wait: bool = True, **env: str) -> Service:
        """Starts a notification service; give SMTP_URL."""
        return self.service("notifier", wait=wait, **env)

    def logs(self) -> str:
        """The ends of all services' logs."""
        return "\n".join(service.tail() for service in self.services)

    # --- the end --------------------------------------------------------------------------

    def close(self) -> None:
        """Ends the services and removes the topics."""
        self._stack.close()
        names = [topic.topic for topic in wanted(self.settings)]
        admin = AdminClient(self.config, logger=logger)
        for future in admin.delete_topics(names, request_timeout=10).values():
            try:
                future.result(timeout=20)
            except KafkaException:
                continue  # the broker may be dead: the test killed it


@contextmanager
def deployed(
    bootstrap_servers: str,
    redis_url: str,
    directory: Path,
    *,
    partitions: int = PARTITIONS,
    people: bool = True,
    **more: str,
) -> Iterator[Deployment]:
    """A deployment with topics and keys, and with the story's policy and people unless told not to.

    more: further settings by their name without the prefix.
    """
    prefix = f"t{uuid4().hex[:10]}."
    chosen = {
        "BOOTSTRAP_SERVERS": bootstrap_servers,
        "REDIS_URL": redis_url,
        "TOPIC_PREFIX": prefix,
        "PARTITIONS": str(partitions),
        "AUDIENCE": f"test-{prefix}",
        "TRUSTED_KEYS": str(directory / "trusted.json"),
        "GRANT_KEY": str(directory / "grant.pem"),
        "GRANT_TRUSTED_KEYS": str(directory / "grant-trusted.json"),
        "EXECUTOR_KEY": str(directory / f"{EXECUTOR}.pem"),
        "SMTP_FROM": "notices@countersign.example",
        "LOG_FORMAT": "json",
        **more,
    }
    env = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    env |= {f"{PREFIX}{name}": value for name, value in chosen.items()}
    deployment = Deployment(load(env), env, directory)
    grant = new_key()
    write_key(deployment.key_file("grant"), grant)
    deployment._write_jwks("grant-trusted.json", [grant.public_jwk()])
    deployment.add_key(AGENT, agent_id=AGENT, tenant_id=TENANT)
    for reviewer_id in (REVIEWER, OTHER_REVIEWER, HEAD):
        deployment.add_key(reviewer_id, reviewer_id=reviewer_id, tenant_id=TENANT)
    deployment.add_key(EXECUTOR, executor_id=EXECUTOR, tools=["notice.*"], tenant_ids=[TENANT])
    apply(deployment.settings)
    try:
        if people:
            deployment.publish_policy()
            deployment.publish_people()
        yield deployment
    finally:
        deployment.close()
