"""Recorded histories: today's rules must still give the answers of the day they were recorded.

The files are never edited. Where a rule changes on purpose, `RULES_VERSION` is raised and a history
recorded under the new rules is added beside the old one.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from core.authentication import Signer
from core.context import Context, Input
from core.directory import Directory, DirectoryRecord
from core.limits import RULES_VERSION
from core.step import Step, due_timer, fire, judge
from schemas.canonical import canonical_json
from schemas.events import CommandRefused
from schemas.registry import INPUT_TYPES, RECORDS, ce_type_of
from schemas.state import ControlPointState

HISTORIES: Final = sorted(Path(__file__).parent.glob("*.json"))
TENANT: Final = "acme"


def answers(step: Step) -> list[str]:
    """What a step did: the ce_type of each event, or the codes of each refusal."""
    return [
        ",".join(event.codes) if isinstance(event, CommandRefused) else ce_type_of(event)
        for event in step.events
    ]


def _directory(records: list[dict[str, Any]]) -> Directory:
    directory = Directory()
    for one in records:
        record = RECORDS[one["type"]].model_validate_json(canonical_json(one["record"]))
        assert isinstance(record, DirectoryRecord)
        directory = directory.apply(record)
    return directory


def _context(history: dict[str, Any], directory: Directory, step: dict[str, Any]) -> Context:
    now = datetime.fromisoformat(history["started_at"]) + timedelta(seconds=step["at"])
    form = step.get("signer")
    signer = (
        Signer(**(form | {"tools": tuple(form["tools"]), "tenant_id": TENANT})) if form else None
    )
    return Context(
        now=now,
        handled_at=now,
        origin=f"topic/0/{step.get('offset')}",
        signer=signer,
        failure=None,
        tenant=directory.tenant(TENANT),
        park_ttl=timedelta(seconds=60),
        signature_present=signer is not None,
    )


def _waited(
    state: ControlPointState | None, context: Context
) -> tuple[list[str], ControlPointState | None]:
    found: list[str] = []
    while state is not None and due_timer(state, context) is not None:
        fired = fire(state, context)
        found, state = found + answers(fired), fired.state
    return found, state


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
def test_a_recorded_history_is_judged_as_it_was(path: Path) -> None:
    """Each recorded input gets the recorded answer, and each clock fires as it did."""
    history = json.loads(path.read_text(encoding="utf-8"))
    directory = _directory(history["directory"])
    state: ControlPointState | None = None
    found: list[list[str]] = []

    for step in history["steps"]:
        context = _context(history, directory, step)
        if "record" not in step:
            fired, state = _waited(state, context)
            found.append(fired)
            continue
        model = INPUT_TYPES[step["ce_type"]]
        command = model.model_validate_json(canonical_json(step["record"]))
        assert isinstance(command, Input)
        judged = judge(state, command, context)
        found, state = [*found, answers(judged)], judged.state

    assert [step["answers"] for step in history["steps"]] == found


def test_there_is_a_history_of_these_rules() -> None:
    """Histories name the rules they were recorded under; the current ones have one."""
    assert f"rules_{RULES_VERSION}" in {path.stem.rpartition(".")[2] for path in HISTORIES}
