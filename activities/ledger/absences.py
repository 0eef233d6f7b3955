"""What is absent by right: the bodies of remediations that were pruned.

A pruned record has its place and its hash, so the tree stays what it was.  That its body is not here any
more has to be on record, with the digest of the export in which it stands.  A body that is gone without
such a record was taken away.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from activities.ledger.findings import TamperedError
from runbooks.model.record import SYSTEM


class Absences:
    """The records without a body that were walked over, and those that a record accounts for."""

    def __init__(self) -> None:
        self.count = 0
        self._open: Counter[str] = Counter()
        self._streams: set[str] = set()

    def take(self, stream: str, seq: int) -> None:
        """Take the next record without a body.

        Raises:
            TamperedError: it belongs to no remediation, and only these are pruned.
        """
        if stream == SYSTEM:
            raise TamperedError(f"the body of record {seq} is missing", seq)
        self.count += 1
        self._open[stream] += 1
        self._streams.add(stream)

    def must_be_whole(self, stream: Any, seq: int) -> None:
        """Refuse a record of a remediation whose other records were pruned: that is done as a whole.

        Raises:
            TamperedError: it is such a one.
        """
        if stream in self._streams:
            raise TamperedError(f"record {seq} belongs to {stream}, of which records were taken away", seq)

    def settle(self, data: Any, seq: int) -> None:
        """Take the record that says that something was pruned.

        Raises:
            TamperedError: other records are gone than it says.
        """
        try:
            gone = sum(self._open.pop(stream, 0) for stream in data["streams"])
            said = data["records"]
        except (TypeError, KeyError) as error:
            raise TamperedError(f"record {seq} does not hold what its kind must", seq) from error
        if gone != said:
            raise TamperedError(f"record {seq} says that {said} records were pruned, but {gone} were", seq)

    def finish(self) -> None:
        """Say that there are no more records.

        Raises:
            TamperedError: a body is gone, and no record accounts for it.
        """
        if self._open:
            stream = min(self._open)
            raise TamperedError(f"bodies of {stream} are gone, and no record says that they were pruned")
