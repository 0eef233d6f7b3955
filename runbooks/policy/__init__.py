"""Rules as pure functions: who may approve, when acting is allowed, what the records add up to."""

from __future__ import annotations
