"""What every executor reads from its settings: its key, who it is, and whose grants it believes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from consumers.settings import Settings, SettingsError
from core.jwk import KeySetError
from producers.executor import Executor, NotAnExecutor, executor_of
from producers.guard import ExecutorGuard
from producers.keys import KeyFileError, SigningKey, read_key
from producers.trusted_keys import KeysUnavailable, TrustedKeysSource, trusted_keys

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ExecutorKeys:
    """Read and found usable. executor: as the trusted keys name it."""

    executor: Executor
    trusted: TrustedKeysSource
    grant_keys: TrustedKeysSource

    def guard(self, settings: Settings) -> ExecutorGuard:
        """The guard of this executor."""
        return ExecutorGuard(
            settings.kafka_config(),
            self.executor.executor_id,
            self.executor.key,
            self.grant_keys.current,
            sealing=settings.sealing(),
        )


def executor_keys(settings: Settings) -> ExecutorKeys:
    """Reads what the settings name. Raises SettingsError, one line for each that is wrong."""
    wrong: list[str] = []
    key = collected(wrong, lambda: _executor_key(settings))
    trusted = collected(wrong, lambda: _keys("TRUSTED_KEYS", settings.trusted_keys, "may sign"))
    grants = collected(
        wrong,
        lambda: _keys("GRANT_TRUSTED_KEYS", settings.grant_trusted_keys, "sign grants (workers)"),
    )
    executor = None
    if key is not None and trusted is not None:
        executor = collected(wrong, lambda: _executor(key, trusted))
    if wrong or not (executor and trusted and grants):
        raise SettingsError(*wrong)
    return ExecutorKeys(executor, trusted, grants)


def collected(wrong: list[str], read: Callable[[], T]) -> T | None:
    """What `read` gives, or None with its complaints in `wrong`."""
    try:
        return read()
    except SettingsError as error:
        wrong += error.lines
        return None


def _executor_key(settings: Settings) -> SigningKey:
    if settings.executor_key is None:
        raise SettingsError(
            "COUNTERSIGN_EXECUTOR_KEY: not set; takes and receipts are signed with it; "
            "make one with: countersign keys new --executor"
        )
    try:
        return read_key(settings.executor_key)
    except KeyFileError as error:
        raise SettingsError(f"COUNTERSIGN_EXECUTOR_KEY: {error}") from None


def _keys(name: str, location: str | None, who: str) -> TrustedKeysSource:
    if location is None:
        raise SettingsError(
            f"COUNTERSIGN_{name}: not set; name the JWKS file or https URL of those who {who}"
        )
    try:
        source = trusted_keys(location)
        source.current()
    except (KeySetError, KeysUnavailable) as error:
        raise SettingsError(f"COUNTERSIGN_{name}: {error}") from None
    return source


def _executor(key: SigningKey, trusted: TrustedKeysSource) -> Executor:
    try:
        return executor_of(key, trusted.current())
    except (NotAnExecutor, KeysUnavailable) as error:
        raise SettingsError(f"COUNTERSIGN_TRUSTED_KEYS: {error}") from None
