"""What is PostgreSQL's own: roles, locks, lost connections, and errors that say what to do."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from activities.ledger import checkpoints, impatient, notifications, records
from activities.ledger.database import database_of
from activities.ledger.notifications import Kept
from activities.ledger.roles import READER, SEALER, WRITER, render_roles
from activities.ledger.store import Ledger
from activities.ledger.transaction import Tail, Tails, Transaction
from activities.ledger.verification import VerifiedState, verify
from bot.http.receiver import DEADLINE
from runbooks.errors import LedgerAwayError, LedgerError
from tests.components import free_port
from tests.ledger.material import NIGHT, POSTGRESQL, admitted, call, delivery, entry, received, tamper
from tests.postgres import OWNER, PASSWORD, Postgres, driver_url, postgres

pytestmark = POSTGRESQL

EVERYTHING_BUT_OURS = "pid <> pg_backend_pid() and application_name = 'paramedic'"


@contextmanager
def as_owner(url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(driver_url(url), autocommit=True) as connection:
        yield connection


def cut_all(url: str) -> int:
    """Let the server end all connections of ledgers to this database; return how many there were."""
    with as_owner(url) as owner:
        found = owner.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            f"where datname = current_database() and {EVERYTHING_BUT_OURS}"
        ).fetchall()
    return len(found)


# --- roles ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Users:
    """The URLs of the same ledger, for users who have one of the roles each."""

    writer: str
    reader: str
    sealer: str


@pytest.fixture
def users(ledger: Ledger, url: str, server: Postgres) -> Users:
    """One user for each role."""
    name = url.rpartition("/")[2]
    with as_owner(url) as owner:
        owner.execute(render_roles())
        owner.execute(render_roles())  # carried out again, it changes nothing
        for role in (WRITER, READER, SEALER):
            owner.execute(f"create user {name}_{role} password 'pw' in role {role}")
    return Users(
        *(server.url(name, user=f"{name}_{role}", password="pw") for role in (WRITER, READER, SEALER))
    )


async def test_the_writer_can_do_the_bot_s_work(users: Users) -> None:
    """All that a remediation needs, with no more than the role allows; it finds the tables made."""
    bot = Ledger.open(users.writer)
    try:
        await bot.write_beside(
            lambda tables: notifications.keep(tables, Kept("n1", "here", "am", NIGHT, b"{}"))
        )
        await bot.write(lambda t: notifications.forget(t, [1]))
        (inbox_entry,) = received(bot, delivery())
        name = admitted(bot, call(inbox_entry)).remediation
        bot.write_now(lambda t: t.append(entry(f"{name}/x", name)))
        assert bot.read_now(verify).state is VerifiedState.OK
    finally:
        bot.close()


@pytest.mark.parametrize(
    "statement",
    [
        "update record set outcome = 'ok'",
        "update record set body = ''",
        "delete from record",
        "truncate record",
        "alter table record disable trigger all",
        "drop trigger record_update on record",
        "drop table record",
        "set session_replication_role = replica",
        "delete from head",
        "delete from lease",
        "update approval_use set gate = ''",
        "delete from checkpoint",
        "create table mine (x int)",
    ],
)
def test_the_writer_cannot_change_the_past(users: Users, statement: str) -> None:
    """Whoever breaks into the bot can add lies, but takes nothing back."""
    with (
        psycopg.connect(driver_url(users.writer)) as bot,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        bot.execute(statement)


@pytest.mark.parametrize("statement", ["truncate record cascade", "truncate head", "truncate lease"])
def test_the_owner_does_not_empty_a_table_by_accident(ledger: Ledger, url: str, statement: str) -> None:
    """A trigger for each row would not see that."""
    ledger.write_now(lambda t: t.append(entry("a")))

    with as_owner(url) as owner, pytest.raises(psycopg.errors.RestrictViolation):
        owner.execute(statement)


def test_readers_and_sealers_read_and_verify_but_append_nothing(users: Users) -> None:
    """Those who watch cannot be used to add records."""
    for url in (users.reader, users.sealer):
        watcher = Ledger.open(url, create=False)
        try:
            assert watcher.read_now(verify).state is VerifiedState.OK
            for work in (lambda t: t.append(entry("a")), Transaction.touch):
                with pytest.raises(LedgerError, match=r"grant what `paramedic ledger roles` prints"):
                    watcher.write_now(work)
        finally:
            watcher.close()


def test_a_sealer_adds_checkpoints_and_a_reader_does_not(users: Users) -> None:
    """What was sealed stands; nobody changes it."""
    seal = checkpoints.Seal(number=0, size=0, note="a note")
    for url, may in ((users.sealer, True), (users.reader, False)):
        watcher = Ledger.open(url, create=False)
        try:
            with nullcontext() if may else pytest.raises(LedgerError, match="permission denied"):
                watcher.write_now(lambda t: checkpoints.keep(t, seal))
            assert watcher.read_now(lambda c: checkpoints.seal_at(c, 0)) == seal
            with pytest.raises(LedgerError, match="permission denied"):
                watcher.write_now(lambda t: t.tables.execute(text("update checkpoint set note = ''")))
        finally:
            watcher.close()


def test_a_user_who_may_not_make_tables_is_told_who_does(server: Postgres, url: str) -> None:
    """The bot's own user cannot migrate where the tables are somebody else's."""
    name = url.rpartition("/")[2]
    with as_owner(url) as owner:
        owner.execute(f"create user {name}_stranger password 'pw'")

    with pytest.raises(LedgerError, match="let the owner run `paramedic ledger migrate`"):
        Ledger.open(server.url(name, user=f"{name}_stranger", password="pw"))


# --- verification ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("update record set body = overlay(body placing '\\x00'::bytea from 20) where seq = 2", "the hash"),
        ("update record set outcome = 'failed' where seq = 2", "the column outcome of record 2"),
        ("delete from record where seq = 2", "record 2 is missing"),
        ("delete from record where seq > 2", "the head knows of"),
        ("delete from head", "the head of the ledger is missing"),
    ],
)
def test_what_the_owner_changes_is_found(ledger: Ledger, url: str, statement: str, problem: str) -> None:
    """Verification does not depend on the database's own guards."""
    (inbox_entry,) = received(ledger, delivery())
    admitted(ledger, call(inbox_entry))
    ledger.write_now(lambda t: [t.append(entry(f"e{number}")) for number in range(3)])

    tamper(url, statement)
    report = ledger.read_now(verify)

    assert report.state is VerifiedState.TAMPERED
    assert problem in report.problem


