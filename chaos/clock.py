"""The clock of a process under test, which is moved while it runs.

The product asks for the time of day in one way only: `datetime.now` in its own modules.  `install`
gives these modules a `datetime` that is the real one in everything else, and is wrong by as much as a
file says, which the suite writes at any moment.  Temporal, the target and the judge keep the right
time: what is tested is one machine whose clock is wrong, or is put right with a jump.  The clock that
only counts on (`time.monotonic`) is never moved, as on a real machine.
"""

from __future__ import annotations

import mmap
import struct
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

from runbooks.model.record import Record

PRODUCT = ("bot.", "activities.", "runbooks.")
_OFFSET = struct.Struct("d")  # seconds
_SLACK = timedelta(seconds=1)


class MovedClock:
    """The suite's end: moves the clock, and knows how wrong it was when."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._moves = [(datetime.now(UTC), timedelta())]
        file.write_bytes(_OFFSET.pack(0.0))

    def move(self, offset: timedelta) -> None:
        """Let the clock be wrong by `offset` from now on."""
        self._moves.append((datetime.now(UTC), offset))
        with self.file.open("r+b") as stream:  # never a new file: the process has this one in its memory
            stream.write(_OFFSET.pack(offset.total_seconds()))

    def corrected(self, record: Record) -> Record:
        """Return the record with the time at which it was written by everybody else's clock."""
        now = (datetime.now(UTC), timedelta())
        for (since, offset), (until, _) in pairwise([*self._moves, now]):
            at = record.at - offset
            if since - _SLACK <= at <= until + _SLACK:
                return record.model_copy(update={"at": at}) if offset else record
        return record


def product_modules() -> list[ModuleType]:
    """Return all modules of the product that are imported by now."""
    return [module for name, module in sys.modules.items() if name.startswith(PRODUCT)]


def install(file: Path, modules: Iterable[ModuleType]) -> None:
    """Let these modules go by the clock that is moved through `file`."""
    with file.open("rb") as stream:
        offset = mmap.mmap(stream.fileno(), _OFFSET.size, access=mmap.ACCESS_READ)

    class Clock(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, datetime)

        def __getattr__(cls, name: str) -> Any:
            return getattr(datetime, name)

        def __call__(cls, *arguments: Any, **named: Any) -> datetime:
            return datetime(*arguments, **named)  # noqa: DTZ001 - as the caller wants it

        def now(cls, zone: tzinfo | None = None) -> datetime:
            [seconds] = _OFFSET.unpack(offset[:])
            return datetime.now(zone) + timedelta(seconds=seconds)

    moved = Clock("datetime", (), {})
    for module in modules:
        if vars(module).get("datetime") is datetime:
            vars(module)["datetime"] = moved
