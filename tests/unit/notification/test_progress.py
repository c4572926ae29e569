"""What is kept in the metadata of a committed offset."""

from __future__ import annotations

import pytest

from consumers.notification.job import Mark
from consumers.notification.progress import (
    GATES_UNDER_WAY_MAX,
    METADATA_BYTES_MAX,
    Progress,
    ProgressUnreadable,
    progress_from,
)


@pytest.mark.parametrize(
    ("marks", "text"),
    [({}, ""), ({17: "t"}, '{"17":"t"}'), ({19: "s", 17: "t"}, '{"17":"t","19":"s"}')],
)
def test_marks_are_compact_json(marks: dict[int, Mark], text: str) -> None:
    """Gate offset to mark, the lowest first, and back."""
    progress = Progress(17, marks)

    assert progress.metadata == text
    assert progress_from(17, text) == progress


def test_no_metadata_is_no_mark() -> None:
    """An offset that somebody set by hand begins with nothing under way."""
    assert progress_from(3, None) == Progress(3)


@pytest.mark.parametrize("text", ["x", "[]", "7", '{"a":"t"}', '{"1":"u"}', '{"1":null}', '["ab"]'])
def test_metadata_of_another_kind_is_not_guessed_at(text: str) -> None:
    """Who cannot read what was done must not go on."""
    with pytest.raises(ProgressUnreadable, match="offset 3"):
        progress_from(3, text)


def test_all_that_may_be_under_way_fits() -> None:
    """The broker's limit holds at the largest offsets."""
    most = range(2**63 - 2 * GATES_UNDER_WAY_MAX, 2**63)

    assert len(Progress(0, dict.fromkeys(most, "t")).metadata) < METADATA_BYTES_MAX
