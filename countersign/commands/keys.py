"""`keys new|jwks`: an Ed25519 key, its private half in a file, its public half as a JWK; and the
public keys of grants, for who verifies them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from consumers.settings import load
from core.jwk import TrustedKey, public_jwks, trusted_key
from countersign.failure import UsageWrong
from countersign.key_files import add_to_jwks
from countersign.options import examples, group
from countersign.output import note, print_json
from producers.keys import new_key, read_key, write_key
from producers.trusted_keys import TrustedKeysFile, trusted_keys
from schemas.model import Id

app = group("Signing keys of agents, reviewers, executors, gateways, governors and grants.")

Owner = Annotated[str | None, typer.Option(metavar="ID")]


@app.command(
    epilog=examples(
        "keys new --reviewer r.okafor --tenant acme --add-to trusted-keys.json",
        "keys new --agent agent:drafter --tenant acme --out keys/agent.pem",
        "keys new --executor notifier --tool 'notice.*' --tenant acme",
        "keys new --admin g.vance --tenant acme --add-to trusted-keys.json",
        "keys new --grant --add-to grant-keys.json",
    )
)
def new(
    reviewer: Annotated[str | None, typer.Option(metavar="R", help="Signs its decisions.")] = None,
    agent: Annotated[str | None, typer.Option(metavar="A", help="Signs its requests.")] = None,
    executor: Annotated[
        str | None, typer.Option(metavar="E", help="Signs its takes and receipts.")
    ] = None,
    admin: Annotated[
        str | None, typer.Option(metavar="G", help="Signs policies and directories (a governor).")
    ] = None,
    gateway: Annotated[
        bool, typer.Option("--gateway", help="Signs for the reviewers it has identified.")
    ] = False,
    grant: Annotated[bool, typer.Option("--grant", help="Signs grants (the worker).")] = False,
    tenant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="T", help="The tenant; several for executors, governors and gateways."
        ),
    ] = None,
    tool: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Tools whose grants the executor may take."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Private key; by default <id>.pem here.")
    ] = None,
    add_to: Annotated[
        Path | None, typer.Option(metavar="JWKS", help="Adds the public key to this file.")
    ] = None,
) -> None:
    """Make a key: the private PEM (0600), and on standard output the JWK for the trusted file."""
    named = {"--reviewer": reviewer, "--agent": agent, "--executor": executor, "--admin": admin}
    owner, members = _members(named, gateway, grant, tenant or [], tool or [])
    path = out or Path(re.sub(r"[^A-Za-z0-9._@-]", "-", owner) + ".pem")
    key = new_key()
    jwk = key.public_jwk(**members)
    write_key(path, key)
    if add_to is not None:
        try:
            add_to_jwks(add_to, jwk)
        except UsageWrong:
            path.unlink()  # nobody trusts it; a second attempt must find the name free
            raise
        note(f"public key added to {add_to}")
    note(f"private key in {path} (0600); keep it where only {owner} can read it")
    print_json(jwk)


@app.command(epilog=examples("keys jwks", "keys jwks grant.pem former-grant.pem > grant-keys.json"))
def jwks(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE...]",
            help="PEM or JWKS files; by default COUNTERSIGN_GRANT_KEY and _GRANT_TRUSTED_KEYS.",
        ),
    ] = None,
) -> None:
    """Print the public keys of grants as the JWKS for executors; the worker serves the same at
    /grants/jwks.json.
    """
    keys: dict[str, TrustedKey] = {}
    for key in _grant_keys(files or []):
        if not key.is_bare:
            raise UsageWrong(f"key {key.kid} speaks for somebody; such a key signs no grants")
        keys[key.kid] = key
    if not keys:
        raise UsageWrong("no keys: name a file, or set COUNTERSIGN_GRANT_KEY")
    print_json(public_jwks(keys.values()))


def _grant_keys(files: list[Path]) -> Iterator[TrustedKey]:
    if not files:
        settings = load()
        if settings.grant_key is not None:
            yield trusted_key(read_key(settings.grant_key).public_jwk())
        if settings.grant_trusted_keys is not None:
            yield from trusted_keys(settings.grant_trusted_keys).current().by_kid.values()
    for path in files:
        if path.suffix == ".pem":
            yield trusted_key(read_key(path).public_jwk())
        else:
            yield from TrustedKeysFile(path).current().by_kid.values()


def _members(
    named: Mapping[str, str | None],
    gateway: bool,
    grant: bool,
    tenants: list[str],
    tools: list[str],
) -> tuple[str, dict[str, Any]]:
    """Whose key it is, and what its JWK says about it."""
    reviewer, agent, executor, admin = named.values()
    chosen = [flag for flag, value in named.items() if value is not None]
    chosen += [flag for flag, on in (("--gateway", gateway), ("--grant", grant)) if on]
    if len(chosen) != 1:
        said = " and ".join(chosen) or "none"
        raise UsageWrong(
            "name one of --reviewer, --agent, --executor, --admin, --gateway, --grant "
            f"(given: {said})"
        )
    if tools and executor is None:
        raise UsageWrong("--tool: only an executor's key is bound to tools; leave it out")
    for flag, value in [*named.items(), *(("--tenant", tenant) for tenant in tenants)]:
        _check_id(flag, value)
    if grant:
        return "grant", {}  # a key that speaks for anybody signs no grants
    if not tenants:
        raise UsageWrong("--tenant: is missing; name the tenant the key is for")
    if gateway:
        return "gateway", {"tenant_ids": tenants}
    if admin is not None:
        note(
            f"from now on the worker refuses policies and directories of {', '.join(tenants)} that "
            "no governor has signed; what stands before stays (valid_from)"
        )
        since = datetime.now(UTC).replace(microsecond=0)
        return admin, {"admin_id": admin, "tenant_ids": tenants, "valid_from": since}
    if executor is not None:
        if not tools:
            note("the key may take grants of every tool; narrow it with --tool PATTERN")
        return executor, {
            "executor_id": executor,
            "tenant_ids": tenants,
            "tools": tools or ["*"],
        }
    if len(tenants) > 1:
        raise UsageWrong(f"--tenant: {chosen[0]} has one key a tenant; name one")
    if reviewer is not None:
        return reviewer, {"reviewer_id": reviewer, "tenant_id": tenants[0]}
    assert agent is not None
    return agent, {"agent_id": agent, "tenant_id": tenants[0]}


def _check_id(flag: str, value: str | None) -> None:
    if value is None:
        return
    try:
        TypeAdapter(Id).validate_python(value)
    except ValidationError:
        raise UsageWrong(f"{flag}: ids are 1 to 128 of A-Z a-z 0-9 . _ : @ -") from None
