"""Files that are whole or not there, and on the disk when a call returns."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


def replace_file(path: Path, text: str) -> None:
    """Write `text` to `path` in one step, in the place of what was there.

    Raises:
        OSError: it cannot be written; what was there still is.
    """
    with _drafted(path, text) as draft:
        draft.replace(path)
    sync_folder(path.parent)


def create_file(path: Path, text: str) -> None:
    """Write `text` to `path` in one step, read-only; what is there already is never written over.

    Raises:
        FileExistsError: something is there already.
        OSError: it cannot be written.
    """
    with _drafted(path, text) as draft:
        draft.chmod(0o444)
        path.hardlink_to(draft)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder onto the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _drafted(path: Path, text: str) -> Iterator[Path]:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)
