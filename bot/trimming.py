"""Memory that a burst has left behind goes back to the machine.

The C library keeps what it is given back, but for the end of its heap.  After a burst that is some
5 MiB of holes, which a server would hold until it ends.
"""

from __future__ import annotations

import asyncio
import ctypes
import resource
from pathlib import Path

LOOK_EVERY = 2.0  # seconds
GROWN_BY = 2**20  # bytes since the last time; for less it is not worth two milliseconds
_STATE = Path("/proc/self/statm")
_LIBRARY = ctypes.CDLL(None)


def can_trim() -> bool:
    """Return whether this machine's C library can be asked (glibc's, on Linux)."""
    return hasattr(_LIBRARY, "malloc_trim") and _STATE.exists()


async def keep_trimming() -> None:
    """Give back what is free, whenever the process has grown, until cancelled."""
    least = resident()
    while True:
        await asyncio.sleep(LOOK_EVERY)
        now = resident()
        if now > least + GROWN_BY:
            await asyncio.to_thread(_LIBRARY.malloc_trim, 0)
            least = resident()
        least = min(least, now)


def resident() -> int:
    """Return how many bytes of this process are in memory."""
    return int(_STATE.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
