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
PARKED_CHARS_MAX: Final = 65_536
"""Of the JSON text of a command that waits; 16 of them stay far under a record's 4 MiB."""
LINEAGE_NAMES_MAX: Final = 256
"""People and agents behind all versions of a package; as long as a list of ids may be."""
APPROVALS_PER_VERSION_MAX: Final = 32
"""Four times the slots of a rule, for approvals that lost their standing and were replaced."""
RECEIPTS_PER_GRANT_MAX: Final = 32
"""In doubt, resolved, outcome: a handful is normal."""
RECEIPTS_OF_OTHERS_MAX: Final = 16
"""Denials and outcomes of them: no crowd of others may keep out the receipt of who took it."""
COMMENTS_KEPT_MAX: Final = 32
"""Shown beside the package; the log has them all."""
COMMENT_CHARS_KEPT_MAX: Final = 2_000
"""Of each of them; 32 of them stay under 64 Ki characters."""
PRESENTED_KEPT_MAX: Final = 64
"""To whom a version was shown; more have not decided on it either."""
EXCEPTIONS_PER_PACKAGE_MAX: Final = 16
"""Policy exceptions granted at one package."""
EXCEPTION_CHARS_KEPT_MAX: Final = 2_000
"""Of each text of such an exception; its decision has them whole, and a state must fit a record."""
EXCEPTIONS_USED_MAX: Final = 64
"""Policy exceptions a plan rests on; with those granted at the package itself, a decision lists all."""
RECUSED_MAX: Final = 256
"""Reviewers who stepped aside; as long as a list of ids may be."""
TASK_KEYS_PER_PACKAGE_MAX: Final = 512
"""Commands about the review task: comments must not use up the keys that decisions need."""
REFUSALS_KEPT_MAX: Final = 8
"""Shown by `explain`; the log has them all."""
SLOTS_MAX: Final = 8
"""Of a rule; tightening adds at most two. Matching people to slots is exponential in the slots."""
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
DURATION_S_MAX: Final = 3660 * 24 * 3600
"""Ten years: a longer one in a policy is a slip, and must not run past the end of the calendar."""

assert SLOTS_MAX * 2 <= APPROVALS_PER_VERSION_MAX, "a full quorum and its refilling must fit"
assert TASK_KEYS_PER_PACKAGE_MAX < KEYS_PER_PACKAGE_MAX, "decisions need keys of their own"
assert RECEIPTS_OF_OTHERS_MAX < RECEIPTS_PER_GRANT_MAX, "the taker's receipts need room"
