"""Every limit of the rules, with its reason. Units stand last in the name."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

RULES_VERSION: Final = 1
"""Stands in every journal entry; raised when the same input would be judged otherwise."""

VERSIONS_PER_PACKAGE_MAX: Final = 64
"""A package revised more often than this is not going to be decided; keeps the state small."""
KEYS_PER_PACKAGE_MAX: Final = 1024
"""Idempotency keys remembered; 1 024 x about 150 bytes keeps a state under 256 KiB."""
PARKED_PER_PACKAGE_MAX: Final = 16
"""Commands that may wait for a package that nobody has asked for yet."""
APPROVALS_PER_VERSION_MAX: Final = 32
"""Twice the slots a plan may have."""
RECEIPTS_PER_GRANT_MAX: Final = 32
"""In doubt, resolved, outcome: a handful is normal."""
REFUSALS_KEPT_MAX: Final = 8
"""Shown by `explain`; the log has them all."""
SLOTS_MAX: Final = 8
"""Matching people to slots is exponential in the slots."""
LADDER_STEPS_MAX: Final = 16
"""A finite ladder, then expiry."""
FIRES_PER_TRANSACTION_MAX: Final = 500
"""Keeps a transaction under its time-out when a day's timers come due at once."""
ROLES_MAX: Final = 64
"""Roles in role_order."""
RULES_MAX: Final = 512
"""Rules and tool rows in a policy."""
PARK_TTL_MAX: Final = timedelta(days=1)
"""A command waiting longer than this has lost its package."""

assert SLOTS_MAX * 2 <= APPROVALS_PER_VERSION_MAX, "a full quorum and its refilling must fit"
