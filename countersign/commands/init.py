"""`init`: everything a first trial needs, in one directory."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from countersign import starter, starter_guide, starter_requests
from countersign.failure import UsageWrong
from countersign.key_files import jwks_text, write_new
from countersign.options import examples, plain
from countersign.output import say
from producers.keys import SigningKey, new_key, write_key

app = plain()

_PAGE: Final = "COUNTERSIGN.md"
_FOLDERS: Final = {"keys": 0o700, "requests": 0o755}


@app.command(epilog=examples("init", "init trial"))
def init(
    directory: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Where to write; made if it is not there.")
    ] = Path(),
) -> None:
    """Write a policy, people, keys and sample requests to start from, and say what to type next."""
    texts = _texts(directory)
    taken = [name for name in (*texts, *_FOLDERS) if (directory / name).exists()]
    if taken:
        raise UsageWrong(
            *(f"{directory / name} exists; init writes over nothing" for name in taken)
        )
    for name, mode in _FOLDERS.items():
        try:
            (directory / name).mkdir(parents=True, mode=mode)
        except OSError as error:
            raise UsageWrong(f"{directory / name} cannot be made: {error.strerror}") from None
    trusted, granting = _write_keys(directory / "keys")
    texts |= {"trusted-keys.json": jwks_text(trusted), "grant-keys.json": jwks_text(granting)}
    for name, text in texts.items():
        write_new(directory / name, text)
    shown = [name for name in texts if "/" not in name]
    say(f"wrote {', '.join(shown)}, requests/ and keys/ to {directory}")
    say("next, in one shell:")
    _print(starter_guide.next_steps(directory))
    say(f"more to try: {directory / _PAGE}; and in the end:")
    _print(starter_guide.last_steps(directory))


def _print(lines: list[str]) -> None:
    for line in lines:
        print(f"  {line}".rstrip())


def _texts(directory: Path) -> dict[str, str]:
    requests = {"request.json": starter_requests.sample_request()} | {
        f"requests/{name}.json": request
        for name, request in starter_requests.further_requests().items()
    }
    return {
        "policy.yaml": starter.POLICY,
        "directory.yaml": starter.DIRECTORY,
        **{
            name: request.model_dump_json(indent=2, exclude_defaults=True) + "\n"
            for name, request in requests.items()
        },
        "requests/warning.json": json.dumps(starter_requests.WARNING, indent=2) + "\n",
        "trusted-keys.json": "",
        "grant-keys.json": "",
        "env": _env(directory),
        _PAGE: starter_guide.page(directory),
    }


def _write_keys(directory: Path) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Writes the private keys; the JWKs of the trusted file and of the grant file."""

    def made(name: str) -> SigningKey:
        key = new_key()
        write_key(directory / f"{name}.pem", key)
        return key

    tenant = starter.TENANT
    trusted: list[Mapping[str, Any]] = [
        made("agent").public_jwk(agent_id=starter.AGENT, tenant_id=tenant),
        made("balancer").public_jwk(reviewer_id=starter.BALANCER, tenant_id=tenant),
        *(made(who).public_jwk(reviewer_id=who, tenant_id=tenant) for who in starter.REVIEWERS),
        made("executor").public_jwk(
            executor_id=starter.EXECUTOR, tenant_ids=[tenant], tools=starter.EXECUTOR_TOOLS
        ),
    ]
    return trusted, [made("grant").public_jwk()]


def _env(directory: Path) -> str:
    """Exports, with whole paths, so that they hold in every working directory."""
    home = directory.resolve()
    exports = {
        "TRUSTED_KEYS": home / "trusted-keys.json",
        "GRANT_KEY": home / "keys" / "grant.pem",
        "GRANT_TRUSTED_KEYS": home / "grant-keys.json",
        "EXECUTOR_KEY": home / "keys" / "executor.pem",
        "BALANCER_KEY": home / "keys" / "balancer.pem",
        "SMTP_URL": f"smtp://127.0.0.1:{starter.MAIL_PORT}",
        "SMTP_FROM": "notices@acme.example",
        "METRICS_PORT": "0",  # any free one: several services on one machine
    }
    lines = [f"export COUNTERSIGN_{name}={shlex.quote(str(v))}" for name, v in exports.items()]
    return "\n".join(["# Read into a shell: . env", *lines, ""])
