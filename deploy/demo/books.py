"""Where the demo's executors write: sqlite, a row a grant, written in one step with the action."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from producers.executing import Result
from producers.guard import Permit

_BUSY_S: Final = 30.0
"""How long a writer waits for another one of the same file."""


class Books:
    """A file with one table, whose rows are found by `grant_id`. Several processes may use it."""

    def __init__(self, file: Path, table: str, columns: str) -> None:
        """columns: what the table has beside grant_id, attempt_id, tenant_id, at."""
        self._file = file
        self.table = table
        with self.transaction() as rows:
            rows.execute(
                f"CREATE TABLE IF NOT EXISTS {table} (grant_id TEXT PRIMARY KEY, attempt_id TEXT, "
                f"tenant_id TEXT, at TEXT, {columns})"
            )

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, one writer at a time, on the disk when it returns."""
        with closing(sqlite3.connect(self._file, timeout=_BUSY_S, isolation_level=None)) as rows:
            rows.row_factory = sqlite3.Row
            rows.execute("PRAGMA synchronous = FULL")
            rows.execute("BEGIN IMMEDIATE")
            try:
                yield rows
            except BaseException:
                rows.execute("ROLLBACK")
                raise
            rows.execute("COMMIT")

    def recall(self, grant_id: str) -> Result | None:
        """The result of a grant that was written, None of any other."""
        with self.transaction() as rows:
            return self.result(rows, grant_id)

    def result(self, rows: sqlite3.Connection, grant_id: str) -> Result | None:
        """The same within a transaction."""
        query = f"SELECT detail, digest FROM {self.table} WHERE grant_id = ?"  # noqa: S608 - ours
        row = rows.execute(query, (grant_id,)).fetchone()
        return Result(row["detail"], row["digest"]) if row is not None else None

    def insert(self, rows: sqlite3.Connection, permit: Permit, **columns: str | None) -> None:
        """One row for the permit's grant."""
        gate = permit.grant.gate
        values: dict[str, Any] = {
            "grant_id": permit.grant.grant_id,
            "attempt_id": permit.attempt_id,
            "tenant_id": gate.tenant_id,
            **columns,
        }
        names = ", ".join(values)
        marks = ", ".join(f":{name}" for name in values)
        rows.execute(f"INSERT INTO {self.table} ({names}) VALUES ({marks})", values)  # noqa: S608

    def rows(self) -> list[dict[str, Any]]:
        """Every row, oldest first."""
        with self.transaction() as rows:
            return [dict(row) for row in rows.execute(f"SELECT * FROM {self.table} ORDER BY rowid")]  # noqa: S608
