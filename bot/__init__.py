"""The process: settings, wiring, and the conversations with senders and people."""

from __future__ import annotations
