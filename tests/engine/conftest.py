"""A time-skipping Temporal server for the engine's tests: a gate of 15 minutes takes milliseconds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.engine import house


@pytest.fixture
async def env():
    async with house.test_server(str(Path(sys.executable).parent / "temporal-test-server")) as environment:
        yield environment