# --- several who write ----------------------------------------------------------------------------

LONG = 30.0  # seconds; a server on a slow machine does not say nothing for as long


@dataclass
class Patience:
    """For how long a connection waits for a silent server."""

    seconds: float = LONG


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> Patience:
    """The patience of all connections, those that are open already too, for a test to change."""
    same = Patience()
    of_all = property(lambda _: same.seconds, lambda *_: None)
    monkeypatch.setattr(impatient.ImpatientConnection, "patience", of_all)
    return same


async def test_writers_of_several_processes_take_turns(ledger: Ledger, url: str) -> None:
    """However they interleave, each place is given once and each stream is one chain."""
    others = [Ledger.open(url) for _ in range(3)]
    try:
        async with asyncio.TaskGroup() as group:
            for number, each in enumerate([ledger, *others]):
                for turn in range(40):
                    group.create_task(each.append(entry(f"{number}/{turn}", f"R-{turn % 3}")))
    finally:
        for each in others:
            each.close()

    report = await ledger.read(verify)
    assert (report.state, report.size) == (VerifiedState.OK, 160)


@pytest.mark.usefixtures("patience")
async def test_who_waits_for_the_same_lock_waits_once(ledger: Ledger, url: str) -> None:
    """They share one attempt and its error.  What is written beside the ledger needs no lock and waits for nobody."""
    with psycopg.connect(driver_url(url)) as holder:
        holder.execute("select * from head for update")
        first = asyncio.create_task(ledger.append(entry("first")))
        await asyncio.sleep(0)  # the writer has it, and the others come together
        others = [asyncio.create_task(ledger.append(entry(f"{number}"))) for number in range(6)]
        kept = Kept("n1", "here", "am", NIGHT, b"{}")
        beside = asyncio.create_task(ledger.write_beside(lambda tables: notifications.keep(tables, kept)))
        begun = time.monotonic()
        ended, _ = await asyncio.wait({beside, others[-1]}, return_when=asyncio.FIRST_COMPLETED)
        errors = await asyncio.gather(first, *others, return_exceptions=True)
        took = time.monotonic() - begun

    assert ended == {beside}
    await beside
    assert [type(each) for each in errors] == [LedgerAwayError] * 7
    assert took < 10  # two attempts of 2 s, not seven


