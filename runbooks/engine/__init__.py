"""The Temporal workflow, readable as prose."""

from __future__ import annotations
