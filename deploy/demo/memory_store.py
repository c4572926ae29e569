"""A store of memories: keeps what people approved, with where it comes from. Never forgets a change.

    python -m deploy.demo.memory_store                      executes memory.write, until Ctrl-C
    python -m deploy.demo.memory_store list
    python -m deploy.demo.memory_store revoke PACKAGE_ID --reason WHY

Settings as of every executor: COUNTERSIGN_BOOTSTRAP_SERVERS, EXECUTOR_KEY, TRUSTED_KEYS,
GRANT_TRUSTED_KEYS.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from consumers.executor_settings import executor_keys
from consumers.settings import load
from core.actions import MEMORY_EFFECT, MEMORY_TOOL
from deploy.demo.books import Books
from deploy.demo.executor import (
    MakeGuard,
    Tool,
    exit_status,
    make_guard,
    named,
    parser_of,
    print_rows,
    run,
)
from producers.executing import Result
from producers.guard import NotDone, Permit
from schemas.canonical import canonical_json
from schemas.requests import MemoryApprovalPackage

_COLUMNS: Final = """
    package_id TEXT, subject_type TEXT, subject_id TEXT, proposed_memory TEXT, sensitivity TEXT,
    retention TEXT, proposed_by TEXT, source_refs TEXT, supersedes TEXT, content_digest TEXT,
    decision_package_id TEXT, approvers TEXT, decision_event_ids TEXT, detail TEXT, digest TEXT,
    status TEXT, superseded_by TEXT, revoked_at TEXT, revoked_for TEXT,
    UNIQUE (tenant_id, package_id)
"""


class MemoryStore:
    """Memories in a file: `active`, `superseded` or `revoked`; a row is never deleted."""

    def __init__(
        self, file: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._books = Books(file, "memories", _COLUMNS)
        self._clock = clock

    def write(self, permit: Permit) -> Result:
        """Keeps an approved memory, once a grant. Raises NotDone that names the field."""
        if permit.grant.gate.effect_type != MEMORY_EFFECT:
            raise NotDone(f"effect_type: must be {MEMORY_EFFECT}")
        try:
            memory = MemoryApprovalPackage.model_validate(dict(permit.args))
        except ValidationError as error:
            raise NotDone(named(error)) from None
        with self._books.transaction() as rows:
            before = self._books.result(rows, permit.grant.grant_id)
            if before is not None:
                return before
            self._supersede(rows, permit, memory)
            return self._insert(rows, permit, memory)

    def recall(self, grant_id: str) -> Result | None:
        """See `producers.executing.Recall`: the row is the memory."""
        return self._books.recall(grant_id)

    def revoke(self, package_id: str, *, reason: str, tenant_id: str | None) -> dict[str, Any]:
        """Marks a memory as revoked, if it is not; its row. Raises LookupError."""
        with self._books.transaction() as rows:
            found = rows.execute(
                "SELECT * FROM memories WHERE package_id = ? AND tenant_id = coalesce(?, tenant_id)",
                (package_id, tenant_id),
            ).fetchall()
            if not found:
                raise LookupError(f"no memory {package_id} is stored here; see: list")
            if len(found) > 1:
                raise LookupError(f"several tenants have a memory {package_id}; name one: --tenant")
            row = dict(found[0])
            if row["status"] != "revoked":
                now = self._clock().isoformat()
                row |= {"status": "revoked", "revoked_at": now, "revoked_for": reason}
                rows.execute(
                    "UPDATE memories SET status = :status, revoked_at = :revoked_at, "
                    "revoked_for = :revoked_for WHERE grant_id = :grant_id",
                    row,
                )
        return row

    def rows(self) -> list[dict[str, Any]]:
        """Every memory, oldest first, its lists as lists."""
        lists = ("source_refs", "approvers", "decision_event_ids")
        return [row | {name: json.loads(row[name]) for name in lists} for row in self._books.rows()]

    def _supersede(
        self, rows: sqlite3.Connection, permit: Permit, memory: MemoryApprovalPackage
    ) -> None:
        if memory.supersedes is None:
            return
        done = rows.execute(
            "UPDATE memories SET status = 'superseded', superseded_by = ? "
            "WHERE tenant_id = ? AND package_id = ? AND status = 'active'",
            (memory.package_id, permit.grant.gate.tenant_id, memory.supersedes),
        )
        if done.rowcount != 1:
            raise NotDone(f"supersedes: no active memory {memory.supersedes} is stored here")

    def _insert(
        self, rows: sqlite3.Connection, permit: Permit, memory: MemoryApprovalPackage
    ) -> Result:
        grant = permit.grant
        stored = canonical_json(dict(permit.args))
        result = Result(
            detail=f"memory {memory.package_id} stored",
            digest=hashlib.sha256(stored.encode()).hexdigest(),
        )
        said: dict[str, str | None] = memory.model_dump(mode="json", exclude={"source_refs"})
        try:
            self._books.insert(
                rows,
                permit,
                **said,
                at=self._clock().isoformat(),
                source_refs=json.dumps(memory.source_refs),
                content_digest=grant.action_digest,
                decision_package_id=grant.gate.decision_package_id,
                approvers=json.dumps(grant.approvers),
                decision_event_ids=json.dumps(grant.decision_event_ids),
                detail=result.detail,
                digest=result.digest,
                status="active",
            )
        except sqlite3.IntegrityError:
            raise NotDone(f"package_id: {memory.package_id} is stored already") from None
        return result


def main(arguments: Sequence[str] | None = None, *, make: MakeGuard = make_guard) -> int:
    """The command line; its exit status."""
    parser, verbs = parser_of(
        "deploy.demo.memory_store", "A store of memories.", "memories.sqlite3"
    )
    revoke = verbs.add_parser("revoke", help="mark a memory as revoked, and report it reversed")
    revoke.add_argument("package_id")
    revoke.add_argument("--reason", required=True, type=_said, help="why; it goes on record")
    revoke.add_argument("--tenant", help="whose, where several tenants have the same package id")
    given = parser.parse_args(arguments)
    return exit_status(lambda: _do(given, MemoryStore(given.file), make))


def _said(reason: str) -> str:
    """A reason that says something: it goes on record, and says why."""
    if not reason.strip():
        raise argparse.ArgumentTypeError("is blank; say why")
    return reason.strip()


def _do(given: argparse.Namespace, store: MemoryStore, make: MakeGuard) -> int:
    if given.verb == "list":
        return print_rows(store.rows())
    if given.verb == "revoke":
        return _revoke(store, given.package_id, given.reason, given.tenant, make)
    return run(Tool(MEMORY_TOOL, store.write, store.recall), make)


def _revoke(
    store: MemoryStore, package_id: str, reason: str, tenant_id: str | None, make: MakeGuard
) -> int:
    """Marks first, reports then: run again, it reports again, under the same id."""
    settings = load()
    guard = make(executor_keys(settings), settings)
    row = store.revoke(package_id, reason=reason, tenant_id=tenant_id)
    report = guard.report_outcome(
        row["grant_id"],
        tenant_id=row["tenant_id"],
        decision_package_id=row["decision_package_id"],
        outcome="reversed",
        detail=f"memory {package_id} revoked: {row['revoked_for']}",
    )
    print(f"revoked {package_id}, reported reversed as {report.event_id}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
