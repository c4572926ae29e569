"""The very same record again: it changes nothing, and after ten minutes nobody has sent it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import pytest

from core.authentication import LIFETIME_MAX
from schemas.codec import decode_any, decode_bytes
from schemas.events import CommandRefused
from schemas.headers import SIGNATURE
from schemas.journal import JournalEntry
from schemas.state import ControlPointState
from tests.stories.stage import Stage
from tests.stories.tales import TALES

STALE: Final = LIFETIME_MAX + timedelta(seconds=1)


def accepted(stage: Stage) -> list[JournalEntry]:
    """What was signed and had an effect, in its order."""
    return [
        entry
        for entry in stage.world.journal()
        if entry.verdict == "recorded" and any(h.name == SIGNATURE for h in entry.input.headers)
    ]


def replayed(stage: Stage, entries: list[JournalEntry]) -> list[JournalEntry]:
    """Appends them again, byte for byte; what the journal says of that."""
    places = [
        (
            entry.input.topic,
            entry.input.partition,
            stage.world.cluster.append(
                entry.input.topic,
                entry.input.partition,
                entry.input.key,
                entry.input.value,
                [(h.name, h.value) for h in entry.input.headers],
            ),
        )
        for entry in entries
    ]
    stage.settle()
    found = {
        (one.input.topic, one.input.partition, one.input.offset): one
        for one in stage.world.journal()
        if one.verdict != "fired"
    }
    return [found[place] for place in places]


def code_of(entry: JournalEntry) -> str:
    """The code of a refusal."""
    refusal = decode_any(entry.events[0])
    assert isinstance(refusal, CommandRefused)
    return refusal.code


def states(stage: Stage) -> dict[bytes, ControlPointState]:
    """All control points, but for the last refusals that `explain` tells of."""
    return {
        key: decode_bytes(value, ControlPointState).model_copy(update={"refusals": []})
        for part in stage.world.store._parts.values()
        for key, value in part.values.items()
    }


@pytest.mark.parametrize("tale", TALES)
def test_a_record_that_is_sent_again_changes_nothing(tale: str) -> None:
    """At the end of every story, each of its records: no decision, gate or receipt more."""
    stage = TALES[tale]()
    before = states(stage), stage.statuses(), stage.gates()
    entries = accepted(stage)
    again = replayed(stage, entries)

    assert entries
    assert {one.verdict for one in again} <= {"duplicate", "refused"}
    assert (states(stage), stage.statuses(), stage.gates()) == before


@pytest.mark.parametrize("tale", TALES)
def test_a_record_that_is_sent_again_later_is_not_believed(tale: str) -> None:
    """Whoever kept it has ten minutes."""
    stage = TALES[tale]()
    entries = accepted(stage)
    stage.later(STALE.total_seconds())
    again = replayed(stage, entries)

    assert [one.verdict for one in again] == ["refused"] * len(entries)
    assert {code_of(one) for one in again} == {"UNAUTHENTICATED"}
