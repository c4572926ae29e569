"""Whether a gate may be acted on: its grant, offline, and what its arguments would send."""

from __future__ import annotations

from datetime import datetime
from email.headerregistry import Address

from consumers.notification.facts import Fit, Unfit
from consumers.notification.job import Job
from consumers.notification.notice import NotANotice, as_message, notice_from
from core.jwk import TrustedKeys
from producers.grants import GrantInvalid, VerifiedGrant, verify_grant
from producers.sealed_records import Sealing, opened_args
from producers.sealing import Unsealable
from schemas.canonical import action_digest, canonical_json, parse_json_strict


def check(
    job: Job, *, keys: TrustedKeys, sender: Address, now: datetime, sealing: Sealing | None = None
) -> Fit | Unfit:
    """1. The grant; 2. the digest of what would be sent; 3. that it can be read and sent at all.

    A gate that an earlier life began is judged as of its opening: the grant may end after it was
    taken, and the worker is asked again anyhow. Nothing of the arguments is in the reason. Raises
    KeysUnavailable, where they are sealed.
    """
    moment = now if job.remembered is None else job.gate.occurred_at
    try:
        grant = verify_grant(job.gate, keys=keys, now=moment)  # 1.
    except GrantInvalid as error:
        return Unfit(f"the grant: {error}")
    if _digest(grant) != job.gate.action_digest:  # 2.
        return Unfit("the arguments are not those that were approved (action_digest)")
    try:
        args, _ = opened_args(grant.args, job.gate.tenant_id, sealing)  # 3.
        notice = notice_from(args)
        as_message(notice, grant_id=job.grant_id, sender=sender, now=now)
    except (NotANotice, Unsealable) as error:
        return Unfit(f"the arguments: {error}")
    except (ValueError, LookupError, TypeError) as error:
        return Unfit(f"the arguments cannot be written as a mail ({type(error).__name__})")
    return Fit(notice)


def unreadable(job: Job, sealing: Sealing | None) -> str | None:
    """Why what was checked must not be sent any more: it was erased since. Raises KeysUnavailable."""
    args = parse_json_strict(job.gate.args_json or "{}")
    assert isinstance(args, dict), "verify_grant refuses others"
    try:
        opened_args(args, job.gate.tenant_id, sealing)
    except Unsealable as why:
        return f"the arguments: {why}"
    return None


def _digest(grant: VerifiedGrant) -> str:
    effect_type = grant.gate.effect_type
    assert effect_type is not None, "verify_grant refuses it"
    return action_digest(grant.tool_name, effect_type, canonical_json(dict(grant.args)))
