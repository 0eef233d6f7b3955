"""The conversation in Slack."""

from __future__ import annotations
