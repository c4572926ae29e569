"""`docs/rules.md` says what the rules do: every member of every table, and every move there is."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

import pytest

from core.context import Event
from core.evolve import evolve
from core.needs import Act
from core.timers import TIMERS, TimerName
from core.transitions import Rule
from countersign import rule_texts as texts
from countersign.codes import CODE_TEXTS
from countersign.rules_page import (
    COMMAND,
    PAGE,
    gate_diagram,
    interrupt_moves,
    needs,
    page,
)
from producers import guard
from schemas.codec import decode_any, decode_bytes
from schemas.journal import JournalEntry
from schemas.state import ControlPointState, PackageAccepted
from schemas.vocabulary import (
    CODES,
    AuthorityTransition,
    ControlMode,
    ExceptionKind,
    GateChange,
    GateState,
)
from tests.golden.histories import FOLDER, read

ROOT: Final = Path(__file__).parents[3]


def test_the_page_is_current() -> None:
    """It says what the tables say today."""
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page(), f"docs/rules.md: run {COMMAND}"


def test_a_page_that_differs_is_told_with_its_mend(tmp_path: Path) -> None:
    """Without --write nothing is written, and the exit status is 1; with it the page is there."""
    target = tmp_path / "rules.md"
    program = [sys.executable, "-m", "countersign.rules_page", "--page", str(target)]

    told = subprocess.run(program, capture_output=True, text=True, check=False)
    written = subprocess.run([*program, "--write"], capture_output=True, text=True, check=False)

    assert (told.returncode, written.returncode) == (1, 0)
    assert COMMAND in told.stdout
    assert target.read_text(encoding="utf-8") == page()


@pytest.mark.parametrize(
    ("described", "there_are"),
    [
        (CODE_TEXTS, CODES),
        (texts.RULES, get_args(Rule)),
        (texts.MODES, get_args(ControlMode)),
        (texts.CLOCKS, get_args(TimerName)),
        (texts.CLOCKS, TIMERS),
        (texts.ACTS, get_args(Act)),
        (texts.TRANSITIONS_OF_AUTHORITY, get_args(AuthorityTransition)),
        (texts.EXCEPTIONS, get_args(ExceptionKind)),
    ],
    ids=["codes", "rules", "modes", "clocks", "timers", "acts", "transitions", "exceptions"],
)
def test_every_member_has_its_words(described: Any, there_are: Any) -> None:
    """A new member of a closed set must say what it is, in countersign/codes.py or rule_texts.py."""
    assert set(there_are) == set(described)


def test_every_code_of_the_executor_library_has_its_words() -> None:
    """Those that the guard denies with of itself; what only the page has is said by nobody."""
    said = set(re.findall(r'"([A-Z]+(?:_[A-Z]+)*)"', inspect.getsource(guard)))

    assert said - {"DUPLICATE_COMMAND"} == set(texts.EXECUTORS_OWN)
    for code in texts.EXECUTORS_OWN:
        assert f"| `{code}` |" in page().partition("## What the executor library says by itself")[2]


def test_codes_stand_in_the_order_of_the_rules() -> None:
    """The first of several failures is the code, so their order is a promise."""
    assert list(CODES) == list(CODE_TEXTS)


def test_every_code_says_who_mends_it_and_how() -> None:
    """A refusal that nobody can mend says so."""
    for code, text in CODE_TEXTS.items():
        assert text.meaning.endswith("."), code
        assert text.mend.endswith("."), code
        assert text.mended_by, code
        assert "|" not in text.meaning + text.mend, f"{code}: it stands in a table"


def test_every_act_is_asked_of_the_rules() -> None:
    """What an act asks is the answer of core.needs, not a copy of it."""
    asked = {act: need for act, need, _ in needs()}

    assert set(asked) == set(get_args(Act))
    assert asked["object"].scopes == {"<subject>:object"}


def test_every_gate_is_in_its_diagram() -> None:
    """Each state can be reached, and each change leads somewhere."""
    reached = {to for _, to, _ in texts.GATE_MOVES}

    assert reached | {"closed"} == set(get_args(GateState))
    assert len(reached) == len(get_args(GateChange))
    assert all(f"--> {gate}" in gate_diagram() for gate in get_args(GateState))


def test_recorded_histories_move_as_the_diagrams_say() -> None:
    """Whatever an interrupt or a gate did in a recorded history is drawn."""
    drawn = {(at, to) for at, to, _ in interrupt_moves()}
    gates = {(at, to) for at, to, _ in texts.GATE_MOVES}
    seen_statuses, seen_gates = set[tuple[str, str]](), set[tuple[str, str]]()
    for before, after in moves_of_histories():
        seen_statuses.add((before[0], after[0]))
        seen_gates.add((before[1], after[1]))

    # A superseded interrupt ends cancelled, and in the same step the new version's opens.
    seen_statuses.discard(("cancelled", "pending"))
    assert {move for move in seen_statuses if move[0] != move[1]} - drawn == set()
    assert {move for move in seen_gates if move[0] != move[1]} == gates
    assert len(seen_statuses) > 8


def moves_of_histories() -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """Status and gate before and after each event of the recorded histories."""
    for path in sorted(FOLDER.glob("*.json")):
        states: dict[str, ControlPointState | None] = {}
        for _, entries in read(path).journals.values():
            for value in entries:
                for event in map(decode_any, decode_bytes(value, JournalEntry).events):
                    if not isinstance(event, Event):
                        continue
                    package = (
                        event.request.package.decision_package_id
                        if isinstance(event, PackageAccepted)
                        else event.decision_package_id
                    )
                    before = states.get(package)
                    after = states[package] = evolve(before, event)
                    yield _standing(before), _standing(after)


def _standing(state: ControlPointState | None) -> tuple[str, str]:
    return (state.status, state.gate) if state else ("absent", "closed")
