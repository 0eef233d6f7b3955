"""Who may do what, where: the policy file, and the one place that asks it."""

from __future__ import annotations
