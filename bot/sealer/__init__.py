"""The sealer: another process with another key, which says what the ledger is before anybody can change it."""

from __future__ import annotations
