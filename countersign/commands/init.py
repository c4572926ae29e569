"""`init`: everything a first trial needs, in one directory."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from countersign import starter
from countersign.failure import UsageWrong
from countersign.key_files import jwks_text, write_new
from countersign.options import examples, plain
from countersign.output import say
from producers.keys import SigningKey, new_key, write_key

app = plain()

_DECIDE: Final = (
    "countersign decide notice-1 --tenant acme --as r.okafor --key {dir}/keys/r.okafor.pem"
    " --decision approve --version 1"
)
_STEPS: Final = (
    ('eval "$(countersign dev up)"', "broker and Redis, unless you have your own"),
    (". {dir}/env", "who is trusted"),
    ("countersign topics apply", ""),
    ("countersign policy apply {dir}/policy.yaml", ""),
    ("countersign reviewers apply {dir}/directory.yaml", ""),
    ("countersign worker", "in a terminal of its own, after the same two exports"),
    ("countersign request {dir}/request.json --key {dir}/keys/agent.pem", ""),
    (_DECIDE, ""),
    ("countersign audit show notice-1 --tenant acme", ""),
)


@app.command(epilog=examples("init", "init trial"))
def init(
    directory: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Where to write; made if it is not there.")
    ] = Path(),
) -> None:
    """Write a policy, a directory, keys and a sample request to start from."""
    texts = _texts(directory)
    taken = [name for name in (*texts, "keys") if (directory / name).exists()]
    if taken:
        raise UsageWrong(
            *(f"{directory / name} exists; init writes over nothing" for name in taken)
        )
    try:
        (directory / "keys").mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise UsageWrong(f"{directory / 'keys'} cannot be made: {error.strerror}") from None
    trusted, granting = _write_keys(directory / "keys")
    texts |= {"trusted-keys.json": jwks_text(trusted), "grant-keys.json": jwks_text(granting)}
    for name, text in texts.items():
        write_new(directory / name, text)
    say(f"wrote {', '.join(texts)} and keys/ to {directory}")
    say("next:")
    for line in _next(directory):
        print(f"  {line}")


def _texts(directory: Path) -> dict[str, str]:
    request = starter.sample_request().model_dump_json(indent=2, exclude_defaults=True)
    return {
        "policy.yaml": starter.POLICY,
        "directory.yaml": starter.DIRECTORY,
        "request.json": request + "\n",
        "trusted-keys.json": "",
        "grant-keys.json": "",
        "env": _env(directory),
        "COUNTERSIGN.md": _readme(directory),
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
        "SMTP_FROM": "notices@acme.example",
    }
    lines = [f"export COUNTERSIGN_{name}={shlex.quote(str(v))}" for name, v in exports.items()]
    return "\n".join(["# Read into a shell: . env", *lines, ""])


def _next(directory: Path) -> list[str]:
    shown = shlex.quote(str(directory))
    return [command.format(dir=shown) + (f"    # {why}" if why else "") for command, why in _STEPS]


def _readme(directory: Path) -> str:
    return "\n".join(
        [
            "# A first trial of Countersign",
            "",
            "`policy.yaml` says what needs a human, `directory.yaml` who may decide,",
            "`request.json` is what an agent asks. The private keys in `keys/` are for trying out:",
            "in a deployment each person and program makes its own with `countersign keys new`.",
            "",
            "```sh",
            *_next(directory),
            "```",
            "",
            "Exit codes: 0 ok, 1 the answer is no, 2 usage or settings, 3 a server is out of",
            "reach, 4 no outcome in time. To ask again, change both ids in `request.json`.",
            "",
        ]
    )
