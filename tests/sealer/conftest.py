"""A ledger in a folder of its own, as in tests/ledger."""

from __future__ import annotations

from tests.ledger.conftest import ledger, url

__all__ = ["ledger", "url"]
