"""What is kept in Kafka for a partition: a group offset, and a mark for each unfinished gate.

The metadata of the committed offset of `tool-gate` is compact JSON, gate offset to mark, such as
`{"17":"t","19":"s"}`; nothing marked: empty.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from consumers.notification.job import Mark

METADATA_BYTES_MAX: Final = 4096
"""The broker's `offset.metadata.max.bytes`, by default."""
GATES_UNDER_WAY_MAX: Final = 32
"""Gates of a partition that are worked on at once."""
_MARK_BYTES_MAX: Final = len('"9223372036854775807":"t",')

assert 2 * GATES_UNDER_WAY_MAX * _MARK_BYTES_MAX < METADATA_BYTES_MAX, (
    "an earlier life's gates and as many new ones must fit"
)


class ProgressUnreadable(Exception):
    """The metadata is none of ours. What it stood for is not known, so nothing may be sent."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Read on from `offset`; each gate in `marks` (by offset) is under way."""

    offset: int
    marks: Mapping[int, Mark] = field(default_factory=dict)

    @property
    def metadata(self) -> str:
        """The marks as the metadata of the committed offset."""
        if not self.marks:
            return ""
        form = {str(offset): mark for offset, mark in sorted(self.marks.items())}
        return json.dumps(form, separators=(",", ":"))


def progress_from(offset: int, metadata: str | None) -> Progress:
    """The progress of a committed offset and its metadata. Raises ProgressUnreadable."""
    if not metadata:
        return Progress(offset)
    try:
        form = json.loads(metadata)
        if not isinstance(form, dict):
            raise TypeError("not an object")
        return Progress(offset, {int(gate): _mark(mark) for gate, mark in form.items()})
    except (ValueError, TypeError, RecursionError):
        raise ProgressUnreadable(
            f"the metadata of offset {offset} is not the notifier's; is the group shared?"
        ) from None


def _mark(text: object) -> Mark:
    match text:
        case "t":
            return "t"
        case "s":
            return "s"
        case _:
            raise ValueError("no such mark")
