"""A ledger of its own for each test: a file of SQLite, and, where a test says so, a database of PostgreSQL.

pytestmark = BOTH                      # or @BOTH at one test: it runs once on each

@SQLITE                                # of a module that runs on both: this one does not
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from activities.ledger.store import Ledger
from tests.ledgers import empty_ledger_file
from tests.postgres import Postgres, postgres


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once for each database that its closest mark names."""
    mark = metafunc.definition.get_closest_marker("databases")
    if mark is not None and "url" in metafunc.fixturenames:
        slow = {"postgresql": [pytest.mark.slow]}  # it starts a server
        chosen = [pytest.param(name, marks=slow.get(name, ())) for name in mark.args]
        metafunc.parametrize("url", chosen, indirect=True)


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a ledger that is not there yet."""
    if getattr(request, "param", "sqlite") == "postgresql":
        server: Postgres = request.getfixturevalue("server")
        filled = "ledger" in request.fixturenames
        return server.database(template=request.getfixturevalue("empty_database") if filled else "template0")
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def ledger(request: pytest.FixtureRequest, url: str) -> Iterator[Ledger]:
    """An empty ledger."""
    if url.startswith("sqlite"):
        shutil.copy(empty_ledger_file(), url.removeprefix("sqlite:///"))
    opened = Ledger.open(url)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def empty_database(server: Postgres) -> str:
    """The name of a database that holds an empty ledger, for the same purpose."""
    Ledger.open(server.database("empty")).close()
    return "empty"


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """A PostgreSQL for all tests of a session; it does not wait for the disk."""
    with postgres(fsync=False) as running:
        yield running
