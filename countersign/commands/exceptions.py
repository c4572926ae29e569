"""`exception grant|revoke`: one package is excepted from a policy, for a time and on record."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from countersign.failure import UsageWrong
from countersign.options import group, instant
from countersign.signed import Answer, Sending, signed
from schemas.events import ExceptionTerms
from schemas.vocabulary import ExceptionKind

app = group("Exceptions from a policy: for one package, for a time, and never a precedent.")

ExceptionId = Annotated[str, typer.Option(metavar="E", help="Id of the exception.")]
Justification = Annotated[str, typer.Option(help="Why; it is recorded.")]


@signed(
    app,
    "exception grant notice-1 --tenant acme --as r.boss --key keys/r.boss.pem --version 1 \\",
    "    --exception-id ex-7 --policy 'enforcement-guide 4.2' --kind missing_evidence \\",
    "    --applies-to notice-9 --exception 'no lab report for notice-9' \\",
    "    --justification 'the lab is closed' --expires 2026-12-24T00:00:00Z",
)
def grant(
    sending: Sending,
    exception_id: ExceptionId,
    policy: Annotated[str, typer.Option(metavar="POLICY", help="The policy that is excepted.")],
    exception: Annotated[str, typer.Option(help="What is excepted.")],
    justification: Justification,
    kind: Annotated[
        ExceptionKind | None,
        typer.Option(help="The rule that is lifted; none: it is only put on record."),
    ] = None,
    applies_to: Annotated[
        str | None,
        typer.Option(metavar="PACKAGE", help="The one package it is for; by default ID itself."),
    ] = None,
    expires: Annotated[
        datetime | None,
        typer.Option(
            parser=instant, metavar="TIME", help="When it ends; by default the policy's longest."
        ),
    ] = None,
) -> Answer:
    """Grant an exception from a policy."""
    return sending.client.grant_exception(
        sending.package_id,
        exception_id,
        policy_id=policy,
        requested_exception=exception,
        justification=justification,
        kind=kind,
        applies_to=applies_to,
        expires_at=expires,
        **sending.terms,
    )


@signed(
    app,
    "exception revoke notice-1 --tenant acme --as r.boss --key keys/r.boss.pem --version 1 \\",
    "    --exception-id ex-7 --justification 'the lab has opened again'",
)
def revoke(
    sending: Sending,
    exception_id: ExceptionId,
    justification: Justification,
    policy: Annotated[
        str | None,
        typer.Option(metavar="POLICY", help="The policy; by default as it was granted."),
    ] = None,
    exception: Annotated[
        str | None, typer.Option(help="What was excepted; by default as it was granted.")
    ] = None,
) -> Answer:
    """Take an exception back, at the package at which it was granted."""
    known = _granted(sending, exception_id)
    policy_id = policy or (known.policy_id if known else None)
    if policy_id is None:
        raise UsageWrong(
            f"--exception-id: no exception {exception_id} was granted at {sending.package_id}; "
            "name that package, or add --policy"
        )
    return sending.client.revoke_exception(
        sending.package_id,
        exception_id,
        policy_id=policy_id,
        requested_exception=exception or (known.requested_exception if known else ""),
        justification=justification,
        **sending.terms,
    )


def _granted(sending: Sending, exception_id: str) -> ExceptionTerms | None:
    """The terms of an exception that was granted at this package."""
    granted = sending.state.exceptions if sending.state else []
    terms = (one.terms for one in granted)
    return next((one for one in terms if one.exception_id == exception_id), None)
