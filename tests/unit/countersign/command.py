"""Runs one command in this process, as the entry point does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from consumers.settings import PREFIX
from countersign.__main__ import run

NOBODY = "127.0.0.1:9"
"""A port where no broker answers (discard, RFC 863)."""


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its standard output as JSON."""
        assert self.out, f"nothing on standard output, exit {self.code}: {self.err}"
        return json.loads(self.out)


class Command:
    """`command("policy", "check", path)`; settings by their name without the prefix."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def __call__(self, *argv: object, settings: Mapping[str, str] | None = None) -> Ran:
        with self._monkeypatch.context() as patch:
            for name, value in (settings or {}).items():
                patch.setenv(f"{PREFIX}{name}", value)
            self._capsys.readouterr()
            code = run([str(part) for part in argv])
        out, err = self._capsys.readouterr()
        return Ran(code, out, err)
