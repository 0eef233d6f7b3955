"""Empty ledgers for tests: a copy of one that was made once, because to make the tables takes a tenth of a second."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from activities.ledger.store import Ledger


@cache
def empty_ledger_file() -> Path:
    """Return the file of an empty ledger, to be copied; it is there as long as this process."""
    folder = Path(tempfile.mkdtemp(prefix="paramedic-empty-ledger-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    Ledger.open(f"sqlite:///{folder / 'ledger.db'}").close()
    return folder / "ledger.db"


def new_ledger(file: Path) -> Ledger:
    """Open the ledger in `file`, an empty one where there is none yet."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(empty_ledger_file(), file)
    return Ledger.open(f"sqlite:///{file}")
