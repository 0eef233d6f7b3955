"""What touches the world: one module for each outside system, and the ledger."""

from __future__ import annotations
