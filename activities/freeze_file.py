"""The freeze file: the brake that works when nothing else does.

`touch FREEZE` in the data folder, and nobody acts any more, whatever has become of Slack,
Temporal and the ledger.  The product itself writes one JSON line for each scope.  Whatever
cannot be understood freezes everything: somebody pulled the brake and only spelt it oddly.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from runbooks.model.freeze import EVERYTHING, Freeze, is_scope

FILE_NAME = "FREEZE"
"""Its name in the data folder."""

UNKNOWN = "somebody"
"""Who froze, where a file made by hand does not say."""

_NO_REASON = "the freeze file is there"


def read_freezes(file: Path) -> tuple[Freeze, ...]:
    """Return what the file says; nothing where there is no file.

    A file that cannot be read, is empty or has a line that is not ours freezes everything.
    """
    try:
        changed_at = datetime.fromtimestamp(file.stat().st_mtime, UTC)
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError):
        reason = "the freeze file is there and cannot be read"
        return (_everything(reason, datetime.now(UTC)),)
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return (_everything(_NO_REASON, changed_at),)
    return tuple(_parse_line(line, changed_at) for line in lines)


def _parse_line(line: str, changed_at: datetime) -> Freeze:
    try:
        freeze = Freeze.model_validate_json(line)
    except ValidationError:
        words = "".join(sign for sign in line if sign.isprintable()).strip()[:200]
        return _everything(words or _NO_REASON, changed_at)
    scope = freeze.scope if is_scope(freeze.scope) else EVERYTHING
    return freeze.model_copy(update={"scope": scope, "at": freeze.at.replace(tzinfo=freeze.at.tzinfo or UTC)})


def _everything(reason: str, at: datetime) -> Freeze:
    return Freeze(scope=EVERYTHING, actor=UNKNOWN, reason=reason, at=at)


def add_freeze(file: Path, freeze: Freeze) -> None:
    """Write one scope into the file, on the disk when this returns.

    Raises:
        OSError: it cannot be written.
    """
    with _alone(file):
        kept = [each for each in read_freezes(file) if each.scope != freeze.scope]
        _write(file, [*kept, freeze])


def remove_freeze(file: Path, scope: str) -> tuple[Freeze, ...]:
    """Take one scope out of the file, and the file away with the last one.

    Returns:
        What was taken out; nothing where that scope was not frozen by the file.

    Raises:
        OSError: it cannot be written.
    """
    with _alone(file):
        freezes = read_freezes(file)
        kept = [each for each in freezes if each.scope != scope]
        if len(kept) == len(freezes):
            return ()
        _replace(file, kept)
        return tuple(each for each in freezes if each.scope == scope)


def forget_freezes(file: Path, gone: Collection[Freeze]) -> None:
    """Take exactly these out of the file: one that was pulled anew meanwhile stays.

    Raises:
        OSError: it cannot be written.
    """
    with _alone(file):
        freezes = read_freezes(file)
        kept = [each for each in freezes if each not in gone]
        if len(kept) < len(freezes):
            _replace(file, kept)


def written_at(file: Path) -> datetime:
    """Return when the file was last written, by anybody; long ago where there is none."""
    try:
        return datetime.fromtimestamp(file.stat().st_mtime, UTC)
    except OSError:
        return datetime.min.replace(tzinfo=UTC)


def _replace(file: Path, kept: Sequence[Freeze]) -> None:
    """Leave these in the file, and take it away where there are none: an empty one would freeze everything."""
    if kept:
        _write(file, kept)
    else:
        file.unlink(missing_ok=True)
        _sync_folder(file.parent)


def _write(file: Path, freezes: Sequence[Freeze]) -> None:
    """Replace the file as a whole, so that nobody ever reads half of one."""
    text = "".join(json.dumps(freeze.model_dump(mode="json"), sort_keys=True) + "\n" for freeze in freezes)
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    with fresh.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(file)
    _sync_folder(file.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Keep other writers out: two freezes at the same moment must both stand."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