@pytest.mark.usefixtures("patience")
async def test_a_lock_that_another_process_holds_is_an_error_after_a_while(ledger: Ledger, url: str) -> None:
    """Nobody waits for ever; the error says what is wrong; and afterwards it goes on."""
    with psycopg.connect(driver_url(url)) as holder:
        holder.execute("select * from head for update")
        with pytest.raises(LedgerAwayError, match="another process holds its lock"):
            await ledger.append(entry("a"))

    assert (await ledger.append(entry("a")))[0].seq == 0


def test_to_look_does_not_wait_for_those_who_write(ledger: Ledger, url: str) -> None:
    """`paramedic ledger tail` answers also while a writer is stuck."""
    ledger.write_now(lambda t: t.append(entry("a")))
    with psycopg.connect(driver_url(url)) as holder:
        holder.execute("select * from head for update")
        looking = Ledger.open(url, create=False)
        assert looking.read_now(records.size) == 1
        looking.close()


def test_the_server_cuts_off_who_holds_the_lock_and_does_nothing(ledger: Ledger) -> None:
    """A writer that is stopped in the middle must not stop all others."""
    shown = ledger.write_now(
        lambda t: [
            t.connection.execute(text(f"show {name}")).scalar()
            for name in ("lock_timeout", "idle_in_transaction_session_timeout", "synchronous_commit")
        ]
    )

    assert shown == ["2s", "5s", "on"]


def test_what_is_remembered_of_streams_holds_for_one_content_only() -> None:
    """After a crash took a soft commit back, another record may stand at the same place."""
    tails = Tails()
    tails.at(b"of three")
    tails.move(b"of four", {"R-1": Tail(4, "aa", ended=False)})

    assert tails.at(b"of four") == {"R-1": Tail(4, "aa", ended=False)}
    assert tails.at(b"of four others") == {}


# --- the disk -------------------------------------------------------------------------------------


def test_only_what_need_not_wait_does_not_wait(ledger: Ledger) -> None:
    """And the one after waits again."""

    def waits(transaction: Transaction) -> str:
        return str(transaction.connection.execute(text("show synchronous_commit")).scalar())

    async def ask() -> list[str]:
        return [await ledger.write(waits, durable=durable) for durable in (True, False, True)]

    assert asyncio.run(ask()) == ["on", "off", "on"]


def test_a_server_that_is_told_not_to_wait_waits_all_the_same(ledger: Ledger, url: str) -> None:
    """Somebody turned it off for all; what is acknowledged here must be durable.  A stronger setting stands."""
    for told, holds in (("off", "on"), ("remote_apply", "remote_apply")):
        with as_owner(url) as owner:
            owner.execute(f"alter role {OWNER} set synchronous_commit = '{told}'")
        try:
            other = Ledger.open(url)
            shown = other.write_now(
                lambda t: str(t.connection.execute(text("show synchronous_commit")).scalar())
            )
            other.close()
        finally:
            with as_owner(url) as owner:
                owner.execute(f"alter role {OWNER} reset synchronous_commit")
        assert shown == holds


