"""Prepared statements: written with SQLAlchemy, compiled once, handed to the driver as text.

A remediation makes some forty short statements, each a few microseconds of work for the database.
To carry one out through `Connection.execute` costs ten times that, and to build it anew, fifty.
So the statements of the busy paths are compiled at their first use, once for each kind of
database, and what is left for later is to convert the values.  All others may go the usual way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Engine,
    Insert,
    PoolProxiedConnection,
    Select,
    Table,
    bindparam,
    insert,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.types import NullType, TypeEngine

T = TypeVar("T")
Statement = Select[Any] | UpdateBase
Convert = Callable[[Any], Any]

AT_ONCE = 32
"""How many values or rows one statement takes at most."""

_EACH = [f"each_{number}" for number in range(AT_ONCE)]


@dataclass(frozen=True, slots=True)
class _Text:
    """A statement as a driver takes it.

    Attributes:
        names: of the parameters, in the driver's order; empty where it takes them by name.
        constants: the parameters whose values stand in the statement.
        to_driver, from_driver: what values of some types are converted with, by name and by place.
    """

    sql: str
    names: tuple[str, ...]
    constants: Mapping[str, Any]
    to_driver: tuple[tuple[str, Convert], ...]
    from_driver: tuple[tuple[int, Convert], ...]

    def bind(self, parameters: Mapping[str, Any]) -> Sequence[Any] | dict[str, Any]:
        values = {**self.constants, **parameters}
        for name, convert in self.to_driver:
            values[name] = convert(values[name])
        return [values[name] for name in self.names] if self.names else values

    def read(self, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        return [self._read_row(row) for row in rows] if self.from_driver else list(rows)

    def _read_row(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        values = list(row)
        for place, convert in self.from_driver:
            values[place] = convert(values[place])
        return tuple(values)


class Prepared:
    """One statement.  Its lists have a fixed length: an IN over a list is a `PreparedForEach`.

    Every method raises `DBAPIError` where the database refuses.
    """

    def __init__(self, statement: Statement) -> None:
        self._statement = statement
        self._texts: dict[str, _Text] = {}

    def rows(self, connection: Connection, **parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows that it selects or returns."""
        return self._carry_out(connection, parameters)[0]

    def first(self, connection: Connection, **parameters: Any) -> tuple[Any, ...] | None:
        """Return the first row, or None."""
        rows, _ = self._carry_out(connection, parameters)
        return rows[0] if rows else None

    def run(self, connection: Connection, **parameters: Any) -> int:
        """Return how many rows it has changed."""
        return self._carry_out(connection, parameters)[1]

    def _carry_out(
        self, connection: Connection, parameters: Mapping[str, Any]
    ) -> tuple[list[tuple[Any, ...]], int]:
        dialect = connection.dialect
        text = self._texts.get(dialect.name)
        if text is None:
            text = self._texts[dialect.name] = _compile(self._statement, dialect)
        rows, changed = carry_out(connection, text.sql, text.bind(parameters))
        return text.read(rows), changed


