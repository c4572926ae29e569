"""Writes what the demo's executors need beside `countersign init`: policy, people, two requests.

python -m deploy.demo.samples trial
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the files; none that is there is written over."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.demo.samples", description="Samples for the demo's executors."
    )
    parser.add_argument("directory", type=Path, help="where they go, such as that of init")
    directory: Path = parser.parse_args(arguments).directory
    directory.mkdir(parents=True, exist_ok=True)
    for sample in sorted(
        files("deploy.demo").joinpath("executors").iterdir(), key=lambda f: f.name
    ):
        try:
            with (directory / sample.name).open("x", encoding="utf-8") as file:
                file.write(sample.read_text(encoding="utf-8"))
        except FileExistsError:
            print(f"{directory / sample.name} is there; left as it is")
        else:
            print(f"wrote {directory / sample.name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
