"""`python -m activities.ledger.migrations URL` brings the ledger at URL up to date."""

from __future__ import annotations

import sys

from activities.ledger.store import Ledger
from runbooks.errors import LedgerError

try:
    Ledger.open(sys.argv[1]).close()
except LedgerError as error:
    sys.exit(str(error))
