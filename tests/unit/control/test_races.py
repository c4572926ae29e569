"""Takes, a revocation and the end of a grant in every order: one wins, the others get its code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any, Final

import pytest

from core.jwk import TrustedKeys, trusted_key
from producers.keys import new_key
from schemas.events import CommandRefused, HumanDecisionEvent, ToolGateEvent
from tests import examples as e
from tests.unit.control.test_codes import Desk
from tests.unit.control.world import KEYS, settle, trusted

COLLEAGUE, STRANGER = "notifier-2", "payer"
KEYS.setdefault(COLLEAGUE, new_key())
KEYS.setdefault(STRANGER, new_key())
VALID_FOR_S: Final = 48 * 3600


def open_gate() -> Desk:
    """An open gate, two executors of notices and one of payments."""
    desk = Desk()
    more = [
        KEYS[name].public_jwk(executor_id=name, tenant_ids=[e.TENANT], tools=[tools])
        for name, tools in ((COLLEAGUE, "notice.*"), (STRANGER, "payment.*"))
    ]
    keys = [*trusted().by_kid.values(), *map(trusted_key, more)]
    desk.world.keys = TrustedKeys.of(keys)
    return desk.approved()


@dataclass
class Race:
    """A gate and those who run for it. settled: whether the worker handles each before the next."""

    settled: bool
    desk: Desk = field(default_factory=open_gate)

    def take(self, executor: str) -> None:
        """An executor takes, under an attempt of its own."""
        [gate] = [g for g in self.desk.world.all(ToolGateEvent) if g.gate == "opened"]
        record = e.a_take(
            grant_id=gate.grant_id, executor_id=executor, attempt_id=f"attempt-{executor}"
        )
        self.desk.world.send(record, executor, record.attempt_id)

    def revoke(self) -> None:
        """The approver takes it back."""
        command = e.a_revocation(reviewer_id=e.REVIEWER, command_id="cmd-revoke")
        self.desk.world.send(command, e.REVIEWER, command.command_id)

    def end(self) -> None:
        """Its time is over."""
        self.desk.world.clock.advance(VALID_FOR_S + 1)

    def run(self, order: tuple[str, ...]) -> Race:
        """All of it, in this order."""
        steps: dict[str, Callable[[], None]] = {
            "take": lambda: self.take(e.EXECUTOR),
            "other take": lambda: self.take(COLLEAGUE),
            "strange take": lambda: self.take(STRANGER),
            "revoke": self.revoke,
            "end": self.end,
        }
        for step in order:
            steps[step]()
            if self.settled:
                settle(self.desk.worker)
        settle(self.desk.worker)
        return self

    @property
    def ended(self) -> list[str]:
        """What became of the gate; a consumed one names who has it."""
        gates = [g for g in self.desk.world.all(ToolGateEvent) if g.gate != "opened"]
        return [f"{g.gate} {g.executor_id}" if g.gate == "consumed" else g.gate for g in gates]

    @property
    def refusals(self) -> dict[str, str]:
        """The code by what was refused."""
        return {r.command_id: r.code for r in self.desk.world.all(CommandRefused)}


IDS: Final = {
    "take": f"attempt-{e.EXECUTOR}",
    "other take": f"attempt-{COLLEAGUE}",
    "revoke": "cmd-revoke",
}
WINS: Final = {
    "take": (f"consumed {e.EXECUTOR}", "GRANT_TAKEN"),
    "other take": (f"consumed {COLLEAGUE}", "GRANT_TAKEN"),
    "revoke": ("revoked", "GRANT_REVOKED"),
    "end": ("expired", "GRANT_EXPIRED"),
}


@pytest.mark.parametrize("order", list(permutations(WINS)), ids=" ".join)
def test_the_first_wins_and_the_others_get_its_code(order: tuple[str, ...]) -> None:
    """Each handled before the next: 24 orders."""
    race = Race(settled=True).run(order)

    ended, code = WINS[order[0]]
    assert race.ended == [ended]
    assert race.refusals == {IDS[loser]: code for loser in order[1:] if loser != "end"}


@pytest.mark.parametrize("order", list(permutations(WINS)), ids=" ".join)
def test_of_what_arrives_at_once_one_wins(order: tuple[str, ...]) -> None:
    """All wait for one worker that was down: whatever order it reads them in, one wins, by append
    time, and nobody who came after the end has it."""
    race = Race(settled=False).run(order)

    [ended] = race.ended
    in_time = order[: order.index("end")]
    assert ended in {WINS[step][0] for step in (in_time or ("end",))}
    [code] = {WINS[step][1] for step in WINS if WINS[step][0] == ended}
    losers = {IDS[step] for step in IDS if WINS[step][0] != ended}
    late = {IDS[step] for step in IDS if step not in in_time}
    assert race.refusals.keys() == losers
    assert all(race.refusals[one] == code for one in losers - late)
    assert {race.refusals[one] for one in late} <= {code, "GRANT_EXPIRED"}


@pytest.mark.parametrize(
    "order", list(permutations(["strange take", "take", "revoke"])), ids=" ".join
)
def test_an_executor_of_another_tool_never_wins(order: tuple[str, ...]) -> None:
    """UNAUTHENTICATED, first or last, and it changes nothing for the others."""
    race = Race(settled=True).run(order)
    without = Race(settled=True).run(tuple(step for step in order if step != "strange take"))

    assert race.ended == without.ended
    assert race.refusals == without.refusals | {f"attempt-{STRANGER}": "UNAUTHENTICATED"}


def test_an_executor_does_not_take_in_anothers_name() -> None:
    """The colleague's key under the executor's id, and the executor's take copied by a stranger."""
    race = Race(settled=True)
    [gate] = [g for g in race.desk.world.all(ToolGateEvent) if g.gate == "opened"]
    record = e.a_take(grant_id=gate.grant_id)
    world = race.desk.world
    forgeries: list[dict[str, Any]] = [
        {"key": KEYS[COLLEAGUE]},
        {"key": KEYS[COLLEAGUE], "sub": COLLEAGUE},
    ]
    for forged in forgeries:
        world.send(record, e.EXECUTOR, record.attempt_id, **forged)
    world.send(record, e.REVIEWER, record.attempt_id, sub=e.EXECUTOR)
    settle(race.desk.worker)

    assert race.ended == []
    assert {r.code for r in world.all(CommandRefused)} == {"UNAUTHENTICATED"}
    assert len(world.all(CommandRefused)) == 3
    assert [d.decision for d in world.all(HumanDecisionEvent)] == ["approve"]
