"""Recorded histories: the journal of each tale and the directories it was judged under.

`python -m tests.golden.histories` records the tales that have no file yet. A file is never written
again: what was journalled once must stay readable and provable by every later version.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.journal import genesis
from core.limits import RULES_VERSION
from tests.fakes.memory_broker import MemoryBroker
from tests.stories.stage import Stage
from tests.stories.tales import TALES

FOLDER: Final = Path(__file__).parent
DIRECTORIES: Final = ("control-policy", "reviewer-directory", "review-context")


@dataclass(frozen=True, slots=True)
class History:
    """A recorded history. journals: by partition, the genesis and every entry's bytes.
    directories: by topic, every record's bytes and headers, with its offset."""

    name: str
    rules_version: int
    journals: dict[int, tuple[str, list[bytes]]]
    directories: dict[str, list[tuple[int, bytes, list[tuple[str, bytes]]]]]


def path_of(name: str) -> Path:
    """Where a history stands; its name says by which rules it was recorded."""
    return FOLDER / f"{name}.rules_{RULES_VERSION}.json"


def recorded(name: str, stage: Stage) -> str:
    """The text of a history's file."""
    cluster = stage.world.cluster
    identity = MemoryBroker(cluster).journal_identity(0)
    form = {
        "tale": name,
        "rules_version": RULES_VERSION,
        "journals": {
            str(partition): {
                "genesis": genesis(*identity, partition),
                "entries": [
                    _text(record.value or b"")
                    for record in cluster.records("audit-journal", partition)
                ],
            }
            for partition in range(cluster.partitions)
        },
        "directories": {
            topic: [
                {
                    "offset": record.offset,
                    "value": _text(record.value or b""),
                    "headers": [[n, _text(v or b"")] for n, v in record.headers],
                }
                for record in cluster.records(topic)
            ]
            for topic in DIRECTORIES
        },
    }
    return json.dumps(form, indent=1) + "\n"


def read(path: Path) -> History:
    """A history from its file."""
    form = json.loads(path.read_text(encoding="utf-8"))
    return History(
        name=form["tale"],
        rules_version=form["rules_version"],
        journals={
            int(partition): (journal["genesis"], [_bytes(one) for one in journal["entries"]])
            for partition, journal in form["journals"].items()
        },
        directories={
            topic: [
                (
                    record["offset"],
                    _bytes(record["value"]),
                    [(name, _bytes(value)) for name, value in record["headers"]],
                )
                for record in records
            ]
            for topic, records in form["directories"].items()
        },
    )


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)


def main() -> None:
    """Records what is not recorded yet."""
    for name, tale in TALES.items():
        path = path_of(name)
        if not path.exists():
            path.write_text(recorded(name, tale()), encoding="utf-8")


if __name__ == "__main__":
    main()
