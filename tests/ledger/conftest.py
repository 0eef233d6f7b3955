"""A ledger in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from activities.ledger.store import Ledger


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The URL of a ledger that is not there yet."""
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """An empty ledger."""
    opened = Ledger.open(url)
    yield opened
    opened.close()
