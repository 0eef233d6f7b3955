"""One process for each part on one data folder: a second one is refused, and says so."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from runbooks.errors import ParamedicError


class AlreadyRunningError(ParamedicError):
    """Another process works on the same data folder."""

    code = "already_running"


@contextlib.contextmanager
def only_one(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock `name` in `folder` while the block runs.  The kernel gives it back when the process dies.

    Raises:
        AlreadyRunningError: another process holds it.
    """
    with (folder / f"{name}.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise AlreadyRunningError(
                f"process {lock.read().strip() or '?'} works on {folder} already: stop it, "
                "or choose another folder with PARAMEDIC_DATA"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
