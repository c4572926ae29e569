"""The README says what the code says: the diagram, the topics, the settings, the commands.

`python -m tests.unit.test_readme` prints the diagram and the tables, to be pasted where they stand.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any, Final

import typer
from pydantic import BaseModel

from consumers.settings import OURS, PREFIX, Settings
from core.policy import (
    ApprovalSlot,
    Calendar,
    Defaults,
    EscalationStep,
    Policy,
    Rule,
    ToolRow,
    When,
)
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


def policy_keys() -> set[str]:
    """Every key that a policy file can have."""
    models: tuple[type[BaseModel], ...] = (
        Policy, Defaults, Rule, When, ToolRow, Calendar, EscalationStep, ApprovalSlot,
    )  # fmt: skip
    return {name for model in models for name in model.model_fields}


def unknown_options(page: str) -> list[str]:
    """The options in the commands of a page that the commands do not have."""
    unknown = []
    for block in re.findall(r"```sh\n(.*?)```", page, flags=re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            _, _, words = line.partition("countersign ")
            if words and not line.lstrip().startswith("#"):
                unknown += [f"{option} in {line}" for option in _unknown(words)]
    return unknown


def _unknown(words: str) -> list[str]:
    given = shlex.split(re.split(r"\)|\|\|| > | 2> | & ?$", words)[0], comments=True)
    command: Any = typer.main.get_command(app)
    while given and given[0] in getattr(command, "commands", {}):
        command = command.commands[given.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    return [word for word in given if word.startswith("--") and word not in known]


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


def test_the_policy_table_names_every_key() -> None:
    """Of the file, its defaults, rules, tools and calendars."""
    named = {
        name
        for line in _section("The policy file")
        if line.startswith("| ")
        for name in re.findall(r"\b[a-z][a-z_]+\b", "|".join(re.findall(r"`([^`]*)`", line)))
    }

    assert policy_keys() - named == set()


def test_every_option_of_the_pages_is_there() -> None:
    """In the commands that are to be typed, of the README and of the tutorial."""
    tutorial = README.parent / "docs" / "tutorial.md"

    assert unknown_options(_readme()) == []
    assert unknown_options(tutorial.read_text(encoding="utf-8")) == []
    assert len(unknown_options("```sh\ncountersign wait x --never\n```")) == 1


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
