"""A ledger that does not answer now, and one that is wrong: scripts try the first again, and not the second."""

from __future__ import annotations

import json
import sqlite3
from contextlib import contextmanager

import pytest

from activities.ledger import sqlite
from bot.cli.exits import Exit
from runbooks.errors import LedgerAwayError
from tests.cli.terminal import paramedic
from tests.components import free_port
from tests.ledgers import new_ledger
from tests.postgres import Postgres, postgres

NEED_IT = (("status",), ("timeline", "R-7F3K2Q"), ("ledger", "verify"), ("ledger", "migrate"))


@pytest.fixture(scope="module")
def server():
    with postgres(fsync=False) as running:
        yield running


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The settings of an installation with an empty ledger in a file, which is not waited for long."""
    monkeypatch.setattr(sqlite, "_PRAGMAS", (*sqlite._PRAGMAS, "busy_timeout = 50"))
    new_ledger(tmp_path / "ledger.db").close()
    return {"data": tmp_path}


@contextmanager
def held(home, *statements):
    """Let another program hold the file's lock."""
    holder = sqlite3.connect(home["data"] / "ledger.db", isolation_level=None)
    try:
        for statement in statements:
            holder.execute(statement)
        yield
    finally:
        holder.close()


def complaint(result):
    return json.loads(result.stderr)


@pytest.mark.parametrize("command", NEED_IT, ids=" ".join)
def test_a_server_that_is_down_may_be_tried_again(command, tmp_path):
    """Whatever is asked of it; the sentence is the same as ever, and names the server."""
    url = f"postgresql+psycopg://ann:s3cret@127.0.0.1:{free_port()}/ledger"

    result = paramedic(*command, "--json", ledger_url=url, data=tmp_path)

    assert (result.exit_code, result.stdout) == (Exit.UNREACHABLE, "")
    assert complaint(result)["code"] == LedgerAwayError.code
    assert "see to it that PostgreSQL runs" in complaint(result)["error"]


def wrong_urls(server: Postgres):
    return {
        "password": server.url("postgres", password="wrong"),
        "user": server.url("postgres", user="nobody"),
        "database": server.url("nowhere"),
        "tables": server.database(),
        "port": server.url("postgres").replace(str(server.port), "99999"),
        "url": "postgres//ann@db",
        "option": server.url("postgres") + "?bogus=1",
    }


@pytest.mark.parametrize("what", ["password", "user", "database", "tables", "port", "url", "option"])
def test_what_is_wrong_stays_wrong(server, what, tmp_path):
    """To try that again helps nobody."""
    result = paramedic("status", "--json", ledger_url=wrong_urls(server)[what], data=tmp_path)

    assert (result.exit_code, complaint(result)["code"]) == (Exit.WRONG, "ledger_unavailable")


def test_a_file_that_nobody_else_may_even_read_now_may_be_tried_again(home):
    """It is the right file: nothing is said of where another may be."""
    with held(home, "pragma locking_mode = exclusive", "begin exclusive", "create table mine (x)"):
        result = paramedic("status", "--json", **home)

    assert (result.exit_code, complaint(result)["code"]) == (Exit.UNREACHABLE, LedgerAwayError.code)
    assert complaint(result)["error"].endswith(
        "another process holds its lock; end that process or wait for it"
    )


def test_a_file_that_cannot_be_written_now_may_be_tried_again(home):
    """To look does not need the lock."""
    with held(home, "begin immediate"):
        looked = paramedic("status", **home)
        issued = paramedic("login", "issue", "slack:T1/U1", "--for", "1h", "--reason", "x", "--json", **home)

    assert (looked.exit_code, issued.exit_code) == (Exit.DONE, Exit.UNREACHABLE)
    assert complaint(issued)["code"] == LedgerAwayError.code


@pytest.mark.parametrize(
    "content", [b"no database at all, but long enough " * 40, None], ids=["damaged", "none"]
)
def test_a_file_that_is_wrong_stays_wrong(tmp_path, content):
    """And what is said then names where to look instead."""
    if content:
        (tmp_path / "ledger.db").write_bytes(content)

    result = paramedic("status", "--json", data=tmp_path)

    assert (result.exit_code, complaint(result)["code"]) == (Exit.WRONG, "ledger_unavailable")
    assert "PARAMEDIC_DATA says in which folder" in complaint(result)["error"]