async def test_a_barrier_reaches_the_disk(ledger: Ledger, url: str) -> None:
    """What did not wait is flushed with it: the server's own count of what is on the disk says so."""
    await ledger.write(lambda t: t.append(entry("soft")), durable=False)
    with as_owner(url) as owner:
        (written,) = owner.execute("select pg_current_wal_insert_lsn()").fetchone() or ()

    await ledger.barrier()

    with as_owner(url) as owner:
        reached = owner.execute("select pg_current_wal_flush_lsn() >= %s::pg_lsn", [written]).fetchone()
    assert reached == (True,)


# --- lost connections -----------------------------------------------------------------------------


async def test_a_connection_lost_while_idle_is_not_noticed(ledger: Ledger, url: str) -> None:
    """A restart of the server between two appends costs nobody anything."""
    await ledger.append(entry("a"))
    await asyncio.gather(*(ledger.read(records.size) for _ in range(4)))

    assert cut_all(url) >= 2

    assert await ledger.read(records.size) == 1
    assert (await ledger.append(entry("b")))[0].seq == 1
    assert await asyncio.gather(*(ledger.read(records.size) for _ in range(4))) == [2] * 4


async def test_work_in_flight_when_the_connection_is_lost_is_an_error_and_nothing_is_kept(
    ledger: Ledger, url: str
) -> None:
    """Whoever waits hears of it, may try again, and finds one record."""

    def cut_off(transaction: Transaction) -> None:
        transaction.append(entry("a"))
        transaction.flush()
        cut_all(url)

    with pytest.raises(LedgerAwayError, match="the server was stopped"):
        await ledger.write(cut_off)

    assert (await ledger.append(entry("a"), entry("b")))[0].seq == 0
    assert (await ledger.read(verify)).state is VerifiedState.OK


async def test_a_connection_that_stays_in_the_middle_of_a_command_is_given_up(ledger: Ledger) -> None:
    """It refuses all later commands, and no error says that it is lost: a new one does the next work."""
    await ledger.append(entry("before"))

    def leave_in_a_command(transaction: Transaction) -> None:
        transaction.tables.connection.dbapi_connection.pgconn.send_query(b"SELECT 1")

    with pytest.raises(LedgerAwayError):
        await ledger.write(leave_in_a_command)

    assert (await ledger.append(entry("after")))[0].seq == 1


async def test_a_query_that_is_cut_off_is_asked_again_once(ledger: Ledger, url: str) -> None:
    """A question changes nothing, so it may be repeated."""
    asked: list[int] = []

    def ask(connection: object) -> int:
        if not asked:
            cut_all(url)
        asked.append(1)
        return records.size(connection)

    assert await ledger.read(ask) == 0
    assert len(asked) == 2


def test_a_ledger_that_is_closed_after_its_server_went_says_nothing(ledger: Ledger, url: str) -> None:
    """Nobody minds then."""
    cut_all(url)
    ledger.close()


# --- a server that stands still -------------------------------------------------------------------


async def test_a_server_that_stands_still_is_an_error_and_not_a_wait_for_ever(
    ledger: Ledger, server: Postgres, patience: Patience
) -> None:
    """Who writes or reads hears of it, on the old connection and on a new one; and afterwards it goes on."""
    await ledger.append(entry("a"))
    with server.standing_still():
        patience.seconds = 0.3  # what is tested is that they are given up, and not when
        asked = (ledger.append(entry("b")), ledger.append(entry("c")), ledger.read(records.size))
        lost = await asyncio.gather(*asked, return_exceptions=True)
        patience.seconds = LONG
    assert [type(each) for each in lost] == [LedgerAwayError] * 3, lost
    assert (await ledger.append(entry("b")))[0].event_id == "b"
    assert (await ledger.read(verify)).state is VerifiedState.OK


def test_the_writer_gives_up_before_a_sender_does(ledger: Ledger) -> None:
    """Alertmanager is answered 503 within 5 s; and nobody gives up while the server waits for a lock."""
    patience = ledger.write_now(lambda t: t.tables.connection.driver_connection.patience)

    assert 2.0 < patience < DEADLINE
    assert ledger.read_now(lambda c: c.connection.driver_connection.patience) > patience


