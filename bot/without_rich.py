"""Imported first by a process that keeps running: it does without `rich`.

structlog and httpx take it where they can, for tracebacks in colours; a server would carry its
memory for months.
"""

from __future__ import annotations

import sys

sys.modules["rich"] = None  # type: ignore[assignment]
