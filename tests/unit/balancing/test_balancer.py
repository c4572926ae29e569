"""The balancer's turns: what it sends, what it makes of the answers, what a restart repeats."""

from __future__ import annotations

from typing import Any

from consumers.balancing.balancer import LOOKED_AT_MAX
from consumers.balancing.choosing import LOAD_MAX
from consumers.balancing.memory import ANSWER_WITHIN, LOOK_AGAIN_AFTER, RETRY_AFTER
from schemas.directory import Absence
from schemas.events import CommandRefused, ReviewTaskEvent
from tests import examples as e
from tests.unit.balancing.town import AT_ONCE, BALANCER, a_town, the_balancer
from tests.unit.core.world import a_decision_by, a_person, of

MINUTE = 60
LIMITED = {"decisions_per_hour_max": 2}


def by(reviewer_id: str, package_id: str, decision: str = "approve", **over: Any) -> Any:
    """A decision about one of the town's packages."""
    return a_decision_by(reviewer_id, decision, decision_package_id=package_id, **over)


def test_tasks_are_spread() -> None:
    """Six tasks, two people: three each, and each holds what was assigned to them."""
    town = a_town(a_person("r.a"), a_person("r.b"))
    for number in range(6):
        town.ask(f"p{number}")
    town.settle()

    holders = [town.holder(f"p{number}") for number in range(6)]
    assert sorted(filter(None, holders)) == ["r.a"] * 3 + ["r.b"] * 3
    assert town.health.problems == {}


def test_the_command_is_an_ordinary_one() -> None:
    """It names the version and the assignee, in the balancer's own name."""
    town = a_town(a_person("r.a"))
    town.ask("p")
    town.turn()

    (command,) = town.sent
    assert (command.action, command.assignee, command.reviewer_id) == ("assign", "r.a", BALANCER)
    assert command.expected_package_version == 1
    event = of(town.packages["p"].events, ReviewTaskEvent)[-1]
    assert (event.change, event.assigned_to, event.actor) == ("assigned", "r.a", BALANCER)


def test_a_conflict_is_seen_before() -> None:
    """Nothing is sent that would be refused."""
    town = a_town(a_person("r.a", conflicts=["case:case-5512"]), a_person("r.b"))
    for number in range(4):
        town.ask(f"p{number}")
    town.settle()

    assert set(town.assignees()) == {"r.b"}
    assert of(town.packages["p0"].events, CommandRefused) == []


def test_a_held_task_is_left_alone() -> None:
    """Who claimed it keeps it."""
    town = a_town(a_person("r.a"), a_person("r.b"))
    town.ask("p")
    town.act(e.a_task_command(decision_package_id="p", reviewer_id="r.a"))
    town.settle()

    assert town.sent == []
    assert town.holder("p") == "r.a"


def test_a_claim_made_at_the_same_instant_stands() -> None:
    """The balancer cannot take a task from a person: it is refused, and lets it be."""
    town = a_town(a_person("r.a"), a_person("r.b", conflicts=["case:case-5512"]))
    world = town.ask("p")
    town.deaf = True
    town.turn()
    (command,) = town.sent
    town.deaf = False
    town.apply(a_person("r.b"))
    town.act(e.a_task_command(decision_package_id="p", reviewer_id="r.b"))
    town.act(command)
    town.settle(40)

    assert [r.code for r in of(world.events, CommandRefused)] == ["NOT_ASSIGNEE"]
    assert len(town.sent) == 1
    assert world.now.assigned_to == "r.b"


def test_after_a_release_it_is_assigned_anew() -> None:
    """With a key of its own, so that it is not taken for the first one."""
    town = a_town(a_person("r.a"))
    town.ask("p")
    town.turn()
    town.act(e.a_task_command(decision_package_id="p", action="release", reviewer_id="r.a"))
    town.turn()

    assert town.holder("p") == "r.a"
    assert len({command.idempotency_key for command in town.sent}) == 2


def test_an_escalated_task_goes_to_the_next_role() -> None:
    """The hold was dropped; the head is asked now, and the head alone may."""
    people = a_person("r.a", scopes=["notice:approve", "notice:escalate"])
    town = a_town(people, a_person("r.head", "head_of_enforcement"))
    town.ask("p")
    town.turn()
    if town.holder("p") == "r.head":
        town.act(e.a_task_command(decision_package_id="p", action="release", reviewer_id="r.head"))
        town.act(e.a_task_command(decision_package_id="p", reviewer_id="r.a", idempotency_key="k2"))
    assert town.act(by("r.a", "p", "escalate")).verdict == "recorded"
    town.settle()

    assert town.holder("p") == "r.head"


def test_a_closed_package_is_forgotten() -> None:
    """And its weight with it."""
    town = a_town(a_person("r.a"))
    town.ask("p")
    town.turn()
    town.act(by("r.a", "p"))
    town.turn()

    assert town.balancer._view.open == {}
    assert town.balancer._memory.under_way == 0


