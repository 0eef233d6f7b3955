"""The surroundings: what admission and the guard must know and the ledger does not hold.

The freeze file, the maintenance windows and the inventory.  What cannot be read is told, and stops:
a brake that is misspelt was meant to stop somebody.
"""

from __future__ import annotations

from pathlib import Path

from activities.freeze_file import read_freezes
from activities.inventory import InventoryError, InventorySource
from activities.windows import WindowsError, WindowsFile
from runbooks.policy.admission import Outside


class Surroundings:
    """Looks around.

    Attributes:
        freeze_file: where the brake's file is, or will be.
    """

    def __init__(
        self,
        freeze_file: Path,
        *,
        windows: WindowsFile | None = None,
        inventory: InventorySource | None = None,
    ) -> None:
        self.freeze_file = freeze_file
        self._windows = windows or WindowsFile(None)
        self._inventory = inventory or InventorySource(None, None)

    def brakes(self) -> Outside:
        """Return the brakes as they are now: all that may stop a remediation that has begun."""
        freezes = read_freezes(self.freeze_file)
        try:
            return Outside(freezes=freezes, windows=self._windows.read())
        except WindowsError as error:
            return Outside(freezes=freezes, problem=f"The maintenance windows cannot be read: {error}")

    async def look(self) -> Outside:
        """Return everything as it is now."""
        brakes = self.brakes()
        try:
            return brakes.model_copy(update={"inventory": await self._inventory.read()})
        except InventoryError as error:
            return brakes.model_copy(update={"inventory_problem": f"The inventory cannot be asked: {error}"})

    def refuse_mistakes(self) -> None:
        """Read the files once, so that a mistake is found before the first alert.

        Raises:
            WindowsError, InventoryError: one of them is wrong.
        """
        self._windows.read()
        self._inventory.read_file()
