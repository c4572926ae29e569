"""What the balancer remembers of its own commands, until it ends: none of it is truth."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from consumers.balancing.choosing import Assignment, Left, version_of
from consumers.balancing.view import Standing
from schemas.vocabulary import Code

ANSWER_WITHIN: Final = timedelta(minutes=10)
"""As long as its signature lives: no answer by then, and it is sent again under the same key."""
LOOK_AGAIN_AFTER: Final = timedelta(seconds=30)
"""A task that nobody could be found for is looked at again then: an absence or a cap may be over."""
RETRY_AFTER: Final = timedelta(seconds=60)
"""After a refusal that says nothing about the assignee."""
UNDER_WAY_MAX: Final = 500
"""Commands that wait for their outcome; a worker that is behind is not buried under more."""
ABOUT_THE_SENDER: Final[frozenset[Code]] = frozenset({"UNAUTHENTICATED", "TENANT_MISMATCH"})
"""The balancer's own key or id is wrong; every command will be refused until that is mended."""
_ABOUT_THE_TASK: Final[frozenset[Code]] = frozenset(
    {
        "DUPLICATE_COMMAND",
        "UNKNOWN_PACKAGE",
        "NOT_OPEN",
        "TOO_LATE",
        "STALE_PACKAGE_VERSION",
        "NOT_ASSIGNEE",
    }
)


@dataclass(frozen=True, slots=True)
class Sent:
    """An assign command under way. epoch: of the state it was decided on."""

    command_id: str
    assignment: Assignment
    epoch: int
    sent_at: datetime


class Memory:
    """Commands under way, tasks that rest, and to whom a version is not offered again."""

    def __init__(self) -> None:
        self._under_way: dict[bytes, Sent] = {}
        self._resting: dict[bytes, tuple[datetime, Left | None]] = {}
        self._refused: dict[bytes, tuple[int, frozenset[str]]] = {}
        self._believed: set[str] = set()
        self._doubted: dict[str, datetime] = {}

    @property
    def under_way(self) -> int:
        """How many commands wait for their outcome."""
        return len(self._under_way)

    def room(self, tenant_id: str, now: datetime) -> int:
        """How many more may be sent: in a tenant where the worker has not believed us yet, one at
        a time, so that a wrong key does not fill a topic that is kept for ever with refusals."""
        free = max(0, UNDER_WAY_MAX - self.under_way)
        if tenant_id in self._believed:
            return free
        waits = any(s.assignment.tenant_id == tenant_id for s in self._under_way.values())
        doubted_until = self._doubted.get(tenant_id)
        if waits or (doubted_until is not None and now < doubted_until):
            return 0
        return min(1, free)

    def busy(self, key: bytes) -> bool:
        """Whether the task is being assigned, or rests."""
        return key in self._under_way or key in self._resting

    def sent(self, sent: Sent) -> None:
        """A command was published."""
        self._under_way[sent.assignment.key] = sent

    def rest(self, key: bytes, until: datetime, why: Left | None = None) -> None:
        """The task is not looked at until then. why: it was, in vain."""
        self._resting[key] = until, why

    def left(self, why: Left) -> int:
        """How many tasks rest for that reason."""
        return sum(reason == why for _, reason in self._resting.values())

    def moved(self, key: bytes, standing: Standing | None) -> Assignment | None:
        """The state of a package changed; the assignment that waited for that, if one did."""
        version = version_of(standing.state) if standing is not None else None
        sent = self._under_way.get(key)
        if sent is not None and (
            standing is None
            or version != sent.assignment.version
            or (standing.epoch > sent.epoch and standing.state.assigned_to is not None)
        ):
            del self._under_way[key]
        else:
            sent = None
        if standing is None:
            self._resting.pop(key, None)
        if key in self._refused and self._refused[key][0] != version:
            del self._refused[key]
        if sent is None:
            return None
        self._believed.add(sent.assignment.tenant_id)
        return sent.assignment

    def refused(self, command_id: str, code: Code, now: datetime) -> Assignment | None:
        """What became of one of our commands; None: it was none of ours."""
        sent = next((s for s in self._under_way.values() if s.command_id == command_id), None)
        if sent is None:
            return None
        assignment = sent.assignment
        tenant_id, key = assignment.tenant_id, assignment.key
        del self._under_way[key]
        if code in ABOUT_THE_SENDER:
            self._believed.discard(tenant_id)
            self._doubted[tenant_id] = now + RETRY_AFTER
        else:
            self._believed.add(tenant_id)
        if code in ABOUT_THE_SENDER or code in _ABOUT_THE_TASK:
            self.rest(key, now + RETRY_AFTER)
        else:
            version, people = self._refused.get(key, (assignment.version, frozenset[str]()))
            people = people if version == assignment.version else frozenset()
            self._refused[key] = (assignment.version, people | {assignment.assignee})
        return assignment

    def forget(self, now: datetime) -> None:
        """Drops what has waited or rested long enough."""
        for key, sent in list(self._under_way.items()):
            if sent.sent_at + ANSWER_WITHIN <= now:
                del self._under_way[key]
        for key, (until, _) in list(self._resting.items()):
            if until <= now:
                del self._resting[key]

    def not_again(self) -> dict[bytes, frozenset[str]]:
        """By record key, to whom its current version is not offered again."""
        return {key: people for key, (_, people) in self._refused.items()}

    def expected_loads(self, tenant_id: str) -> dict[str, int]:
        """By reviewer id, the weight of what is being assigned to them in this tenant."""
        loads: dict[str, int] = {}
        for sent in self._under_way.values():
            one = sent.assignment
            if one.tenant_id == tenant_id:
                loads[one.assignee] = loads.get(one.assignee, 0) + one.weight
        return loads
