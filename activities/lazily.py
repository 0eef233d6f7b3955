"""Libraries that are imported when something of them is first used.

A process that drives no ssh host need not carry an ssh library: the larger ones cost 10 to 15 MiB and
a tenth of a second each.  Everything else is imported where it stands, at the top.

    if TYPE_CHECKING:
        import asyncssh
    else:
        asyncssh = lazily("asyncssh")
"""

from __future__ import annotations

import importlib
from typing import Any


class _Lazy:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        # The import system keeps the module, and its lock makes this safe between threads.
        return getattr(importlib.import_module(self._name), attribute)


def lazily(name: str) -> Any:
    """Return what stands for the module `name`, which is imported when an attribute of it is first asked for."""
    return _Lazy(name)
