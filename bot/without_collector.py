"""Imported first by a process that is called often: the garbage collector does not run while it imports.

To import leaves next to nothing behind.  Who has imported everything turns the collector on again.
"""

from __future__ import annotations

import gc

gc.disable()
