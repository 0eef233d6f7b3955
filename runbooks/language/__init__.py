"""The runbook language: from a file's text to a checked runbook, and from a runbook and an alert to a plan."""

from __future__ import annotations
