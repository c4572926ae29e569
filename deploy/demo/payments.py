"""A payment executor: a ledger that is written once for a grant. No money moves.

    python -m deploy.demo.payments                          executes payment.execute, until Ctrl-C
    python -m deploy.demo.payments list

Settings as of every executor: COUNTERSIGN_BOOTSTRAP_SERVERS, EXECUTOR_KEY, TRUSTED_KEYS,
GRANT_TRUSTED_KEYS.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

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
from schemas.model import Id, Line

PAYMENT_TOOL: Final = "payment.execute"
_COLUMNS: Final = """
    payment_id TEXT, payee TEXT, amount TEXT, currency TEXT, reference TEXT, action_digest TEXT,
    decision_package_id TEXT, approvers TEXT, detail TEXT, digest TEXT,
    UNIQUE (tenant_id, payment_id)
"""


def _positive(amount: str) -> str:
    if Decimal(amount) == 0:
        raise ValueError("must be above zero")
    return amount


class Payment(BaseModel):
    """What the approved arguments must be. The amount is text: a JSON number would be rounded."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    payment_id: Id
    payee: Annotated[Line, Field(min_length=1)]
    amount: Annotated[
        str, Field(pattern=r"^(0|[1-9][0-9]{0,14})(\.[0-9]{1,2})?$"), AfterValidator(_positive)
    ]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    reference: Line | None = None


class Ledger:
    """Payments in a file, one a grant and one a payment id."""

    def __init__(
        self, file: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._books = Books(file, "payments", _COLUMNS)
        self._clock = clock

    def pay(self, permit: Permit) -> Result:
        """Pays, once a grant. Raises NotDone that names the field."""
        try:
            payment = Payment.model_validate(dict(permit.args))
        except ValidationError as error:
            raise NotDone(named(error)) from None
        detail = f"paid {payment.payment_id}"
        result = Result(detail, hashlib.sha256(_text(permit).encode()).hexdigest())
        with self._books.transaction() as rows:
            before = self._books.result(rows, permit.grant.grant_id)
            if before is not None:
                return before
            try:
                self._books.insert(
                    rows,
                    permit,
                    **payment.model_dump(),
                    at=self._clock().isoformat(),
                    action_digest=permit.grant.action_digest,
                    decision_package_id=permit.grant.gate.decision_package_id,
                    approvers=json.dumps(permit.grant.approvers),
                    detail=result.detail,
                    digest=result.digest,
                )
            except sqlite3.IntegrityError:
                raise NotDone(f"payment_id: {payment.payment_id} was paid before") from None
        return result

    def recall(self, grant_id: str) -> Result | None:
        """See `producers.executing.Recall`: the row is the payment."""
        return self._books.recall(grant_id)

    def rows(self) -> list[dict[str, Any]]:
        """Every payment, oldest first."""
        return [row | {"approvers": json.loads(row["approvers"])} for row in self._books.rows()]


def main(arguments: Sequence[str] | None = None, *, make: MakeGuard = make_guard) -> int:
    """The command line; its exit status."""
    parser, _ = parser_of("deploy.demo.payments", "A payment executor.", "payments.sqlite3")
    given = parser.parse_args(arguments)
    return exit_status(lambda: _do(given.verb, Ledger(given.file), make))


def _do(verb: str | None, ledger: Ledger, make: MakeGuard) -> int:
    if verb == "list":
        return print_rows(ledger.rows())
    return run(Tool(PAYMENT_TOOL, ledger.pay, ledger.recall), make)


def _text(permit: Permit) -> str:
    return canonical_json(dict(permit.args))


if __name__ == "__main__":
    raise SystemExit(main())
