"""Signed checkpoints held against the journal they cover."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import pairwise

from consumers.audit.faults import JournalFault
from core.checkpoints import BadCheckpoint, frontier_of, verify_checkpoint
from core.jwk import TrustedKeys
from core.merkle import Frontier
from schemas.codec import Undecodable, decode_bytes
from schemas.journal import JournalCheckpoint


class CheckpointProof:
    """The checkpoints of one partition, each looked at when its entries have been read.

    Who rewrites a journal can compute every hash of it anew, but not these signatures.
    """

    def __init__(
        self,
        partition: int,
        genesis: str,
        values: Iterable[bytes | None],
        *,
        keys: TrustedKeys | None,
        where: str = "audit-checkpoint",
    ) -> None:
        """values: the topic's, in their order. keys: of grants; None: signatures are not proven.

        Raises JournalFault, whose seq is the number of the checkpoint.
        """
        self._partition = partition
        self._genesis = genesis
        self._keys = keys
        self._where = where
        self._tree = Frontier()
        self.covered = 0
        self.count = 0
        found = [self._read(number, value) for number, value in enumerate(values)]
        for number, (before, after) in enumerate(pairwise(found), 1):
            if after.size < before.size:
                raise self._fault(number, "it covers less than the one before it")
        self._ahead = deque(enumerate(found))

    @property
    def signed(self) -> bool:
        """Whether signatures are proven."""
        return self._keys is not None

    def grown(self, leaf: bytes, head_hash: str | None, where: str = "audit-journal") -> None:
        """The next entry: its leaf hash, and its own hash if that is known. Raises JournalFault.

        where: the topic or file of the entries.
        """
        self._tree = self._tree.grown(leaf)
        while self._ahead and self._ahead[0][1].size <= self._tree.size:
            number, checkpoint = self._ahead.popleft()
            if checkpoint.root != self._tree.root.hex():
                raise JournalFault(
                    self._partition,
                    self._tree.size - 1,
                    f"entries {self.covered} to {self._tree.size - 1} are not those that "
                    f"checkpoint {number} signed: the journal was rewritten",
                    where,
                )
            if head_hash is not None and checkpoint.head_hash != head_hash:
                raise self._fault(number, "it names another last entry than the journal has")
            self.covered, self.count = checkpoint.size, self.count + 1

    def finish(self) -> None:
        """The journal ends here. Raises JournalFault."""
        if self._ahead:
            number, checkpoint = self._ahead[0]
            raise self._fault(
                number,
                f"it covers {checkpoint.size} entries, the journal has {self._tree.size}: entries "
                "that were signed are missing",
            )

    def _read(self, number: int, value: bytes | None) -> JournalCheckpoint:
        try:
            checkpoint = decode_bytes(value or b"", JournalCheckpoint)
            if checkpoint.partition != self._partition or checkpoint.size == 0:
                raise BadCheckpoint(
                    f"it covers {checkpoint.size} entries of partition {checkpoint.partition}"
                )
            frontier_of(checkpoint)
            if self._keys is not None:
                verify_checkpoint(checkpoint, genesis=self._genesis, keys=self._keys)
        except Undecodable as error:
            raise self._fault(number, f"it is no checkpoint ({error})") from None
        except BadCheckpoint as error:
            raise self._fault(number, str(error)) from None
        return checkpoint

    def _fault(self, number: int, what: str) -> JournalFault:
        return JournalFault(self._partition, number, what, self._where)
