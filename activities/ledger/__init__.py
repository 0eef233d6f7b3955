"""The ledger: the append-only, verifiable record, and the tables that stand beside it.

The only code that knows the database.
"""

from __future__ import annotations
