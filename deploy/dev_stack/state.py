"""What `up` started, so that the next `up`, `down` and `status` know it again."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from deploy.dev_stack.local import Ports
from deploy.dev_stack.process import Started

Runner = Literal["docker", "processes"]


@dataclass(frozen=True, slots=True)
class State:
    """The last `up`: on which ports, and which processes it started, by name."""

    how: Runner | None = None
    ports: Ports = field(default_factory=Ports)
    processes: dict[str, Started] = field(default_factory=dict)


def read_state(path: Path) -> State:
    """The recorded state; an empty one when there is none, or none that can be read."""
    try:
        form: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return State(
            form["how"],
            Ports(**form["ports"]),
            {name: Started(**one) for name, one in form["processes"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return State()


def write_state(path: Path, state: State) -> None:
    """Records the state; a reader sees the old one or the new one."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps(asdict(state), indent=2) + "\n", encoding="utf-8")
    os.replace(new, path)
