"""`python -m activities.ledger.migrations` brings the ledger up to date whose URL it reads from its input."""

from __future__ import annotations

import sys

from activities.ledger.store import Ledger
from runbooks.errors import LedgerError

try:
    Ledger.open(sys.stdin.read().strip()).close()
except LedgerError as error:
    sys.exit(str(error))
