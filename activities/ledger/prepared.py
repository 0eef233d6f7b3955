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

from sqlalchemy import BindParameter, Connection, Dialect, Insert, Select, Table, bindparam, insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.types import TypeEngine

T = TypeVar("T")
Statement = Select[Any] | UpdateBase
Convert = Callable[[Any], Any]

AT_ONCE = 32
"""How many values or rows one statement takes at most."""


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
        text = self._texts.get(dialect.dialect_description)
        if text is None:
            text = self._texts[dialect.dialect_description] = _compile(self._statement, dialect)
        values = text.bind(parameters)
        cursor = connection.connection.cursor()
        try:
            cursor.execute(text.sql, values)
            rows = cursor.fetchall() if cursor.description else []
            return text.read(rows), cursor.rowcount
        except dialect.loaded_dbapi.Error as error:
            raise DBAPIError(text.sql, None, error) from error
        finally:
            cursor.close()


class PreparedForEach:
    """A statement about each value of a list, a few statements where the list is long.

    Args:
        build: returns it for as many values as it is given parameters.
    """

    def __init__(self, build: Callable[[list[BindParameter[Any]]], Statement]) -> None:
        self._build = build
        self._of_length = cache(self._prepare)

    def rows(self, connection: Connection, values: Iterable[Any], **parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows for all values; in the statement's order where it is carried out once."""
        found: list[tuple[Any, ...]] = []
        for piece in _pieces(list(values)):
            each = {f"each_{number}": value for number, value in enumerate(piece)}
            found += self._of_length(len(piece)).rows(connection, **each, **parameters)
        return found

    def _prepare(self, length: int) -> Prepared:
        return Prepared(self._build([bindparam(f"each_{number}") for number in range(length)]))


class PreparedInsert:
    """Inserts rows into a table, many with one statement.

    Row after row, a thread would let go of the interpreter's lock for each, and wait for a busy
    event loop to get it back.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._of_length = cache(self._prepare)

    def run(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert the rows.  Columns that a row leaves out are null."""
        names = self._table.columns.keys()
        for piece in _pieces(rows):
            values = {f"{name}_{n}": row.get(name) for n, row in enumerate(piece) for name in names}
            self._of_length(len(piece)).run(connection, **values)

    def _prepare(self, length: int) -> Prepared:
        return Prepared(self._statement(length))

    def _statement(self, length: int) -> Insert:
        names = self._table.columns.keys()
        return insert(self._table).values(
            [{name: bindparam(f"{name}_{number}") for name in names} for number in range(length)]
        )


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
