"""Recorded histories: every later version must still read them, prove them and agree with them.

The files are never edited. Where a rule changes on purpose, `RULES_VERSION` is raised and the tales
are recorded again beside the old files; those of older rules are still proven and folded.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Final

import pytest

from consumers.audit.directories import DirectoryLog, decoded
from consumers.audit.faults import JournalFault
from consumers.audit.verify import PartitionProof
from consumers.reading import Read
from core.limits import RULES_VERSION
from schemas.directory import (
    AgentRegistration,
    PolicyDocument,
    PolicyExceptionChanged,
    ReviewerAuthorization,
    ReviewerCapChanged,
)
from tests import examples as e
from tests.golden.histories import FOLDER, History, path_of, read
from tests.stories.tales import TALES

FILES: Final = sorted(FOLDER.glob("*.json"))


def reads(history: History, topic: str) -> list[Read]:
    """The records of a directory topic as they were read."""
    return [
        Read(topic, 0, offset, e.NOW, key=None, value=value, headers=headers)
        for offset, value, headers in history.directories[topic]
    ]


def directories_of(history: History) -> DirectoryLog:
    """The directories a history was judged under."""
    return DirectoryLog(
        decoded(reads(history, "control-policy"), (PolicyDocument,)),
        decoded(reads(history, "reviewer-directory"), (ReviewerAuthorization, AgentRegistration)),
        decoded(reads(history, "review-context"), (PolicyExceptionChanged, ReviewerCapChanged)),
    )


def proven(history: History) -> list[PartitionProof]:
    """The proof of every partition. Raises JournalFault."""
    log = directories_of(history)
    proofs = []
    for partition, (genesis, entries) in history.journals.items():
        proof = PartitionProof(partition, genesis, log.at)
        for offset, value in enumerate(entries):
            proof.check(
                Read("audit-journal", partition, offset, e.NOW, key=None, value=value, headers=[])
            )
        proofs.append(proof)
    return proofs


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_recorded_history_is_read_proven_and_judged_as_it_was(path: Path) -> None:
    """The chain holds, states are the folds of their events, and today's rules give the recorded
    answers wherever the history was recorded under them."""
    history = read(path)

    counts = [proof.counts for proof in proven(history)]

    judged = sum(count.rejudged for count in counts)
    folded = sum(count.refolded for count in counts)
    assert judged + folded > 0
    assert folded == 0 or history.rules_version != RULES_VERSION


def test_every_tale_is_recorded_under_the_rules_of_today() -> None:
    """At least twelve tales, each with its file; record a missing one with
    `python -m tests.golden.histories`."""
    missing = [name for name in TALES if not path_of(name).exists()]

    assert missing == []
    assert len(TALES) >= 12


def test_an_altered_history_is_found_out(tmp_path: Path) -> None:
    """One changed byte of a recorded event, and the proof names partition and entry."""
    form = json.loads(path_of("approved_and_sent").read_text(encoding="utf-8"))
    partition, journal = next((p, j) for p, j in form["journals"].items() if len(j["entries"]) > 3)
    whole = bytearray(base64.b64decode(journal["entries"][1]))
    whole[-80] ^= 1
    journal["entries"][1] = base64.b64encode(bytes(whole)).decode()
    altered = tmp_path / "altered.json"
    altered.write_text(json.dumps(form), encoding="utf-8")

    with pytest.raises(JournalFault, match=f"partition {partition}, seq 1"):
        proven(read(altered))
