"""What the freeze file stops, as admission and the guard read it."""

from __future__ import annotations

from pathlib import Path

from activities.freeze_file import read_freezes


def frozen_by_file(file: Path, *, runbook: str = "", target: str = "") -> str | None:
    """Return who stops this runbook on this target, and why; None where the file stops neither."""
    freeze = next((each for each in read_freezes(file) if each.covers(runbook, target)), None)
    return None if freeze is None else f"{freeze.actor} froze {freeze.what}: {freeze.reason}"
