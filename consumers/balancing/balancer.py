"""The balancer's turn: read what came, cap who has decided too many, hand out what awaits somebody.

Everything it needs is folded anew at each start. What it sends is harmless twice: an assign names
the version and is keyed by the state it was decided on, and the worker judges it like anyone's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

from consumers.balancing.capping import HOUR, caps_due
from consumers.balancing.choosing import (
    REASONS,
    Assignment,
    awaits_somebody,
    choose,
    held_loads,
    urgency,
)
from consumers.balancing.memory import (
    ABOUT_THE_SENDER,
    LOOK_AGAIN_AFTER,
    Memory,
    Sent,
)
from consumers.balancing.metrics import Metrics
from consumers.balancing.ports import Heard, Log, Unavailable
from consumers.balancing.view import Moved, Refused, Standing, Unreadable, View
from consumers.health import Health
from consumers.logs import logger
from core.governing import Trust
from core.identifiers import derived_id
from schemas.codec import RegistryUnavailable, SchemaIds
from schemas.commands import ReviewTaskCommand
from schemas.state import ControlPointState

BALANCE_EVERY: Final = timedelta(seconds=2)
"""How long a task may lie before somebody has it; below what a person notices."""
LOOKED_AT_MAX: Final = 500
"""Tasks looked at in one turn: each is held against every reviewer until one fits."""
_NOT_YET: Final = datetime.min.replace(tzinfo=UTC)


class Balancer:
    """One turn after the other. Not for several threads at once."""

    def __init__(
        self,
        log: Log,
        *,
        balancer_id: str,
        clock: Callable[[], datetime],
        health: Health,
        metrics: Metrics,
        registry: SchemaIds | None = None,
        trust: Trust | None = None,
    ) -> None:
        """balancer_id: reviewer_id of the commands. registry: as for `schemas.codec.decode`. trust:
        as for View."""
        self._log = log
        self._balancer_id = balancer_id
        self._clock = clock
        self._health = health
        self._metrics = metrics
        self._view = View(registry, trust)
        self._memory = Memory()
        self._unread: deque[Heard] = deque()
        self._capped: dict[str, datetime] = {}
        self._balanced_at = _NOT_YET

    def run_once(self, timeout_s: float) -> None:
        """One turn; what is unavailable is told to `/readyz` and tried again in the next.

        1. Read. 2. Once all is known: caps first, so that nobody who is full is given more.
        """
        self._health.beat()
        try:
            self._read(timeout_s)  # 1.
            now = self._clock()
            self._view.forget(now)
            self._memory.forget(now)
            if not self._log.caught_up:
                return
            if now >= self._balanced_at + BALANCE_EVERY:
                self._balanced_at = now
                self._cap(now)  # 2.
                self._assign(now)
                self._health.ready("kafka")
        except Unavailable as away:
            if self._health.problems.get(away.part) != away.why:
                logger().warning("server_away", part=away.part, why=away.why)
            self._health.not_ready(away.part, away.why)
        finally:
            self._metrics.under_way.set(self._memory.under_way)

    def _read(self, timeout_s: float) -> None:
        self._unread.extend(self._log.poll(0 if self._unread else timeout_s))
        while self._unread:
            heard = self._unread[0]
            try:
                news = self._view.take(heard)
            except RegistryUnavailable as error:
                raise Unavailable("schema registry", str(error)) from None
            except Unreadable as error:
                self._metrics.unreadable.labels(heard.topic).inc()
                logger().warning(
                    "unreadable",
                    topic=heard.topic,
                    partition=heard.partition,
                    offset=heard.offset,
                    why=str(error),
                )
                news = None
            self._unread.popleft()
            match news:
                case Moved():
                    self._moved(news)
                case Refused():
                    self._refused(news)
                case None:
                    pass

    def _moved(self, moved: Moved) -> None:
        assignment = self._memory.moved(moved.key, moved.standing)
        if assignment is not None and _identity(assignment) in self._health.problems:
            self._health.ready(_identity(assignment))

    def _refused(self, refused: Refused) -> None:
        assignment = self._memory.refused(refused.command_id, refused.code, self._clock())
        if assignment is None:
            return
        self._metrics.refusals.labels(refused.code).inc()
        logger().warning(
            "assign_refused",
            code=refused.code,
            tenant_id=assignment.tenant_id,
            decision_package_id=assignment.decision_package_id,
            version=assignment.version,
            assignee=assignment.assignee,
        )
        if refused.code in ABOUT_THE_SENDER:
            mend = f"let COUNTERSIGN_BALANCER_KEY sign for {self._balancer_id} (TRUSTED_KEYS)"
            self._health.not_ready(_identity(assignment), f"{refused.code}; {mend}")

    def _cap(self, now: datetime) -> None:
        self._capped = {some_id: at for some_id, at in self._capped.items() if at > now - HOUR}
        for tenant_id, reviewer_id in self._view.decisions.people():
            tenant = self._view.directory.tenant(tenant_id)
            for cap in caps_due(
                self._view.decisions, tenant_id, reviewer_id, tenant, self._view.rule_of, now
            ):
                if cap.event_id in self._capped:
                    continue  # on its way back to us
                self._log.publish(cap)
                self._capped[cap.event_id] = now
                self._metrics.caps.inc()
                logger().info(
                    "reviewer_capped",
                    tenant_id=tenant_id,
                    reviewer_id=cap.reviewer_id,
                    decided=cap.decided,
                    capped_until=cap.capped_until.isoformat(),
                )

    def _assign(self, now: datetime) -> None:
        for tenant_id, standings in self._view.by_tenant():
            tenant = self._view.directory.tenant(tenant_id)
            if tenant.reviewer(self._balancer_id, now) is None:
                continue  # this tenant has not asked for it
            loads = held_loads((one.state for one in standings.values()), now)
            for name, weight in self._memory.expected_loads(tenant_id).items():
                loads[name] = loads.get(name, 0) + weight
            choice = choose(
                self._to_look_at(tenant_id, standings, now),
                tenant,
                now,
                loads,
                by=self._balancer_id,
                refused=self._memory.not_again(),
            )
            for assignment in choice.assignments:
                self._send(assignment, standings[assignment.key].epoch, now)
            for key, reason in choice.left.items():
                self._memory.rest(key, now + LOOK_AGAIN_AFTER, reason)
        for why in REASONS:
            self._metrics.unassigned.labels(why).set(self._memory.left(why))

    def _to_look_at(
        self, tenant_id: str, standings: Mapping[bytes, Standing], now: datetime
    ) -> list[ControlPointState]:
        """The most urgent of a tenant's tasks, as many as there is room for."""
        waiting = [
            one.state
            for key, one in standings.items()
            if not self._memory.busy(key) and awaits_somebody(one.state, now)
        ]
        waiting.sort(key=urgency)
        return waiting[: min(LOOKED_AT_MAX, self._memory.room(tenant_id, now))]

    def _send(self, assignment: Assignment, epoch: int, now: datetime) -> None:
        command = assign_command(assignment, self._balancer_id, epoch)
        self._log.send(command)
        self._memory.sent(Sent(command.command_id, assignment, epoch, now))
        self._metrics.assigns.inc()
        logger().info(
            "assign_sent",
            tenant_id=assignment.tenant_id,
            decision_package_id=assignment.decision_package_id,
            version=assignment.version,
            assignee=assignment.assignee,
        )


def _identity(assignment: Assignment) -> str:
    """The part of `/readyz` that says whether the worker believes us in a tenant."""
    return f"identity in {assignment.tenant_id}"


def assign_command(assignment: Assignment, balancer_id: str, epoch: int) -> ReviewTaskCommand:
    """The command that hands the task over. Its key comes from the package, the version, the
    assignee and the state it was decided on: whoever decides the same again repeats it."""
    decided_on = f"{assignment.key.decode()}/{assignment.version}/{assignment.assignee}/{epoch}"
    return ReviewTaskCommand(
        command_id=f"cmd-{uuid4()}",
        tenant_id=assignment.tenant_id,
        decision_package_id=assignment.decision_package_id,
        reviewer_id=balancer_id,
        expected_package_version=assignment.version,
        idempotency_key=derived_id(decided_on, "assign"),
        action="assign",
        assignee=assignment.assignee,
    )
