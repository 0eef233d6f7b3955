"""A ledger in a folder of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from activities.ledger.store import Ledger


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The URL of a ledger that is not there yet."""
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an empty ledger, to be copied: quicker than migrating for each test."""
    file = tmp_path_factory.mktemp("ledger") / "ledger.db"
    Ledger.open(f"sqlite:///{file}").close()
    return file


@pytest.fixture
def ledger(url: str, empty_ledger: Path) -> Iterator[Ledger]:
    """An empty ledger."""
    shutil.copy(empty_ledger, url.removeprefix("sqlite:///"))
    opened = Ledger.open(url)
    yield opened
    opened.close()
