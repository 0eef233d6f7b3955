"""The practice workspace: a local Slack-compatible server for demo and tests, and the demo itself."""

from __future__ import annotations
