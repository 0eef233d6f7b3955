"""When a checkpoint is due."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from activities.ledger.checkpoints import Look

SEAL_EVERY = timedelta(seconds=60)
"""How long a record waits for its checkpoint, if it is not urgent."""

SILENCE = timedelta(hours=1)
"""After so long without a new record, that is sealed too: silence must be provable."""


@dataclass(frozen=True)
class Cadence:
    """How long records wait.

    Attributes:
        urgent: at least so long between two checkpoints; what is urgent waits for nothing else.
    """

    urgent: timedelta = timedelta()
    other: timedelta = SEAL_EVERY
    silence: timedelta = SILENCE

    def is_due(self, seen: Look, sealed: int, waited: timedelta) -> bool:
        """Return whether it is time for a checkpoint.

        Args:
            sealed: how many records the last one covers.
            waited: since the last one.
        """
        if seen.urgent >= sealed:
            return waited >= self.urgent
        if seen.size > sealed:
            return waited >= self.other
        return seen.size > 0 and waited >= self.silence
