"""The README says what the code says: the diagram, the topics, the settings, the commands.

`python -m tests.unit.test_readme` prints the diagram and the tables, to be pasted where they stand.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import typer

from consumers.settings import OURS, PREFIX, Settings
from countersign.app import app
from countersign.rules_page import diagram
from schemas.topics import FOR_EVER, TOPICS

README: Final = Path(__file__).parents[2] / "README.md"
_DAY_MS: Final = 24 * 60 * 60 * 1000


def topics() -> list[str]:
    """The rows of the topics table."""
    rows = []
    for spec in TOPICS.values():
        kept = "for ever" if spec.retention_ms == FOR_EVER else f"{spec.retention_ms // _DAY_MS} d"
        if spec.cleanup == "compact":
            kept = "compacted"
        records = ", ".join(f"`{name}`" for name in spec.records) or "original bytes"
        rows.append(f"| `{spec.name}` | {spec.written_by} | {records} | {kept} |")
    return rows


def settings() -> set[str]:
    """The names of all settings."""
    return {name.upper() for name in Settings.model_fields if name != "kafka"}


def command_names() -> set[str]:
    """Every command, groups with their members."""
    root: Any = typer.main.get_command(app)
    names = set[str]()
    for name, command in root.commands.items():
        inner = getattr(command, "commands", None)
        names |= {f"{name} {sub}" for sub in inner} if inner else {name}
    return names


def test_the_diagram_is_the_generated_one() -> None:
    """Run the module to print it anew."""
    (block,) = re.findall(r"```mermaid\n(stateDiagram.*?)```", _readme(), flags=re.DOTALL)

    assert block.rstrip("\n") == diagram()


def test_the_topics_table_is_the_generated_one() -> None:
    """Name, writer, records and retention of each topic."""
    rows = [line for line in _section("Topics") if line.startswith("| `")]

    assert rows == topics()


def test_the_settings_table_names_every_setting() -> None:
    """And no other."""
    named = {
        name
        for line in _section("Settings")
        if line.startswith("| `")
        for name in re.findall(r"`([A-Z][A-Z_]+)`", line.split("|")[1])
    }

    assert named == settings()


def test_what_the_readme_sets_are_settings() -> None:
    """Every COUNTERSIGN_ variable in it is one that the program reads, and not one it refuses."""
    for name in set(re.findall(rf"{PREFIX}[A-Z_]+", _readme())):
        plain = name.removeprefix(PREFIX).removesuffix("_FILE")
        if plain.startswith("KAFKA_"):
            assert plain.removeprefix("KAFKA_").lower().replace("_", ".") not in OURS, name
        else:
            assert plain in settings(), name


def test_every_command_in_the_readme_is_there() -> None:
    """In the blocks that are to be typed."""
    known = command_names()
    for block in re.findall(r"```sh\n(.*?)```", _readme(), flags=re.DOTALL):
        for words in re.findall(r"countersign ([a-z]+(?: [a-z]+)?)", block):
            first = words.split()[0]
            assert words in known or first in known, words


def _readme() -> str:
    return README.read_text(encoding="utf-8")


def _section(title: str) -> list[str]:
    _, _, rest = _readme().partition(f"\n## {title}\n")
    assert rest, f"no section {title}"
    return rest.partition("\n## ")[0].splitlines()


if __name__ == "__main__":
    print(diagram())
    print("\n".join(topics()))
    print(sorted(settings()))
