"""The ledger's door: one thread writes, with group commit; a few read.

A commit has to reach the disk, and the disk takes as long for a hundred records as for one.  So
the writer takes everything that has queued up while it was busy, carries each piece of work out
in one transaction, commits once, and only then answers.  Nothing is acknowledged that a power cut
could take away, but for work whose caller has said that it may follow: that reaches the disk with
the next commit that waits for the disk, and whoever has to know that it did asks for a barrier.

If a piece of work raises, the transaction is rolled back and each is carried out in its own, so
that only the guilty one fails.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, RootTransaction
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError, SQLAlchemyError

from activities.ledger import records
from activities.ledger.database import READERS, Database, commit_to_disk, database_of
from activities.ledger.migrations import prepare_schema
from activities.ledger.transaction import Tails, Transaction
from runbooks.errors import LedgerAwayError, LedgerError, LedgerRefusedError
from runbooks.model.record import Entry, Record, RecordKind

__all__ = ["Ledger", "Query", "Transaction"]

T = TypeVar("T")
Work = Callable[[Transaction], T]
Query = Callable[[Connection], T]

GROUP_LIMIT = 512
"""How many pieces of work share one commit at most."""

IDLE_AFTER = 0.05  # seconds
"""When nothing has come for so long the writer puts the disk's setting back: a remediation in progress goes first."""

FOLLOW_BATCH = 500
FOLLOW_SECONDS = 0.5
"""How soon records are seen that another process has written."""


@dataclass(frozen=True, slots=True)
class _Job:
    """A piece of work (`Work`, or beside the ledger a `Query`), and whoever waits: a coroutine of `loop`, or a thread (None)."""

    work: Callable[[Any], Any]
    answer: asyncio.Future[Any] | Future[Any]
    loop: asyncio.AbstractEventLoop | None
    event_ids: tuple[str, ...] = ()
    durable: bool = True
    beside: bool = False


@dataclass(frozen=True, slots=True)
class _Outcome:
    job: _Job
    value: Any = None
    error: BaseException | None = None

    def tell(self) -> None:
        """Tell who waits."""
        answer = self.job.answer
        if answer.done():  # the caller was cancelled
            return
        if self.error is None:
            answer.set_result(self.value)
        else:
            answer.set_exception(self.error)


class _SpoiltError(Exception):
    """A piece of work has raised its cause.  The transaction is lost for all that share it."""


