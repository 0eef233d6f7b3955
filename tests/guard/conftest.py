"""One surgery for each test."""

from __future__ import annotations

import pytest

from tests.guard.surgery import Surgery


@pytest.fixture
def surgery(tmp_path):
    made = Surgery(tmp_path)
    yield made
    made.ledger.close()
