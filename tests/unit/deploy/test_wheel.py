"""What an installation gets."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = ("schemas", "core", "producers", "consumers", "countersign", "deploy")


def run(command: Sequence[str], cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def built(hook: str, into: Path) -> Path:
    """The wheel that one of the build backend's hooks makes (PEP 517, PEP 660)."""
    code = f"import hatchling.build; print(hatchling.build.{hook}({str(into)!r}))"
    return into / run([sys.executable, "-c", code], ROOT).split()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel."""
    return built("build_wheel", tmp_path_factory.mktemp("wheel"))


def test_the_wheel_carries_every_file(wheel: Path) -> None:
    """Not only the code: schemas with their history, compose, locks and the demo's files."""
    here = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    with ZipFile(wheel) as archive:
        carried = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert carried == here
    for needed in (
        "schemas/avro/InterruptRequested.avsc",
        "schemas/avro/history/0.1.0/InterruptRequested.avsc",
        "schemas/py.typed",
        "deploy/compose.yaml",
        "deploy/dev_stack/kafka_jars.lock",
    ):
        assert needed in carried


def test_an_installed_wheel_finds_its_files(wheel: Path, tmp_path: Path) -> None:
    """Unpacked elsewhere, it reads its own schemas and locks, not the checkout's."""
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
        "from schemas.avro_files import schema_files; from deploy.dev_stack import docker, fetching; "
        "print([*schema_files()][0], docker.COMPOSE_FILE, fetching.KAFKA_LOCK)"
    )

    said = run([sys.executable, "-c", code], tmp_path).split()

    assert all(Path(path).is_relative_to(tmp_path) and Path(path).exists() for path in said)


def test_an_editable_install_runs_the_checkout(tmp_path: Path) -> None:
    """Every package is imported from the folder it is edited in."""
    with ZipFile(built("build_editable", tmp_path)) as archive:
        archive.extractall(tmp_path / "site")
    code = (
        f"import site; site.addsitedir({str(tmp_path / 'site')!r}); import importlib; "
        f"[print(importlib.import_module(name).__file__) for name in {PACKAGES!r}]"
    )

    # isolated and without the environment's own packages: only the editable wheel is there
    said = run([sys.executable, "-I", "-S", "-c", code], tmp_path).split()

    assert said == [str(ROOT / package / "__init__.py") for package in PACKAGES]
