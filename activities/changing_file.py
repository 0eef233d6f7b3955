"""A file that people change while we run: read again when it has changed, and only then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from runbooks.errors import ParamedicError

T = TypeVar("T")


class ChangingFile(Generic[T]):
    """One file and what it says.

    Args:
        parse: makes a value of the file; a `ParamedicError` is as good an answer, and is remembered too.
    """

    def __init__(self, file: Path, parse: Callable[[Path], T]) -> None:
        self._file = file
        self._parse = parse
        self._known: tuple[object, T | ParamedicError] | None = None

    def read(self) -> T:
        """Return what the file says now.

        Raises:
            ParamedicError: whatever `parse` raises.
        """
        look = self._look()  # before it is read: what changes meanwhile is read the next time
        if self._known is None or self._known[0] != look or look is None:
            self._known = (look, self._try())
        value = self._known[1]
        if isinstance(value, ParamedicError):
            raise value
        return value

    def _look(self) -> object:
        try:
            seen = self._file.stat()
        except OSError:
            return None
        return (seen.st_mtime_ns, seen.st_size, seen.st_ino)

    def _try(self) -> T | ParamedicError:
        try:
            return self._parse(self._file)
        except ParamedicError as error:
            return error