async def test_one_lost_connection_is_one_error_for_all_who_share_the_commit(
    ledger: Ledger, url: str
) -> None:
    """To try each on its own, against a server that is away, would take that long for each."""
    tried: list[int] = []
    begun, gate = threading.Event(), threading.Event()

    def cut_off(transaction: Transaction) -> None:
        tried.append(1)
        cut_all(url)
        transaction.find("x")

    def hold(_: Transaction) -> None:
        begun.set()
        gate.wait(20)

    held = asyncio.create_task(ledger.write(hold))
    await asyncio.to_thread(begun.wait, 20)
    several = [asyncio.create_task(ledger.write(cut_off)) for _ in range(3)]
    await asyncio.sleep(0)  # all of them are queued behind the first
    gate.set()
    await held

    assert {type(each) for each in await asyncio.gather(*several, return_exceptions=True)} == {
        LedgerAwayError
    }
    assert len(tried) == 1


# --- errors ---------------------------------------------------------------------------------------


def refused(url: str) -> str:
    with pytest.raises(LedgerError) as caught:
        Ledger.open(url)
    said = str(caught.value)
    assert PASSWORD not in said
    assert "wrong-secret" not in said
    assert "\n" not in said
    return said


def test_errors_say_what_to_do_and_never_the_password(server: Postgres) -> None:
    """They end up in logs and on terminals."""
    assert "look at the user and the password" in refused(server.url("postgres", password="wrong-secret"))
    assert "`createdb` makes a database" in refused(server.url("nowhere"))
    closed = f"postgresql+psycopg://{OWNER}:{PASSWORD}@127.0.0.1:{free_port()}/ledger"
    assert "see to it that PostgreSQL runs" in refused(closed)
    assert "see to it that PostgreSQL runs" in refused(f"{closed}?password=wrong-secret")
    assert "look at the host in" in refused("postgresql+psycopg://ann@nowhere.invalid/ledger")
    assert "is not a database URL" in refused(f"postgres//{OWNER}:{PASSWORD}@db/ledger")


def kind_of(url: str) -> type[LedgerError]:
    """Return the error with which this ledger is not opened."""
    with pytest.raises(LedgerError) as caught:
        Ledger.open(url)
    return caught.type


@contextmanager
def answering(answer: Callable[[socket.socket], object]) -> Iterator[str]:
    """Give the URL of something that takes connections, and does no more with them than this."""
    with socket.create_server(("127.0.0.1", 0)) as listening, ExitStack() as peers:

        def serve() -> None:
            with suppress(OSError):  # nobody listens any more
                while True:
                    answer(peers.enter_context(listening.accept()[0]))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"postgresql+psycopg://ann@127.0.0.1:{listening.getsockname()[1]}/ledger"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_server_that_cannot_be_reached_may_be_tried_again(tmp_path: Path) -> None:
    """No machine of that name, nobody there, or somebody who hangs up, or says nothing."""
    with answering(socket.socket.close) as hangs_up, answering(lambda _: None) as says_nothing:
        for url in (
            "postgresql+psycopg://ann@nowhere.invalid/ledger",
            f"postgresql+psycopg://ann@127.0.0.1:{free_port()}/ledger",
            f"postgresql+psycopg://ann@/ledger?host={tmp_path}",
            hangs_up,
            says_nothing,
        ):
            assert kind_of(url) is LedgerAwayError, url


def test_a_server_that_takes_nobody_now_may_be_tried_again(server: Postgres) -> None:
    """It says so before it knows who asks, so there are only its words."""
    with as_owner(server.database()) as owner:
        owner.execute("create user only_one password 'pw' connection limit 1")
        busy = server.url(owner.info.dbname, user="only_one", password="pw")
    with as_owner(busy):
        assert kind_of(busy) is LedgerAwayError