class Ledger:
    """The ledger's database, as the rest of the product sees it.

    It may be used from several event loops and threads at once, and its database from several processes.
    A connection that is lost is made again for what comes next.
    """

    def __init__(self, database: Database, writer: Engine, reader: Engine) -> None:
        """Use `open` instead: it sees to it that the tables are there."""
        self._database = database
        self._writer = writer
        self._connection = writer.connect()  # for the writer's thread only
        self._reader = reader
        self._tails = Tails()
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._gate = threading.Lock()  # guards `_closed`, what enters the queue, and the followers
        self._closed = False
        self._followers: set[_Follower] = set()
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="ledger-read")
        self._thread = threading.Thread(target=self._write_until_closed, name="ledger-write", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, url: str, *, create: bool = True) -> Ledger:
        """Open the ledger at `url` (`sqlite:////abs/path/ledger.db`, `postgresql+psycopg://user@host/name`).

        With `create`, missing tables (and a missing file) are made, and older ones are brought up to
        date; without, both are errors.

        Raises:
            LedgerAwayError: the database does not answer now.
            LedgerError: the database cannot be used.
        """
        database = database_of(url)
        try:
            if create:
                database.make()
            else:
                database.must_be_there()
            return cls._open(database, migrate=create)
        except (OSError, SQLAlchemyError) as error:
            raise _unusable(database, "opened", error) from error

    @classmethod
    def _open(cls, database: Database, *, migrate: bool) -> Ledger:
        with ExitStack() as undo:
            writer, reader = database.writing_engine(), database.reading_engine()
            undo.callback(writer.dispose)
            undo.callback(reader.dispose)
            prepare_schema(reader, writer, migrate=migrate)
            opened = cls(database, writer, reader)
            undo.pop_all()
        return opened

    def close(self) -> None:
        """Carry out what is queued, then stop.  May be called twice."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()
        self._answer([], news=True)  # that there will be none
        self._readers.shutdown()
        self._connection.close()
        self._writer.dispose()
        self._reader.dispose()

    async def append(self, *entries: Entry) -> list[Record]:
        """Append the entries, all or none, and return their records once they are durable.

        An event that is recorded already is not recorded again: its record is returned.

        Raises:
            LedgerError: the ledger cannot be written.  Nothing was kept, or, where the machine failed
                right at the commit, everything: appending the same events again finds out.
            ValueError: an entry holds what cannot be recorded.
        """
        return await self._hand_over(_append(entries), tuple(entry.event_id for entry in entries))

    async def write(self, work: Work[T], *, durable: bool = True) -> T:
        """Carry out `work` in the writer's thread, in a transaction, and return what it does once durable.

        It may be carried out twice, the first time rolled back, so it touches nothing but the
        transaction.  A caller that is cancelled meanwhile no longer waits; the work is done all the same.

        Args:
            durable: where False, it need not be on the disk yet when this returns.  It gets there before
                anything that is written later does; `barrier` waits for that.

        Raises:
            LedgerError: the ledger cannot be written.
            Exception: what `work` raised; then it has had no effect.
        """
        return await self._hand_over(work, durable=durable)

    async def write_beside(self, work: Query[T]) -> T:
        """Carry out `work`, which touches no more than the tables beside the ledger, and return once durable.

        It costs a fraction of what `write` does, for nobody looks where the ledger ends.  It goes before what
        was handed over at the same time, in a commit of its own.  So on PostgreSQL it does not wait for other
        processes that write, and is in no order with them.

        Raises:
            LedgerError: the ledger cannot be written.
        """
        return await self._hand_over(work, beside=True)

    async def barrier(self) -> None:
        """Return when everything that was written before is durable.

        Raises:
            LedgerError: the ledger cannot be written.
        """
        await self._hand_over(Transaction.touch)

    def write_now(self, work: Work[T]) -> T:
        """Do what `write` does, for callers without an event loop."""
        answer: Future[T] = Future()
        self._submit(_Job(work, answer, None))
        return answer.result()

    async def read(self, query: Query[T]) -> T:
        """Run `query` in a reader's thread, on a snapshot of the database.

        It is run a second time where the connection was lost meanwhile.

        Raises:
            LedgerError: the ledger cannot be read.
            Exception: what `query` raised.
        """
        with self._gate:
            if self._closed:
                raise LedgerError("the ledger is closed")
            running = asyncio.get_running_loop().run_in_executor(self._readers, self.read_now, query)
        return await running

    def read_now(self, query: Query[T]) -> T:
        """Do what `read` does, in the caller's thread."""
        try:
            return self._read_on_a_live_connection(query)
        except SQLAlchemyError as error:
            raise _unusable(self._database, "read", error) from error

    def _read_on_a_live_connection(self, query: Query[T]) -> T:
        try:
            with self._reader.begin() as connection:
                return query(connection)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        self._reader.dispose()  # what took this connection away took those that idle as well
        with self._reader.begin() as connection:
            return query(connection)

    async def follow(
        self, after: int, *, kinds: frozenset[RecordKind] | None = None, gather: float = 0
    ) -> AsyncIterator[list[Record]]:
        """Yield the records that follow seq `after` (-1: all), first those that exist, then as they come.

        Each batch has at least one record, and no record comes twice.  It ends when the ledger is closed.

        Args:
            gather: seconds before each further look: one serves many commits then, and comes when those
                who wrote have gone on.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        follower = _Follower(asyncio.get_running_loop(), asyncio.Event())
        with self._gate:
            self._followers.add(follower)
        try:
            while not self._closed:
                follower.news.clear()
                try:
                    batch, after = await self.read(_read_on(after, kinds))
                except LedgerError:
                    if self._closed:  # between the question and the answer
                        return
                    raise
                if batch:
                    yield batch
                else:
                    await follower.wait()
                if gather:
                    await asyncio.sleep(gather)
        finally:
            with self._gate:
                self._followers.discard(follower)

    async def _hand_over(
        self,
        work: Work[T] | Query[T],
        event_ids: tuple[str, ...] = (),
        *,
        durable: bool = True,
        beside: bool = False,
    ) -> T:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._submit(_Job(work, answer, loop, event_ids, durable, beside))
        return await answer

    def _submit(self, job: _Job) -> None:
        with self._gate:
            if self._closed:
                raise LedgerError("the ledger is closed")
            self._queue.put(job)

    def _write_until_closed(self) -> None:
        while True:
            jobs, closing = self._take()
            for together in ([job for job in jobs if job.beside], [job for job in jobs if not job.beside]):
                if together:
                    self._carry_out(together)
            if closing:
                return

    def _take(self) -> tuple[list[_Job], bool]:
        """Wait for work, and return all that is there; and whether nothing will follow."""
        jobs: list[_Job] = []
        job = self._wait()
        while job is not None:
            jobs.append(job)
            if len(jobs) == GROUP_LIMIT or self._queue.empty():
                return jobs, False
            job = self._queue.get_nowait()  # nobody else takes from it
        return jobs, True

    def _wait(self) -> _Job | None:
        """Return the next job.  Where none comes for a while, commits wait for the disk again, so that it need not ask for that."""
        with suppress(Empty):
            return self._queue.get(timeout=IDLE_AFTER)
        with suppress(SQLAlchemyError):  # then it is tried again, and told, with the next job
            if not self._connection.invalidated:
                commit_to_disk(self._connection, wait=True)
        return self._queue.get()

    def _carry_out(self, jobs: list[_Job]) -> None:
        """Carry out all jobs with one commit and answer them; each on its own where one raises."""
        try:
            outcomes, grown = self._commit(jobs)
        except _SpoiltError as spoilt:
            if len(jobs) > 1:
                for job in jobs:
                    self._carry_out([job])
                return
            self._answer([_Outcome(jobs[0], error=self._as_caller_sees(spoilt.__cause__))])
        except Exception as error:  # noqa: BLE001 - begin or commit failed: whoever waits must hear of it
            unusable = _unusable(self._database, "written", error)
            unusable.__cause__ = error
            self._answer([_Outcome(job, error=unusable) for job in jobs])
        else:
            self._answer(outcomes, news=grown)

    def _commit(self, jobs: list[_Job]) -> tuple[list[_Outcome], bool]:
        """Return what the jobs returned, as durable as they ask for, and whether there are new records.

        Either all of them or none are beside the ledger.
        """
        commit_to_disk(self._connection, wait=any(job.durable for job in jobs))
        with self._begin():
            transaction = None if jobs[0].beside else Transaction(self._connection, self._tails)
            try:
                if transaction is None:
                    return [_Outcome(job, job.work(self._connection)) for job in jobs], False
                transaction.look_up(event_id for job in jobs for event_id in job.event_ids)
                outcomes = [_Outcome(job, job.work(transaction)) for job in jobs]
                transaction.flush()
            except BaseException as error:  # whatever a work raises, the writer lives on
                if isinstance(error, DBAPIError) and error.connection_invalidated:
                    raise  # it is nobody's fault: to try each on its own would take that long for each
                raise _SpoiltError from error
        return outcomes, transaction.committed()

    def _begin(self) -> RootTransaction:
        """Begin a transaction, on a new connection where the old one was lost while nothing was under way."""
        is_lost = self._connection.invalidated  # to begin is to connect then, and to try that once suffices
        try:
            return self._connection.begin()
        except DBAPIError as error:
            if is_lost or not error.connection_invalidated:
                raise
        return self._connection.begin()

    def _as_caller_sees(self, error: BaseException | None) -> BaseException:
        if isinstance(error, SQLAlchemyError):
            unusable = _unusable(self._database, "written", error)
            if isinstance(error, IntegrityError | DataError | ProgrammingError):
                unusable = LedgerRefusedError(str(unusable))
            unusable.__cause__ = error
            return unusable
        return error or LedgerError("the work failed")

    def _answer(self, outcomes: Sequence[_Outcome], *, news: bool = False) -> None:
        """Tell those who wait, and with `news` the followers; each event loop once, for that is a system call."""
        calls: dict[asyncio.AbstractEventLoop | None, list[Callable[[], None]]] = defaultdict(list)
        for outcome in outcomes:
            calls[outcome.job.loop].append(outcome.tell)
        if news:
            with self._gate:
                for follower in self._followers:
                    calls[follower.loop].append(follower.news.set)
        for loop, told in calls.items():
            if loop is None:
                _make(told)
            else:
                with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
                    loop.call_soon_threadsafe(_make, told)


@dataclass(frozen=True, eq=False)
class _Follower:
    """Somebody who waits, in an event loop of their own, for records that do not exist yet."""

    loop: asyncio.AbstractEventLoop
    news: asyncio.Event

    async def wait(self) -> None:
        """Return at the next commit of this process, or when it is time to look for those of others."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FOLLOW_SECONDS):
                await self.news.wait()


def _append(entries: tuple[Entry, ...]) -> Work[list[Record]]:
    return lambda transaction: [transaction.append(entry) for entry in entries]


def _read_on(after: int, kinds: frozenset[RecordKind] | None) -> Query[tuple[list[Record], int]]:
    """Return a query for the next batch and for the seq up to which nothing more has to be looked at."""

    def read(connection: Connection) -> tuple[list[Record], int]:
        last = records.size(connection) - 1
        if last <= after:
            return [], after
        batch = records.after(connection, after, FOLLOW_BATCH, kinds)
        return batch, batch[-1].seq if len(batch) == FOLLOW_BATCH else last

    return read


def _make(calls: Iterable[Callable[[], None]]) -> None:
    for call in calls:
        call()


def _unusable(database: Database, verb: str, error: Exception) -> LedgerError:
    """Return the error for `error`, with what an operator can do about it."""
    cause, remedy = database.explain(error)
    kind = LedgerAwayError if database.is_away(error) else LedgerError
    return kind(f"the ledger {database} cannot be {verb} ({cause}): {remedy}")
