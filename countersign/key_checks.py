"""What `doctor` finds about keys: readable, fit for their use, and trusted by the other side."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from consumers.settings import Settings
from core.jwk import KeySetError, TrustedKey, TrustedKeys
from countersign.findings import Finding, error, ok, warning
from producers.keys import KeyFileError, SigningKey, read_key
from producers.trusted_keys import KeysUnavailable, trusted_keys

_NEW: str = "make one: countersign keys new"


def check_keys(settings: Settings, now: datetime) -> list[Finding]:
    """Findings about every key setting."""
    trusted, found = _key_set("TRUSTED_KEYS", settings.trusted_keys, now)
    granting, more = _key_set("GRANT_TRUSTED_KEYS", settings.grant_trusted_keys, now)
    found += more
    if trusted is not None:
        found += _governed(list(trusted.by_kid.values()))
    found += _key("GRANT_KEY", settings.grant_key, lambda key: _grant_fits(key, granting))
    found += _key("EXECUTOR_KEY", settings.executor_key, lambda key: _executor_fits(key, trusted))
    return found


def _key_set(
    name: str, location: str | None, now: datetime
) -> tuple[TrustedKeys | None, list[Finding]]:
    variable = f"COUNTERSIGN_{name}"
    if location is None:
        who = "the worker refuses to start" if name == "TRUSTED_KEYS" else "no executor can verify"
        return None, [warning(name, f"not set: {who}", f"set {variable} to a JWKS file")]
    try:
        keys = trusted_keys(location).current()
    except (KeySetError, KeysUnavailable) as failure:
        return None, [error(name, str(failure), f"mend the file, or {variable}")]
    ended = [
        warning(name, f"key {key.kid}: {why}", "replace it")
        for key in keys.by_kid.values()
        if (why := key.unusable_at(now)) is not None
    ]
    wrong = [
        error(name, f"key {key.kid} speaks for somebody; such a key signs no grants",
              "leave only keys made with: countersign keys new --grant")
        for key in keys.by_kid.values()
        if name == "GRANT_TRUSTED_KEYS" and not key.is_bare
    ]  # fmt: skip
    if not keys.by_kid:
        return keys, [error(name, "the set is empty: nobody is trusted", _NEW)]
    return keys, [ok(name, _kinds(list(keys.by_kid.values()))), *ended, *wrong]


def _governed(keys: list[TrustedKey]) -> list[Finding]:
    """Who is believed about policies and people, tenant by tenant."""
    name, governors = "TRUSTED_KEYS", [key for key in keys if key.policy_admin]
    tenants = sorted({tenant for key in keys for tenant in key.tenant_ids})
    found = []
    for tenant in tenants:
        of_tenant = [key for key in governors if tenant in key.tenant_ids]
        if not of_tenant:
            what = (
                f"no policy_admin key of {tenant}: the broker's ACLs alone guard its policies and "
                "directories"
            )
            mend = f"make one: countersign keys new --admin G --tenant {tenant}"
            found.append(warning(name, what, mend))
        elif all(key.valid_from is None for key in of_tenant):
            what = f"the governors of {tenant} have no valid_from: nothing unsigned ever counted"
            mend = "apply its policy and people with --key, or say from when the keys are valid"
            found.append(warning(name, what, mend))
    return found


def _kinds(keys: list[TrustedKey]) -> str:
    counts = {
        "agents": sum(key.agent_id is not None for key in keys),
        "reviewers": sum(key.reviewer_id is not None for key in keys),
        "executors": sum(key.executor_id is not None for key in keys),
        "gateways": sum(key.is_gateway for key in keys),
        "grant keys": sum(key.is_bare for key in keys),
        "policy admins": sum(key.policy_admin for key in keys),
    }
    return ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)


def _key(name: str, path: Path | None, fits: Callable[[SigningKey], Finding]) -> list[Finding]:
    if path is None:
        needed_by = "the worker" if name == "GRANT_KEY" else "the notifier"
        mend = f"set COUNTERSIGN_{name} to a PEM file where {needed_by} runs"
        return [warning(name, f"not set: {needed_by} needs it", mend)]
    try:
        return [fits(read_key(path))]
    except KeyFileError as failure:
        return [error(name, str(failure), _NEW)]


def _grant_fits(key: SigningKey, granting: TrustedKeys | None) -> Finding:
    name = "GRANT_KEY"
    if key.algorithm != "EdDSA":
        return error(name, "grants are signed with Ed25519 only", f"{_NEW} --grant")
    if granting is not None and granting.find(key.kid) is None:
        mend = "add its JWK to COUNTERSIGN_GRANT_TRUSTED_KEYS"
        return error(name, "no executor would believe its grants", mend)
    return ok(name, f"kid {key.kid}")


def _executor_fits(key: SigningKey, trusted: TrustedKeys | None) -> Finding:
    name = "EXECUTOR_KEY"
    if trusted is None:
        return ok(name, f"kid {key.kid}; not compared, for there are no trusted keys")
    entry = trusted.find(key.kid)
    if entry is None or entry.executor_id is None:
        mend = "add its JWK, with executor_id and tools, to COUNTERSIGN_TRUSTED_KEYS"
        return error(name, "it is no executor's key in the trusted keys", mend)
    if not entry.tools:
        return error(name, "it may take grants of no tool", "add tools to its JWK")
    return ok(name, f"executor {entry.executor_id}, tools {', '.join(entry.tools)}")