@pytest.mark.parametrize(
    "said",
    [
        "FATAL:  sorry, too many clients already",
        "FATAL:  remaining connection slots are reserved for non-replication superuser connections",
        "FATAL:  the database system is starting up",
        "FATAL:  the database system is in recovery mode",
        "FATAL:  terminating connection due to administrator command",
        "PostgreSQL has said nothing for 2.5 s",
    ],
)
def test_what_a_server_says_that_takes_nobody_is_known(said: str) -> None:
    """In the words of PostgreSQL 15; each is rare, or takes long, to be seen in a test."""
    error = psycopg.OperationalError(f'connection to server at "db", port 5432 failed: {said}')

    assert database_of("postgresql://db/ledger").is_away(error)


def test_a_server_that_shuts_down_may_be_tried_again() -> None:
    """It waits for those who are connected, and takes nobody else."""
    with postgres(fsync=False) as server:
        url = server.database()
        with as_owner(url):
            server.stop_when_all_have_gone()
            deadline = time.monotonic() + 10
            while "the database system is shutting down" not in refused(url):
                assert time.monotonic() < deadline
            assert kind_of(url) is LedgerAwayError


@pytest.mark.parametrize(
    ("state", "is_away"),
    [
        ("08006", True),  # the connection failed
        ("25P03", True),  # this process had stood still
        ("40001", True),  # a replica had to go on
        ("53300", True),  # too many connections
        ("55P03", True),  # somebody holds the lock
        ("57P01", True),  # the server was stopped
        ("57P02", True),  # one of its processes crashed
        ("57P03", True),  # it starts
        ("57P05", True),  # it cut off who idled
        ("23505", False),  # a rule of ours
        ("25006", False),  # it only reads
        ("28P01", False),  # the password
        ("3D000", False),  # no such database
        ("42501", False),  # no permission
        ("42P01", False),  # no such table
        ("53100", False),  # the disk is full
        ("57P04", False),  # the database was dropped
        ("XX001", False),  # damaged
    ],
)
def test_what_passes_is_known_by_the_server_s_code(state: str, is_away: bool) -> None:
    """Its words may be in any language."""
    error = psycopg.errors.lookup(state)("das ist schiefgegangen")

    assert database_of("postgresql://db/ledger").is_away(error) is is_away


def test_what_is_wrong_is_not_tried_again(server: Postgres) -> None:
    """The server answers, or is not even asked: somebody has to put something right."""
    there = server.url("postgres")
    with as_owner(there) as owner:
        owner.execute("create user no_login nologin password 'pw'")
    with answering(lambda peer: (peer.recv(99), peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))) as web:
        for url in (
            server.url("postgres", password="wrong"),
            there.replace(f":{PASSWORD}", ""),
            server.url("postgres", user="no_login", password="pw"),
            server.url("nowhere"),
            f"{there}?sslmode=require",
            f"{there}?sslmode=perhaps",
            f"{there}?bogus=1",
            there.replace(str(server.port), "99999"),
            web,
        ):
            assert kind_of(url) is LedgerError, url


def test_a_database_without_tables_is_not_filled_by_who_only_reads(url: str) -> None:
    """As with a file: `paramedic ledger verify` makes nothing."""
    with pytest.raises(LedgerError, match="revision none, 0001 is needed"):
        Ledger.open(url, create=False)

    with as_owner(url) as owner:
        tables = owner.execute("select count(*) from pg_tables where schemaname = 'public'").fetchone()
    assert tables == (0,)


def test_a_ledger_in_a_file_does_not_import_the_driver() -> None:
    """It would cost every process some 10 MiB."""
    look = (
        "import sys; from activities.ledger.store import Ledger; import tempfile, pathlib;"
        "folder = tempfile.mkdtemp(); Ledger.open(f'sqlite:///{folder}/ledger.db').close();"
        "print(sorted(name for name in sys.modules if name.startswith('psycopg')))"
    )

    shown = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)

    assert shown.stdout == "[]\n"
