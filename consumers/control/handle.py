"""The worker's step: load, decide, evolve, commit, remember. Read this first.

    bytes -> decode -> authenticate -> load state -> DECIDE -> events -> EVOLVE
          -> one Kafka transaction (journal, state, outputs, offsets) -> Redis (compare-and-set)

An input is never half handled: whatever is killed, whenever, either nothing of a step is seen, or
all of it is, and Redis is brought after the journal at the next takeover.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from consumers.control.judging import Judge, Outcome
from consumers.control.ports import Broker, InputRecord, StateStore
from consumers.control.task import Task
from consumers.control.view import View
from core.limits import FIRES_PER_TRANSACTION_MAX


def handle(
    tasks: dict[int, Task],
    records: Sequence[InputRecord],
    *,
    membership: object,
    judge: Judge,
    broker: Broker,
    store: StateStore,
    now: datetime,
) -> list[Outcome]:
    """Handles records of any of `tasks` in one transaction; `tasks` moves on when it is done.

    Raises what the ports raise, and whatever a record brings about that we did not foresee; then
    nothing has happened, except that after ProducerLost it is not known whether it has.
    """
    after, views, outcomes = dict(tasks), dict[int, View](), list[Outcome]()
    for number, task in tasks.items():
        mine = [record for record in records if record.partition == number]
        # 1. Load: watermark and states in one look; the task and the store must agree.
        view = views[number] = View(store, number, task.watermark)
        view.load([record.key for record in mine if record.key is not None])
        # 2. Decide and evolve, record after record, each seeing what the one before did.
        for record in mine:
            after[number], outcome = judge.judge(after[number], record, view, now)
            outcomes.append(outcome)
        # 3. Fire the clocks that no record can beat any more.
        for key in view.due(after[number].horizon, limit=FIRES_PER_TRANSACTION_MAX):
            while fired := judge.fire(after[number], key, view, now):
                after[number], outcome = fired
                outcomes.append(outcome)
    if not outcomes:
        return []
    # 4. Commit: journal, states, outputs and positions, or nothing.
    broker.commit(
        [output for outcome in outcomes for output in outcome.outputs],
        {
            (topic, number): offset
            for number, task in after.items()
            if task is not tasks[number]
            for topic, offset in task.positions.items()
        },
        membership,
    )
    # 5. Remember: the store follows the journal, never the other way round.
    moved = {number: task for number, task in after.items() if task is not tasks[number]}
    before = {number: tasks[number].watermark for number in moved}
    tasks.update(moved)
    for number, task in moved.items():
        store.apply(number, before[number], task.watermark, views[number].changes())
    return outcomes