def test_a_refusal_is_not_repeated() -> None:
    """Who was refused for this version is not asked again; the next one is."""
    town = a_town(a_person("r.a"), a_person("r.b"))
    world = town.ask("p")
    for name in ("r.a", "r.b"):  # the worker knows of a conflict that the balancer has not read yet
        world.apply(a_person(name, conflicts=["case:case-5512"]))
    town.settle(30)

    assert sorted(filter(None, town.assignees())) == ["r.a", "r.b"]
    refusals = of(world.events, CommandRefused)
    assert [refusal.code for refusal in refusals] == ["CONFLICT_OF_INTEREST"] * 2
    count = town.metrics.refusals.labels("CONFLICT_OF_INTEREST")._value.get()
    assert count == 2


def test_another_version_is_offered_again() -> None:
    """What was refused was about the version before."""
    town = a_town(a_person("r.a"))
    world = town.ask("p")
    world.apply(a_person("r.a", conflicts=["case:case-5512"]))
    town.settle()
    assert len(town.sent) == 1

    world.apply(a_person("r.a"))
    package = e.a_package(decision_package_id="p", version=2)
    town.judged(world, e.a_request(interrupt_id="int-p-2", package=package))
    town.clock.advance(LOOK_AGAIN_AFTER.total_seconds())
    town.settle()

    assert [command.expected_package_version for command in town.sent] == [1, 2]
    assert town.holder("p") == "r.a"


def test_another_version_before_the_answer() -> None:
    """It is not waited for what was sent about the version before."""
    town = a_town(a_person("r.a"))
    world = town.ask("p")
    town.deaf = True
    town.turn()
    town.deaf = False
    package = e.a_package(decision_package_id="p", version=2)
    town.judged(world, e.a_request(interrupt_id="int-p-2", package=package))
    town.settle()

    assert [command.expected_package_version for command in town.sent] == [1, 2]


def test_what_is_under_way_counts() -> None:
    """Tasks that come one by one are spread, though no answer has come yet."""
    town = a_town(a_person("r.a"), a_person("r.b"))
    town.ask("p")
    town.turn()
    town.act(by(town.assignees()[0] or "", "p"))
    town.sent.clear()
    town.deaf = True
    for number in range(8):
        town.ask(f"p{number}")
        town.turn()

    assert sorted(filter(None, town.assignees())) == ["r.a"] * 4 + ["r.b"] * 4


def test_nobody_eligible() -> None:
    """Nothing is sent, and the metric says so; whoever comes gets it."""
    town = a_town(a_person("r.a"), a_person("r.low", "reviewer"))
    town.ask("p")
    town.apply(a_person("r.a", absences=[Absence(valid_from=e.NOW, valid_until=e.at(120))]))
    town.turn()
    assert town.metrics.unassigned.labels("nobody_eligible")._value.get() == 1
    town.turn()
    assert town.metrics.unassigned.labels("nobody_eligible")._value.get() == 1
    assert town.sent == []

    town.turn(120)
    town.turn()
    assert town.assignees() == ["r.a"]
    assert town.metrics.unassigned.labels("nobody_eligible")._value.get() == 0


def test_a_tenant_that_has_not_asked_for_it() -> None:
    """Where the balancer is not in the directory it assigns nothing."""
    town = a_town(a_person("r.a"))
    town.apply(the_balancer(removed=True))
    town.ask("p")
    town.settle()

    assert town.sent == []
    assert town.metrics.unassigned.labels("not_entitled")._value.get() == 0


def test_before_all_is_known() -> None:
    """A half-read log is no ground to act on."""
    town = a_town(a_person("r.a"))
    town.ask("p")
    town.caught_up = False
    town.settle()
    assert town.sent == []
    assert not town.health.alive or town.health.problems

    town.caught_up = True
    town.turn()
    assert len(town.sent) == 1


def test_a_restart_repeats_nothing() -> None:
    """All is folded anew; what is held stays held."""
    town = a_town(a_person("r.a"), a_person("r.b"))
    for number in range(4):
        town.ask(f"p{number}")
    town.settle()
    town.restart()
    town.settle()

    assert len(town.sent) == 4


def test_a_restart_before_the_answer() -> None:
    """The same is decided again, under the same key: the worker sees a duplicate."""
    town = a_town(a_person("r.a"), a_person("r.b"))
    world = town.ask("p")
    town.deaf = True
    town.turn()
    town.restart()
    town.turn()

    first, second = town.sent
    assert first.command_id != second.command_id
    assert first.idempotency_key == second.idempotency_key
    town.act(first)
    town.act(second)
    assert [r.code for r in of(world.events, CommandRefused)] == ["DUPLICATE_COMMAND"]
    assert world.now.assigned_to == first.assignee


def test_two_balancers_at_once() -> None:
    """They decide the same; one is recorded, the other's is a duplicate, and no task moves."""
    town = a_town(a_person("r.a"), a_person("r.b"))
    world = town.ask("p")
    town.deaf = True
    town.turn()
    (ours,) = town.sent
    other = ours.model_copy(update={"command_id": "cmd-of-the-other"})
    town.deaf = False
    town.act(other)
    town.act(ours)
    town.settle(40)

    assert [r.code for r in of(world.events, CommandRefused)] == ["DUPLICATE_COMMAND"]
    assert len(town.sent) == 1
    assert town.balancer._memory.under_way == 0


