"""What the sealer tells of itself: a small file, for the metrics of another process."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from bot.sealer.files import replace_file
from runbooks.model.base import Value

STATE_FILE = "state.json"


class SealerState(Value):
    """How it stands.

    Attributes:
        refused: why nothing is signed any more; empty while all is well.
        number, size, sealed_at: of the last checkpoint; -1, 0 and None before the first.
        behind: how many checkpoints each destination has not taken yet.
    """

    refused: str = ""
    number: int = -1
    size: int = 0
    sealed_at: datetime | None = None
    behind: Mapping[str, int] = {}


def write_state(folder: Path, state: SealerState) -> None:
    """Tell how it stands.

    Raises:
        OSError: it cannot be written.
    """
    replace_file(folder / STATE_FILE, state.model_dump_json(indent=1) + "\n")


def read_state(folder: Path) -> SealerState | None:
    """Return how the sealer of this folder stands; None where it has not run yet, or may not be asked."""
    try:
        return SealerState.model_validate_json((folder / STATE_FILE).read_bytes())
    except (OSError, ValidationError):
        return None
