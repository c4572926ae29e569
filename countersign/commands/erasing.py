"""`audit erase`: one key is destroyed, and every copy of what it sealed is unreadable."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from countersign.deployment import deployment
from countersign.failure import AnswerIsNo, UsageWrong
from countersign.options import Tenant, examples
from countersign.output import JsonFlag, emit, note, say
from producers.sealing import Subject

_NOT_REACHED: Final = (
    "backups, snapshots and append-only files of the key store: delete the key there too",
    "plain copies elsewhere: mails that were sent, the books of executors, the agent's own files",
    "what is never sealed: ids, references, digests, numbers and the names in arguments",
)


def register(app: typer.Typer) -> None:
    """Adds the command to a group."""
    app.command(epilog=examples("audit erase case:5512 --tenant acme"))(erase)


def erase(
    subject: Annotated[
        str, typer.Argument(metavar="SUBJECT", help="subject_type:subject_id of its packages.")
    ],
    tenant: Tenant,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Erase a subject: destroy its key in COUNTERSIGN_SUBJECT_KEYS, for ever.

    The journal still proves; what was sealed is shown as `erased on` its date, and is never sent.
    Nothing is sealed for the subject any more. Erasing again changes nothing. Exit 1: there is no key.
    """
    sealing = deployment().sealing
    if sealing is None:
        raise UsageWrong(
            "COUNTERSIGN_SUBJECT_KEYS: not set; name the directory or Redis with the keys"
        )
    about = Subject.of(tenant, subject)
    if not yes:
        _ask(subject)
    erased = sealing.keys.erase(about)
    if erased is None:
        raise AnswerIsNo(
            f"{tenant}/{subject}: no key; nothing was sealed for it with these keys. Check the "
            "spelling: subject_type:subject_id, as in its packages"
        )
    data = {
        "tenant_id": tenant,
        "subject": subject,
        "marked_as": about.pseudonym,
        "erased_on": erased.on,
        "erased_now": erased.now,
        "not_reached": list(_NOT_REACHED),
    }
    done = "erased now: its key is destroyed" if erased.now else "was erased before"
    emit(data, as_json=as_json, text=lambda: say(f"{tenant}/{subject}: {done}, on {erased.on}"))
    if not as_json:
        for line in _NOT_REACHED:
            note(f"not reached: {line}")


def _ask(subject: str) -> None:
    if not sys.stdin.isatty():
        raise UsageWrong("--yes: not given, and nobody can be asked here; it cannot be undone")
    if not typer.confirm(f"Destroy the key of {subject}? It cannot be undone", err=True):
        raise AnswerIsNo("nothing was erased")
