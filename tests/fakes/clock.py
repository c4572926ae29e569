"""A clock that moves when it is told to."""

from __future__ import annotations

from datetime import datetime, timedelta

from tests.examples import NOW


class MovableClock:
    """Call it for the time; `advance` moves it."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.now += timedelta(seconds=seconds)
