"""`override`, `revoke` and `verdict`: other than recommended, taken back, looked at afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from countersign.failure import UsageWrong
from countersign.options import Evidence, plain
from countersign.signed import Answer, Sending, signed
from countersign.structured_file import read_bytes
from schemas.canonical import canonical_json, parse_json_strict
from schemas.requests import ToolCall
from schemas.vocabulary import Verdict

app = plain()


@signed(
    app,
    "override notice-1 --tenant acme --as r.boss --key keys/r.boss.pem --version 1 \\",
    "    --recommended 'send the notice' --instead 'send a warning' --reason 'first offence' \\",
    "    --evidence file:2025-11 --tool notice.send --effect-type external_notice \\",
    "    --args @warning.json",
    "override notice-2 --tenant acme --as r.boss --key keys/r.boss.pem --version 1 \\",
    "    --recommended 'send the notice' --instead 'do nothing' --reason 'wrong operator' \\",
    "    --evidence register:2026-03",
)
def override(
    sending: Sending,
    recommended: Annotated[str, typer.Option(help="What was recommended.")],
    instead: Annotated[str, typer.Option(help="What is decided instead.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    evidence: Evidence = None,
    tool: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The tool to open the gate for; none: nothing opens."),
    ] = None,
    effect_type: Annotated[
        str | None, typer.Option(metavar="T", help="Kind of effect of --tool.")
    ] = None,
    args: Annotated[
        str | None,
        typer.Option(
            metavar="JSON|@FILE", help="Arguments of --tool, a JSON object; made canonical."
        ),
    ] = None,
) -> Answer:
    """Override: decide on another action than the one recommended; it is always audited.

    High and critical packages: a second person of your authority confirms it with
    `decide --decision approve --action-digest` and the digest in your answer.
    """
    call = _tool_call(tool, effect_type, args)
    return sending.client.override(
        sending.package_id,
        recommended=recommended,
        instead=instead,
        reason=reason,
        evidence_refs=evidence or [],
        tool_call=call,
        **sending.terms,
    )


@signed(
    app,
    "revoke notice-1 --tenant acme --as r.okafor --key keys/r.okafor.pem --version 1 \\",
    "    --reason 'the operator has appealed'",
)
def revoke(
    sending: Sending,
    reason: Annotated[str, typer.Option(help="Why; it is recorded.")],
    grant: Annotated[
        str | None, typer.Option(metavar="GRANT", help="The grant; by default the current one.")
    ] = None,
) -> Answer:
    """Revoke: shut a gate that was opened, until somebody has used it."""
    return sending.client.revoke(sending.package_id, reason=reason, grant_id=grant, **sending.terms)


@signed(
    app,
    "verdict notice-1 --tenant acme --as r.audit --key keys/r.audit.pem --version 1 \\",
    "    --verdict defect --comment 'sample 2 does not count in heavy rain'",
)
def verdict(
    sending: Sending,
    verdict: Annotated[
        Verdict, typer.Option(help="Whether you agree with the decision, or found a defect in it.")
    ],
    comment: Annotated[str, typer.Option(help="Your reasons.")],
) -> Answer:
    """Give the verdict of an audit that was drawn for a decided package."""
    return sending.client.audit_verdict(
        sending.package_id, verdict, comment=comment, **sending.terms
    )


def _tool_call(tool: str | None, effect_type: str | None, args: str | None) -> ToolCall | None:
    """The exact call, its arguments as RFC 8785 text. Raises UsageWrong."""
    if tool is None:
        if effect_type is not None or args is not None:
            raise UsageWrong("--effect-type and --args belong to a call; name its --tool too")
        return None
    if effect_type is None or args is None:
        raise UsageWrong(
            "--tool: add --effect-type and --args, for a gate opens for one exact call"
        )
    text: str | bytes = read_bytes(Path(args[1:])) if args.startswith("@") else args
    try:
        value = parse_json_strict(text)
        if not isinstance(value, dict):
            raise UsageWrong('--args: write a JSON object, such as \'{"notice_id": "EN-1"}\'')
        canonical = canonical_json(value)
    except ValueError as error:
        raise UsageWrong(f"--args: not JSON: {error}; mend it") from None
    return ToolCall(tool_name=tool, effect_type=effect_type, args_json=canonical)
