"""`claim`, `release`, `assign`, `comment`, `present`, `recuse`: work on a review task.

They decide nothing about the package.
"""

from __future__ import annotations

from typing import Annotated

import typer

from countersign.failure import AnswerIsNo
from countersign.options import Comment, plain
from countersign.signed import Answer, Sending, signed
from schemas.vocabulary import CommentKind

app = plain()


@signed(app, "claim notice-1 --tenant acme --as r.okafor --key keys/r.okafor.pem --version 1")
def claim(sending: Sending) -> Answer:
    """Claim a review task: it is yours for the time it prints; claim again to renew."""
    return sending.client.claim(sending.package_id, **sending.terms)


@signed(app, "release notice-1 --tenant acme --as r.okafor --key keys/r.okafor.pem --version 1")
def release(sending: Sending) -> Answer:
    """Give a review task back to the queue."""
    return sending.client.release(sending.package_id, **sending.terms)


@signed(
    app,
    "assign notice-1 --tenant acme --as r.boss --key keys/r.boss.pem --version 1 \\",
    "    --to r.okafor",
)
def assign(
    sending: Sending,
    to: Annotated[str, typer.Option(metavar="R", help="Who gets it; one who could approve.")],
) -> Answer:
    """Give a review task to somebody."""
    return sending.client.assign(sending.package_id, to, **sending.terms)


@signed(
    app,
    "comment notice-1 --tenant acme --as r.okafor --key keys/r.okafor.pem --version 1 \\",
    "    --comment 'asked the lab for sample 2'",
    "comment notice-1 --tenant acme --as r.okafor --key keys/r.okafor.pem --version 1 \\",
    "    --comment 'the lab has answered' --condition-met",
)
def comment(
    sending: Sending,
    comment: Annotated[str, typer.Option(help="The text.")],
    condition_met: Annotated[
        bool,
        typer.Option("--condition-met", help="What a deferral waits for has come; ends it."),
    ] = False,
) -> Answer:
    """Comment on a package."""
    kind: CommentKind = "condition_met" if condition_met else "note"
    return sending.client.comment(sending.package_id, comment, kind=kind, **sending.terms)


@signed(app, "present notice-1 --tenant acme --as r.okafor --key keys/r.okafor.pem --version 1")
def present(
    sending: Sending,
    digest: Annotated[
        str | None,
        typer.Option(
            metavar="HEX", help="Digest of what was shown; by default that of the package."
        ),
    ] = None,
) -> Answer:
    """Record that the package was shown to you now."""
    return sending.client.present(
        sending.package_id,
        presented_digest=digest or _package_digest(sending),
        **sending.terms,
    )


@signed(
    app,
    "recuse notice-1 --tenant acme --as r.okafor --key keys/r.okafor.pem --version 1 \\",
    "    --comment 'the operator is a relative'",
)
def recuse(sending: Sending, comment: Comment = None) -> Answer:
    """Step aside: you can then decide no version of this package."""
    return sending.client.recuse(sending.package_id, comment=comment, **sending.terms)


def _package_digest(sending: Sending) -> str:
    """The digest of the version that was seen. Raises AnswerIsNo when it stands no more."""
    package_id, version = sending.package_id, sending.terms["version"]
    accepted = sending.state.accepted if sending.state else None
    if accepted is None:
        raise AnswerIsNo(f"{package_id}: nobody has asked for this package yet; name --digest")
    current = accepted.request.package.version
    if current != version:
        raise AnswerIsNo(
            f"{package_id}: version {current} stands, not {version}; look at it: "
            f"countersign interrupts show {package_id}"
        )
    return accepted.package_digest