def test_no_answer() -> None:
    """One at a time until the first is answered; sent again only when its signature is dead."""
    town = a_town(a_person("r.a"))
    town.ask("p")
    town.ask("q")
    town.deaf = True
    town.settle(30)
    assert len(town.sent) == 1

    town.deaf = False
    town.turn(ANSWER_WITHIN.total_seconds())
    town.settle()
    assert len(town.sent) == 3
    assert town.sent[0].idempotency_key == town.sent[1].idempotency_key


def test_a_key_that_is_not_believed() -> None:
    """One refusal a minute, not one a task, and /readyz names the mend; then all goes on."""
    town = a_town(a_person("r.a"))
    for number in range(5):
        town.ask(f"p{number}")
    town.forged = True
    town.settle(15)
    assert len(town.sent) == 1
    assert "COUNTERSIGN_BALANCER_KEY" in town.health.problems["identity in acme"]

    town.forged = False
    town.turn(RETRY_AFTER.total_seconds())
    town.turn(RETRY_AFTER.total_seconds())
    town.settle()
    assert [town.holder(f"p{number}") for number in range(5)] == ["r.a"] * 5
    assert town.health.problems == {}


def test_nobody_is_buried() -> None:
    """What one person cannot work off stays in the queue for anyone to claim."""
    town = a_town(a_person("r.a"))
    for number in range(15):
        town.ask(f"p{number}")
    town.settle()

    assert len(town.sent) == LOAD_MAX // 4
    assert LOOKED_AT_MAX > 15
    town.act(by("r.a", town.sent[0].decision_package_id))
    town.settle()
    assert len(town.sent) == LOAD_MAX // 4 + 1


def test_a_broker_that_is_away() -> None:
    """It is said, and tried again."""
    town = a_town(a_person("r.a"))
    town.ask("p")
    town.away = True
    town.turn()
    assert town.health.problems == {"kafka": "no broker answers"}

    town.away = False
    town.turn()
    assert len(town.sent) == 1
    assert town.health.problems == {}


def test_who_has_decided_enough_is_capped() -> None:
    """The cap is written once; then the worker refuses, and the balancer assigns to others."""
    town = a_town(a_person("r.a"), rule=LIMITED)
    for number in range(3):
        town.ask(f"p{number}")
    town.settle()
    for number in range(2):
        town.act(by("r.a", f"p{number}"))
    town.settle()

    (cap,) = town.caps
    assert (cap.reviewer_id, cap.decided) == ("r.a", 2)
    step = town.act(by("r.a", "p2"))
    assert [r.code for r in of(step.events, CommandRefused)] == ["DECISION_NOT_ALLOWED"]
    town.apply(a_person("r.b"))
    town.ask("p3")
    town.settle()
    assert town.holder("p3") == "r.b"


def test_a_cap_on_its_way() -> None:
    """It is not written again before it has come back."""
    town = a_town(a_person("r.a"), rule={"decisions_per_hour_max": 1})
    town.ask("p")
    town.turn()
    town.act(by("r.a", "p"))
    town.deaf = True
    town.settle()

    assert len(town.caps) == 1


def test_the_hour_after_a_restart() -> None:
    """The decisions are folded anew; the cap that is in force is not written again."""
    town = a_town(a_person("r.a"), rule=LIMITED)
    for number in range(2):
        town.ask(f"p{number}")
        town.settle(2)
        town.act(by("r.a", f"p{number}"))
    town.restart()
    town.settle()
    assert len(town.caps) == 1

    town.restart()
    town.settle()
    assert len(town.caps) == 1


def test_the_cap_ends() -> None:
    """An hour after the first decision the person may decide again."""
    town = a_town(a_person("r.a"), rule=LIMITED)
    for number in range(3):
        town.ask(f"p{number}")
    town.settle()
    town.act(by("r.a", "p0"))
    town.act(by("r.a", "p1"))
    town.settle()
    town.turn(60 * MINUTE)

    assert town.act(by("r.a", "p2")).verdict == "recorded"


def test_the_rule_of_a_closed_package() -> None:
    """It is known for the hour in which it counts, and then no longer."""
    town = a_town(a_person("r.a"), rule={"decisions_per_hour_max": 1})
    town.ask("p")
    town.turn()
    town.act(by("r.a", "p"))
    town.turn()
    assert len(town.caps) == 1

    town.turn(61 * MINUTE)
    assert town.balancer._view.rule_of(b"acme/p") is None
    assert town.balancer._view.decisions.people() == []


def test_what_cannot_be_read() -> None:
    """It is counted and passed over."""
    town = a_town(a_person("r.a"))
    town.append(e.a_decision_event(), topic="reviewer-directory")
    town.append(e.a_refusal(), topic="interrupt-state")
    town.ask("p")
    town.turn(AT_ONCE)

    assert town.metrics.unreadable.labels("reviewer-directory")._value.get() == 1
    assert town.metrics.unreadable.labels("interrupt-state")._value.get() == 1
    assert len(town.sent) == 1
