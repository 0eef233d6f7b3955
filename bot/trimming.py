"""Memory that a burst has left behind goes back to the machine as soon as it is quiet again.

Rings of objects wait for the garbage collector, which `bot.app` lets come rarely; and the C library
keeps what it is given back, but for the end of its heap.  After a burst that is some 5 MiB each, which
a server would hold until it ends.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import time

LOOK_EVERY = 0.5  # seconds
BUSY = 0.1  # of one core's time between two looks; below that nobody waits for the few milliseconds
_LIBRARY = ctypes.CDLL(None)


def can_trim() -> bool:
    """Return whether this machine's C library can be asked (glibc's)."""
    return hasattr(_LIBRARY, "malloc_trim")


async def keep_trimming() -> None:
    """Give back what is free, once after each time that was busy, until cancelled."""
    due = True  # the start leaves something behind too
    while True:
        used = time.process_time()
        await asyncio.sleep(LOOK_EVERY)
        if time.process_time() - used > BUSY * LOOK_EVERY:
            due = True
        elif due:
            due = False
            gc.collect()
            await asyncio.to_thread(_LIBRARY.malloc_trim, 0)
