"""Imported first by a process that keeps running: it does without libraries that others take where they can.

structlog and httpx take `rich` and `pygments`, for tracebacks and a command line in colours;
SQLAlchemy takes `greenlet`, for a way of calling it that is not used here.  A server would carry
their memory for months.
"""

from __future__ import annotations

import sys

for name in ("rich", "pygments", "greenlet"):
    sys.modules[name] = None  # type: ignore[assignment]
