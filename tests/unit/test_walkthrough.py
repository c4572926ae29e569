"""A page that is typed along is held to what its commands print."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.walkthrough import Step, path_with, run, steps_of, told_alike

PAGE = """\
Say it.

```sh
echo one
```
```text
one
```

```yaml
not: typed
```

```sh
echo two >&2
```
"""


def test_a_page_is_a_row_of_steps() -> None:
    """Commands with what they print, where the page shows it."""
    assert steps_of(PAGE) == [Step("echo one\n", "one\n"), Step("echo two >&2\n", None)]


def test_steps_run_in_one_shell(tmp_path: Path) -> None:
    """Each step's output apart, standard error with it."""
    env = {"PATH": path_with(tmp_path)}
    steps = [*steps_of(PAGE), Step("x=3; cd /", None), Step('echo "$x $PWD"', None)]

    status, printed = run(steps, cwd=tmp_path, env=env, timeout_s=10)

    assert status == 0
    assert printed[:4] == ["one\n", "two\n", "", "3 /\n"]


def test_a_step_that_fails_ends_the_walk(tmp_path: Path) -> None:
    """What follows is not typed."""
    steps = [Step("false", None), Step("echo never", None)]

    status, printed = run(steps, cwd=tmp_path, env={"PATH": path_with(tmp_path)}, timeout_s=10)

    assert (status, printed) == (1, [""])


@pytest.mark.parametrize(
    ("shown", "printed", "alike"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\nb\n", "a\nc\n", False),
        ("a\n…\nd\n", "a\nb\nc\nd\n", True),
        ("a\n…\nd\n", "a\nd\n", True),
        ("a\n…\nd\n", "a\nb\n", False),
        ("a\n…\n", "a\nb\n", True),
        ("at 2026-11-24T10:00:00.1Z\n", "at 2027-01-02T03:04:05Z\n", True),
        ("event 724d56b1-44ef-562f-ad71-1dbe6ea83d58\n", "event one\n", False),
        ("a.b\n", "axb\n", False),
    ],
)
def test_what_varies_does_not_count(shown: str, printed: str, alike: bool) -> None:
    """Times and ids do not count; everything else does."""
    assert told_alike(shown, printed) is alike
