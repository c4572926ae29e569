"""Whom a deployment believes about policies, people and the context of reviews."""

from __future__ import annotations

from collections.abc import Callable

from consumers.settings import PREFIX, Settings, SettingsError
from core.governing import Trust
from core.jwk import KeySetError, TrustedKeys
from producers.trusted_keys import KeysUnavailable, trusted_keys


def trust_of(settings: Settings, keys: TrustedKeys | None = None) -> Trust | None:
    """As the settings have it here; None where nobody's keys are set: then all is believed.

    keys: the trusted keys if they were read already. Without GRANT_TRUSTED_KEYS the workers' proofs
    are not asked for. Raises SettingsError.
    """
    if keys is None:
        if settings.trusted_keys is None:
            return None
        keys = key_set("TRUSTED_KEYS", settings.trusted_keys)()
    workers = settings.grant_trusted_keys
    return Trust(
        keys=keys,
        audience=settings.audience,
        balancer_id=settings.balancer_id,
        workers=key_set("GRANT_TRUSTED_KEYS", workers)() if workers is not None else None,
    )


def key_set(name: str, location: str) -> Callable[[], TrustedKeys]:
    """Reads a set of keys, again at each call. Raises SettingsError, which names the setting."""

    def read() -> TrustedKeys:
        try:
            return source.current()
        except KeysUnavailable as error:
            raise SettingsError(f"{PREFIX}{name}: {error}") from None

    try:
        source = trusted_keys(location)
    except KeySetError as error:
        raise SettingsError(f"{PREFIX}{name}: {error}") from None
    return read