class PreparedForEach:
    """A statement about each value of a list, a few statements where the list is long.

    Args:
        column: where the values stand.
        build: returns the statement, given the condition that picks the rows with these values.
    """

    def __init__(self, column: Column[Any], build: Callable[[ColumnElement[bool]], Statement]) -> None:
        self._column = column
        self._build = build
        self._of_length = cache(self._prepare)

    def rows(self, connection: Connection, values: Iterable[Any], **parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows for all values; in the statement's order where it is carried out once."""
        found: list[tuple[Any, ...]] = []
        left = list(values)
        while left:
            piece, left = left[:AT_ONCE], left[AT_ONCE:]
            # Filled up with the last one, which changes nothing: few lengths, so few statements.
            length = 1 << (len(piece) - 1).bit_length()
            each = dict(zip(_EACH[:length], piece + piece[-1:] * (length - len(piece)), strict=True))
            found += self._of_length(length).rows(connection, **each, **parameters)
        return found

    def _prepare(self, length: int) -> Prepared:
        each = [bindparam(name, type_=self._column.type) for name in _EACH[:length]]
        return Prepared(self._build(self._column.in_(each)))


class PreparedInsert:
    """Inserts rows into a table, many with one statement.

    Row after row, a thread would let go of the interpreter's lock for each, and wait for a busy
    event loop to get it back.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._types = {column.key: column.type for column in table.columns}
        self._of_length = cache(self._prepare)

    def run(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert the rows.  Columns that a row leaves out are null."""
        for piece in _pieces(rows):
            values = {f"{name}_{n}": row.get(name) for n, row in enumerate(piece) for name in self._types}
            self._of_length(len(piece)).run(connection, **values)

    def _prepare(self, length: int) -> Prepared:
        return Prepared(self._statement(length))

    def _statement(self, length: int) -> Insert:
        # The types are given, for SQLAlchemy takes them from the columns for the first row only.
        return insert(self._table).values(
            [
                {name: bindparam(f"{name}_{number}", type_=of) for name, of in self._types.items()}
                for number in range(length)
            ]
        )


def carry_out(
    connection: Connection, sql: str, values: Sequence[Any] | dict[str, Any] = ()
) -> tuple[Sequence[tuple[Any, ...]], int]:
    """Hand a statement to the driver.  Return its rows and how many it has changed.

    A connection that turns out to be lost is given up: a new one is made when it is used again.

    Raises:
        DBAPIError: the database refuses, or is gone.
    """
    driver: Any = connection.connection.dbapi_connection
    try:
        cursor = driver.cursor()
        try:
            cursor.execute(sql, values)
            return cursor.fetchall() if cursor.description else [], cursor.rowcount
        finally:
            cursor.close()
    except connection.dialect.loaded_dbapi.Error as error:
        lost = connection.dialect.is_disconnect(error, driver, None)
        if lost:
            connection.invalidate(error)
        raise DBAPIError(sql, None, error, connection_invalidated=lost) from error


def begin_with(engine: Engine, statement: Callable[[Mapping[Any, Any]], str]) -> None:
    """Let every transaction of `engine` begin with a statement of ours.

    SQLAlchemy has an event for it, with machinery that would stand in the way of every alert and action.

    Args:
        statement: returns it, given what is noted of the connection (`Connection.info`).
    """

    def do_begin(connection: PoolProxiedConnection) -> None:
        driver: Any = connection.dbapi_connection
        driver.execute(statement(connection.info))

    engine.dialect.do_begin = do_begin  # type: ignore[method-assign, assignment]


def _pieces(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield `values` in pieces of 32, 16, 8, 4, 2 and 1: few lengths, so few statements."""
    begin = 0
    while begin < len(values):
        length = min(AT_ONCE, 1 << (len(values) - begin).bit_length() - 1)
        yield values[begin : begin + length]
        begin += length


def _compile(statement: Statement, dialect: Dialect) -> _Text:
    compiled: Any = statement.compile(dialect=dialect)  # the type of what is compiled is SQLAlchemy's own
    binds: dict[str, BindParameter[Any]] = {name: bind for bind, name in compiled.bind_names.items()}
    untyped = [name for name, bind in binds.items() if isinstance(bind.type, NullType)]
    if untyped:  # a time would be written in the driver's form, and not be found again
        raise TypeError(f"give {', '.join(untyped)} a type, in: {compiled.string}")
    converts = ((name, _to_driver(bind.type, dialect)) for name, bind in binds.items())
    columns = enumerate(statement.exported_columns)
    reads = ((place, _from_driver(column.type, dialect)) for place, column in columns)
    return _Text(
        sql=compiled.string,
        names=tuple(compiled.positiontup or ()),
        constants={name: bind.value for name, bind in binds.items() if not bind.required},
        to_driver=tuple((name, convert) for name, convert in converts if convert is not None),
        from_driver=tuple((place, convert) for place, convert in reads if convert is not None),
    )


def _to_driver(of: TypeEngine[Any], dialect: Dialect) -> Convert | None:
    return of.dialect_impl(dialect).bind_processor(dialect)


def _from_driver(of: TypeEngine[Any], dialect: Dialect) -> Convert | None:
    return of.dialect_impl(dialect).result_processor(dialect, None)
