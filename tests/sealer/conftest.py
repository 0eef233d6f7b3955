"""A ledger in a folder of its own, as in tests/ledger."""

from __future__ import annotations

from tests.ledger.conftest import empty_ledger, ledger, url

__all__ = ["empty_ledger", "ledger", "url"]
