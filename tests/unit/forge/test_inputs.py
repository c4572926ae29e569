"""Forged requests, commands, takes, receipts and notices: 0 recorded, each refused with its code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pytest

from schemas.registry import INPUT_TYPES
from tests.unit.forge import tokens as t
from tests.unit.forge.arena import (
    KINDS,
    NOW_S,
    UNSIGNED,
    Arena,
    Case,
    Told,
    case_of,
    cases_of,
    flipped,
    good_token,
)

CLAIMS: Final = frozenset({"iss", "aud", "sub", "tenant_id", "type", "iat", "exp", "jti", "body"})
"""Those that everything signed to us has."""
CASES_MIN: Final = 300


def faults(cases: Sequence[Case], told: Sequence[Told]) -> list[str]:
    """The cases that did not go as they must."""
    found = []
    for case, one in zip(cases, told, strict=True):
        ends = [verdict for verdict in one.verdicts if verdict != "forwarded"]
        if len(ends) != 1 or ends[0] not in ("refused", "dead_letter"):
            found.append(f"{case.name}: {one.verdicts}")
        elif one.code not in case.expected:
            found.append(f"{case.name}: {one.code}, not {sorted(case.expected)}")
        elif one.refusal is not None and reveals(one):
            found.append(f"{case.name}: reveals {one.refusal}")
    return found


def reveals(told: Told) -> bool:
    """Whether a refusal says more than that the sender is not believed."""
    said = told.refusal
    assert said is not None
    by = said.reviewer_id if said.code == "UNAUTHENTICATED" else None
    return (said.current_package_version, said.first_event_id, by) != (None, None, None) or (
        said.codes != [said.code]
    )


def assert_all_fail(arena: Arena, cases: Sequence[Case]) -> None:
    """Every case has its code, and nothing else has changed."""
    before = arena.states(), arena.published()

    told = arena.told(cases)

    assert faults(cases, told) == []
    assert (arena.states(), arena.published()) == before


@pytest.mark.parametrize("ce_type", KINDS)
def test_every_forgery_of_a_record_is_refused(ce_type: str) -> None:
    """Claims, headers, encodings, keys, times, aims and places; the package is as it was."""
    cases = list(cases_of(ce_type))

    assert len(cases) > CASES_MIN
    assert_all_fail(Arena(), cases)


@pytest.mark.parametrize("ce_type", KINDS)
def test_flipped_bytes_of_a_record_are_refused(ce_type: str) -> None:
    """Wherever they stand in the value."""
    assert_all_fail(Arena(), list(flipped(ce_type, every=40)))


@pytest.mark.long
@pytest.mark.parametrize("ce_type", KINDS)
def test_every_flipped_byte_of_a_record_is_refused(ce_type: str) -> None:
    """All of them, each in three ways."""
    assert_all_fail(Arena(), list(flipped(ce_type, every=None, masks=(0x01, 0x80, 0xFF))))


@pytest.mark.parametrize("ce_type", KINDS)
def test_what_is_not_forged_is_believed(ce_type: str) -> None:
    """Otherwise the matrix would show nothing: the same record and the edges within are judged by
    the rules, whatever these say then."""
    kind = KINDS[ce_type]
    record = kind.record()
    good = good_token(record, kind.sender)
    within = [forged for forged, inside in t.times(good, NOW_S) if inside]
    cases = [
        case_of(record, forged)
        for forged in (t.Forged("good", (good.made(),)), *within)
    ]  # fmt: skip
    told = Arena("decided").told(cases)

    assert len(within) == 3
    assert all(one.verdicts for one in told)
    assert {one.code for one in told}.isdisjoint({"UNAUTHENTICATED", "TENANT_MISMATCH"})
    assert "dead_letter" not in {verdict for one in told for verdict in one.verdicts}


@pytest.mark.parametrize("ce_type", KINDS)
def test_a_stranger_learns_nothing_of_a_package(ce_type: str) -> None:
    """The answer is the same, word for word, whether it is open, decided or was never seen."""
    cases = [case for case in cases_of(ce_type) if "UNAUTHENTICATED" in case.expected][::9]
    answers = []
    for stage in ("unseen", "open", "decided"):
        told = Arena(stage).told(cases)
        answers.append(
            [one.refusal.model_copy(update={"event_id": ""}) for one in told if one.refusal]
        )

    assert len(answers[0]) == len(cases)
    assert answers[0] == answers[1] == answers[2]


def test_the_matrix_is_complete() -> None:
    """Every input type but the clock's, and every claim of each."""
    assert KINDS.keys() | UNSIGNED == INPUT_TYPES.keys()
    for ce_type, kind in KINDS.items():
        signed = good_token(kind.record(), kind.sender).claims.keys()
        altered = {case.claim for case in cases_of(ce_type)}
        assert signed == CLAIMS
        assert altered >= signed | {"nbf", "sid", "auth_time", "amr"}
