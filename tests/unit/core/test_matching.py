"""The matching of people to slots is a maximum, whoever they are."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from core.quorum import Approver, fits, seated
from schemas.state import Slot
from tests.unit.core.world import (
    a_person,
)

ORDER = ["reviewer", "senior_reviewer", "head_of_enforcement"]
SLOTS = st.builds(
    Slot,
    role=st.sampled_from([*ORDER, "legal"]),
    scope=st.sampled_from(["notice:approve", "legal:approve"]),
    distinct_team=st.booleans(),
)
APPROVERS = st.builds(
    lambda role, scopes, team: Approver(a_person("r.x", role, scopes=sorted(scopes), team=team)),
    st.sampled_from([*ORDER, "legal"]),
    st.sets(st.sampled_from(["notice:approve", "legal:approve"])),
    st.sampled_from(["north", "south", None]),
)


def _by_trying(slots: list[Slot], people: list[Approver]) -> int:
    """The most slots that can be filled, found by trying every way to sit down."""
    best = 0
    chairs = [*range(len(slots)), *[None] * len(people)]
    for seats in set(permutations(chairs, len(people))):
        filled = [(slots[s], p) for s, p in zip(seats, people, strict=True) if s is not None]
        teams = [p.reviewer.team for _, p in filled]
        if all(fits(s, p, ORDER) for s, p in filled) and all(
            teams.count(p.reviewer.team) == 1 for s, p in filled if s.distinct_team
        ):
            best = max(best, len(filled))
    return best


@given(st.lists(SLOTS, min_size=1, max_size=3), st.lists(APPROVERS, max_size=4))
def test_the_matching_is_a_maximum(slots: list[Slot], people: list[Approver]) -> None:
    """No other way to seat the people fills more slots."""
    assert _by_trying(slots, people) == len(seated(slots, people, ORDER))
