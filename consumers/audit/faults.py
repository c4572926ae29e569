"""What a proof says when something is not what was written."""

from __future__ import annotations


class JournalFault(Exception):
    """The first thing that is not what was written. `where`: the topic, or the bundle's file."""

    def __init__(self, partition: int, seq: int, what: str, where: str = "audit-journal") -> None:
        super().__init__(f"{where} partition {partition}, seq {seq}: {what}")
        self.partition = partition
        self.seq = seq
        self.what = what
        self.where = where
