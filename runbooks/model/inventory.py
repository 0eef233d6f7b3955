"""The inventory: the targets that there are.  What it does not know, nobody acts on."""

from __future__ import annotations

from collections.abc import Mapping

from runbooks.model.base import Value


class Inventory(Value):
    """All known targets, each with what is known of it beyond its alerts."""

    targets: Mapping[str, Mapping[str, str]]

    def labels_of(self, target: str) -> Mapping[str, str]:
        """Return the labels of a target; none where it is not known."""
        return self.targets.get(target, {})
