"""`decide` and `object`: one signed decision about a version, and its outcome."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from countersign.options import Comment, Evidence, instant, plain
from countersign.signed import Answer, Sending, signed
from schemas.vocabulary import Decision

app = plain()


@signed(
    app,
    "decide notice-1 --tenant acme --as r.okafor --key keys/r.okafor.pem \\",
    "    --decision approve --version 1 --comment 'evidence checked'",
    "decide notice-1 --tenant acme --as r.okafor --key keys/r.okafor.pem \\",
    "    --decision request_more_evidence --version 1 --evidence lab:2026-02-20",
    "decide notice-1 --tenant acme --as r.okafor --key keys/r.okafor.pem \\",
    "    --decision defer --version 1 --condition 'the lab has answered'",
)
def decide(
    sending: Sending,
    decision: Annotated[Decision, typer.Option(help="What you decide.")],
    comment: Comment = None,
    rationale: Annotated[
        str | None, typer.Option(help="Your own reasons; asked for where people lead.")
    ] = None,
    evidence: Evidence = None,
    until: Annotated[
        datetime | None,
        typer.Option(parser=instant, metavar="TIME", help="defer: until then, with its zone."),
    ] = None,
    condition: Annotated[
        str | None, typer.Option(help="defer: until this is met, or the policy's longest time.")
    ] = None,
    on_behalf_of: Annotated[
        str | None, typer.Option(metavar="R", help="The person whose delegate you are.")
    ] = None,
    action_digest: Annotated[
        str | None, typer.Option(metavar="HEX", help="Digest of the action you saw.")
    ] = None,
) -> Answer:
    """Decide: send one signed decision about the version you saw, and wait for its outcome."""
    return sending.client.decide(
        sending.package_id,
        decision,
        comment=comment,
        action_digest=action_digest,
        evidence_requested=evidence or [],
        defer_until=until,
        defer_condition=condition,
        on_behalf_of=on_behalf_of,
        reviewer_rationale=rationale,
        **sending.terms,
    )


@signed(
    app,
    "object notice-1 --tenant acme --as r.lind --key keys/r.lind.pem --version 1 \\",
    "    --comment 'the operator has filed a plan'",
    name="object",
)
def object_(sending: Sending, comment: Comment = None) -> Answer:
    """Object, on the loop: the gate stays shut, or is revoked until somebody has used it."""
    return sending.client.decide(sending.package_id, "object", comment=comment, **sending.terms)
