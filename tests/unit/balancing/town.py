"""The balancer among packages that the real core judges: its log is a list, its clock moves."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from prometheus_client import CollectorRegistry

from consumers.balancing.balancer import BALANCE_EVERY, Balancer
from consumers.balancing.metrics import Metrics
from consumers.balancing.ports import Heard, TopicName, Unavailable
from consumers.health import Health
from core.authentication import Unauthenticated
from core.context import Input
from core.directory import Directory, DirectoryRecord
from core.step import Step
from schemas.codec import encode
from schemas.commands import ReviewTaskCommand
from schemas.directory import PolicyDocument, ReviewerAuthorization, ReviewerCapChanged
from schemas.events import CommandRefused, HumanDecisionEvent
from schemas.headers import Headers, ce_headers
from schemas.model import Record
from schemas.registry import topic_of
from schemas.state import ControlPointState
from schemas.topics import key_of
from tests import examples as e
from tests.fakes.clock import MovableClock
from tests.unit.core.world import World, a_person, a_policy

BALANCER: Final = "svc:balancer"
AT_ONCE: Final = BALANCE_EVERY.total_seconds()


def the_balancer(**over: Any) -> ReviewerAuthorization:
    """The balancer in the directory: a role that no slot asks for, and a scope that only
    lets it take part."""
    form: dict[str, Any] = {
        "reviewer_id": BALANCER,
        "roles": ["balancer"],
        "scopes": ["notice:balance"],
    }
    return a_person(**(form | over))


@dataclass
class Town:
    """Packages, people and a balancer that follows them."""

    clock: MovableClock = field(default_factory=MovableClock)
    packages: dict[str, World] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    sent: list[ReviewTaskCommand] = field(default_factory=list)
    caps: list[ReviewerCapChanged] = field(default_factory=list)
    health: Health = field(default_factory=lambda: Health(stalled_after_s=60))
    forged: bool = False
    away: bool = False
    deaf: bool = False
    """What is sent is not answered."""
    caught_up: bool = True
    _directory: list[DirectoryRecord] = field(default_factory=list)
    _log: deque[Heard] = field(default_factory=deque)
    _history: list[Heard] = field(default_factory=list)
    balancer: Balancer = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    # --- the log ---------------------------------------------------------------------------

    def poll(self, timeout_s: float) -> Sequence[Heard]:
        """All there is."""
        found = list(self._log)
        self._log.clear()
        return found

    def send(self, command: ReviewTaskCommand) -> None:
        """The core judges it, as the worker would."""
        if self.away:
            raise Unavailable("kafka", "no broker answers")
        self.sent.append(command)
        if not self.deaf:
            self.act(command)

    def publish(self, cap: ReviewerCapChanged) -> None:
        """It becomes context of everything judged after it."""
        self.caps.append(cap)
        if not self.deaf:
            self.apply(cap)

    def append(self, record: Record, topic: TopicName | None = None) -> None:
        """A record lies in its topic."""
        name = topic or topic_of(record)
        headers: Headers = []
        if not isinstance(record, ControlPointState):
            headers = [*ce_headers(record, ce_id="id", source="/test", time=self.clock())]
        offset = len(self._history)
        heard = Heard(name, 0, offset, self.clock(), key_of(record), encode(record), headers)  # type: ignore[arg-type]
        self._log.append(heard)
        self._history.append(heard)

    # --- the town --------------------------------------------------------------------------

    def apply(self, *records: DirectoryRecord) -> None:
        """Changes the directory, for everybody."""
        for record in records:
            self._directory.append(record)
            self.append(record)
            for world in self.packages.values():
                world.apply(record)

    def ask(self, package_id: str, **package: Any) -> World:
        """A package comes up for decision."""
        world = World(directory=Directory())
        for record in self._directory:
            world.apply(record)
        self.packages[package_id] = world
        request = e.a_request(
            interrupt_id=f"int-{package_id}",
            package=e.a_package(**({"decision_package_id": package_id} | package)),
        )
        step = self.judged(world, request)
        assert step.verdict == "recorded", step
        return world

    def act(self, command: Input) -> Step:
        """A reviewer does something about the package the command names."""
        world = self.packages[getattr(command, "decision_package_id")]  # noqa: B009
        refused = Unauthenticated("the signature does not match the key")
        over = {"signer": None, "failure": refused, "signature_present": True}
        return self.judged(world, command, **(over if self.forged else {}))

    def judged(self, world: World, command: Input, **over: Any) -> Step:
        """The core judges; what follows lies in the log."""
        world.clock = (self.clock() - e.NOW).total_seconds()
        origin = f"{world.state.decision_package_id if world.state else ''}/{len(self._history)}"
        step = world.send(command, **({"origin": origin} | over))
        for event in step.events:
            if isinstance(event, CommandRefused | HumanDecisionEvent):
                self.append(event)
        if step.state is not None:
            self.append(step.state)
        return step

    def turn(self, seconds: float = AT_ONCE) -> None:
        """Time passes, and the balancer takes a turn, and one more to hear what came of it."""
        self.clock.advance(seconds)
        self.balancer.run_once(0)
        self.balancer.run_once(0)

    def settle(self, turns: int = 12) -> None:
        """Turns until nothing changes."""
        for _ in range(turns):
            self.turn()

    def restart(self) -> None:
        """Another balancer, that knows only the log; refusals it hears from now on."""
        self._log = deque(h for h in self._history if h.topic != "command-refused")
        self.metrics = Metrics(CollectorRegistry())
        self.health = Health(stalled_after_s=60)
        self.balancer = Balancer(
            self,
            balancer_id=BALANCER,
            clock=self.clock,
            health=self.health,
            metrics=self.metrics,
        )

    def holder(self, package_id: str) -> str | None:
        """Who holds the task."""
        return self.packages[package_id].now.assigned_to

    def assignees(self) -> list[str | None]:
        """To whom commands were sent, in their order."""
        return [command.assignee for command in self.sent]


def a_town(
    *people: ReviewerAuthorization, rule: dict[str, Any] | None = None, **policy: Any
) -> Town:
    """A town whose policy asks for one senior reviewer, with these people and the balancer."""
    town = Town()
    document = a_policy(rule=rule, **policy)
    assert isinstance(document, PolicyDocument)
    town.apply(document, e.an_agent(), the_balancer(), *people)
    return town
