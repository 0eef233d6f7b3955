"""What the sealer is told on its command line, what its exit code says, and what it warns of."""

from __future__ import annotations

ONCE = "once"
"""Seal and publish what there is, and end."""

EVERYTHING = "everything"
"""Compare the whole ledger before."""

REFUSED = 3
"""Exit code where the ledger is not what was sealed before."""

BEHIND = 4
"""Exit code where it is sealed, and not every destination has taken it."""

NOWHERE = (
    "checkpoints stay in the database, where its owner can change them: set PARAMEDIC_CHECKPOINT_FOLDER, "
    "PARAMEDIC_CHECKPOINT_GIT or PARAMEDIC_CHECKPOINT_SSH"
)
