"""One life of a notifier in the world: its member of the group, its outbox, its process.

The Kafka knows what matters here: partitions, one owner a partition whose commits are fenced,
committed progress, publishing that may fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry

from consumers.health import Health
from consumers.notification.history import Receipts
from consumers.notification.mailer import Mail, Outcome, Sent
from consumers.notification.metrics import Metrics
from consumers.notification.notice import sender_from
from consumers.notification.notifier import Notifier
from consumers.notification.ports import Happening, Heard, NotOwner, TopicName, Unavailable
from consumers.notification.progress import Progress, progress_from
from consumers.notification.surroundings import Surroundings
from producers.gate_feed import Assigned, Revoked
from schemas.events import ToolGateEvent
from schemas.execution import GrantTake
from schemas.model import Record
from schemas.registry import ce_type_of
from tests.unit.notification.world import AUDIENCE, World


class FakeLog:
    """One member of the group. See ports.Log; its history is the whole of the world's logs."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._noted: list[Happening] = []
        self._next: dict[tuple[TopicName, int], int] = {}
        self.paused: set[int] = set()
        self.commits: list[Mapping[int, Progress]] = []

    def join(self, *partitions: int) -> None:
        """The group gives partitions to this member, from their committed offsets on."""
        for partition in partitions or (0,):
            self._world.owner[partition] = self
            self._next["tool-gate", partition] = self._world.committed.get(partition, (0, ""))[0]
            self._next.setdefault(("command-refused", partition), 0)
            self.paused.add(partition)
        self._noted.append(Assigned(partitions or (0,)))

    def hear_of_revocation(self, *partitions: int) -> None:
        """The member learns that partitions are not its own any more."""
        for partition in partitions or (0,):
            self._next = {place: at for place, at in self._next.items() if place[1] != partition}
        self._noted.append(Revoked(partitions or (0,)))

    def poll(self, timeout_s: float) -> Sequence[Happening]:
        """See Log."""
        self._check("poll")
        found, self._noted = self._noted, []
        for (topic, partition), at in self._next.items():
            if topic == "tool-gate" and partition in self.paused:
                continue
            news = self._world.logs.get((topic, partition), [])[at:]
            found += news
            self._next[topic, partition] = at + len(news)
        return found

    def committed(self, partition: int) -> Progress | None:
        """See Log."""
        self._check("committed")
        kept = self._world.committed.get(partition)
        return None if kept is None else progress_from(*kept)

    def commit(self, progress: Mapping[int, Progress]) -> None:
        """See Log."""
        self._world.step("before commit")
        self._check("commit")
        if any(self._world.owner.get(partition) is not self for partition in progress):
            raise NotOwner("UNKNOWN_MEMBER_ID")
        for partition, kept in progress.items():
            self._world.committed[partition] = (kept.offset, kept.metadata)
        self.commits.append(progress)
        self._world.step("after commit")

    def pause(self, partition: int) -> None:
        """See Log."""
        self.paused.add(partition)

    def resume(self, partition: int) -> None:
        """See Log."""
        self.paused.discard(partition)

    def end(self, topic: TopicName, partition: int) -> int:
        """See Log."""
        self._check("end")
        return len(self._world.logs.get((topic, partition), []))

    def history(
        self,
        topic: TopicName,
        partition: int,
        *,
        end: int,
        start: int | None = None,
        since: datetime | None = None,
    ) -> Iterator[Heard]:
        """See Log."""
        for heard in self._world.logs.get((topic, partition), [])[start or 0 : end]:
            if since is None or heard.appended >= since:
                yield heard

    def publish(self, record: Record, *, record_id: str, traceparent: bytes | None) -> None:
        """See Log. "publish": it is not there; "acknowledge": it is, and nobody says so."""
        self._world.step(f"before {ce_type_of(record)}")
        self._check("publish")
        package = str(getattr(record, "decision_package_id", ""))
        partition = next(
            heard.partition
            for log in self._world.logs.values()
            for heard in log
            if isinstance(heard.record, ToolGateEvent)
            and heard.record.decision_package_id == package
        )
        self._world.append(record, partition=partition, by=self._world.executor_key)
        self._world.step(f"after {ce_type_of(record)}")
        if type(record) is GrantTake and self._world.worker_answers:
            self._world.answer_takes(record, partition)
        self._check("acknowledge")

    def _check(self, what: str) -> None:
        if what in self._world.unavailable:
            raise Unavailable("kafka", f"{what} fails")


class FakeOutbox:
    """Sends at once and tells at the next turn; what comes of it, the world says."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._done: list[tuple[str, Outcome]] = []
        self.held: list[tuple[str, Mail]] | None = None
        self.free = 2

    def hand_over(self, ticket: str, mail: Mail) -> None:
        """See Outbox."""
        assert self.free > 0
        self.free -= 1
        self._world.step("before mail")
        if self.held is not None:
            self.held.append((ticket, mail))
            return
        self._send(ticket, mail)
        self._world.step("after mail")

    def done(self) -> Sequence[tuple[str, Outcome]]:
        """See Outbox."""
        found, self._done = self._done, []
        self.free += len(found)
        return found

    def release(self) -> None:
        """Lets the mails go that were held on their way."""
        held, self.held = self.held or [], None
        for ticket, mail in held:
            self._send(ticket, mail)

    def _send(self, ticket: str, mail: Mail) -> None:
        outcome = self._world.outcomes.pop(0) if self._world.outcomes else Sent()
        if isinstance(outcome, Sent):
            self._world.mails.append(mail)
        self._done.append((ticket, outcome))


class Life:
    """One process of the notifier, from its start to its crash."""

    def __init__(self, world: World, *partitions: int) -> None:
        self.world = world
        self.log = FakeLog(world)
        self.outbox = FakeOutbox(world)
        self.registry = CollectorRegistry()
        self.health = Health(60, clock=lambda: world.now.timestamp())
        self.notifier = Notifier(
            Surroundings(
                log=self.log,
                outbox=self.outbox,
                executor=world.executor,
                receipts=Receipts(self.log, world.executor, lambda: world.trusted, AUDIENCE),
                grant_keys=world.grant_keys,
                sender=sender_from("notices@agency.example"),
                clock=lambda: world.now,
                jitter=lambda: 1.0,
                health=self.health,
                metrics=Metrics(self.registry),
                sealing=world.sealing,
            )
        )
        self.log.join(*partitions)

    def turns(self, count: int = 12, *, every: timedelta = timedelta(seconds=1)) -> None:
        """Some turns, the clock moving between them."""
        for _ in range(count):
            self.notifier.run_once(0)
            self.world.now += every

    def until(self, is_so: Callable[[], bool], *, every: timedelta = timedelta(seconds=1)) -> None:
        """Turns until something is so."""
        for _ in range(1000):
            if is_so():
                return
            self.turns(1, every=every)
        raise AssertionError("it never came about")

    def ended(self, outcome: str) -> float:
        """How many gates ended in this way, by the metric."""
        value = self.registry.get_sample_value("countersign_notices_total", {"outcome": outcome})
        return value or 0.0
