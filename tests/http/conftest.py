"""One way in for each test."""

from __future__ import annotations

import pytest

from tests.way_in import WayIn


@pytest.fixture
def way(tmp_path):
    with WayIn(tmp_path) as made:
        yield made
