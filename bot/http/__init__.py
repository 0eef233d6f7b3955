"""The way in for alerts, and metrics and health."""

from __future__ import annotations
