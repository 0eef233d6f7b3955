"""A freeze: the brake.  Nobody acts, everywhere or in one scope, until it is lifted.

A scope says what a brake is about: everything, one runbook, one target, or all whose alert carries
a label with a value.  Maintenance windows have the same scopes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from runbooks.model.base import Value

EVERYTHING = "*"

SCOPES = "*, runbook=NAME, target=NAME or label:NAME=VALUE"
"""The scopes that there are, for errors."""

_SCOPE = re.compile(
    r"(?P<kind>runbook|target)=(?P<name>.+)|label:(?P<label>[a-zA-Z_][a-zA-Z0-9_]*)=(?P<value>.+)",
    re.ASCII | re.DOTALL,
)


def is_scope(text: str) -> bool:
    """Return whether `text` is a scope: `*`, `runbook=NAME`, `target=NAME` or `label:NAME=VALUE`."""
    return text == EVERYTHING or _SCOPE.fullmatch(text) is not None


def is_covered(scope: str, runbook: str, target: str, labels: Mapping[str, str]) -> bool:
    """Return whether `scope` takes in this runbook on this target, for an alert with these labels."""
    if scope in {EVERYTHING, f"runbook={runbook}", f"target={target}"}:
        return True
    found = _SCOPE.fullmatch(scope)
    return found is not None and found["label"] is not None and labels.get(found["label"]) == found["value"]


def scope_words(scope: str) -> str:
    """Return what a scope takes in, for people ("everything", "the target web-1", "all with team=payments")."""
    if scope == EVERYTHING:
        return "everything"
    if scope.startswith("label:"):
        return f"all with {scope.removeprefix('label:')}"
    kind, _, name = scope.partition("=")
    return f"the {kind} {name}"


class Freeze(Value):
    """One brake that somebody pulled.

    Attributes:
        scope: `*`, `runbook=NAME`, `target=NAME` or `label:NAME=VALUE`.
        actor: who: `slack:T1/U1`, `local:alice`.
        reason: in their own words.
        at: since when.
    """

    scope: str
    actor: str
    reason: str
    at: datetime

    def covers(self, runbook: str, target: str, labels: Mapping[str, str] | None = None) -> bool:
        """Return whether it stops this runbook on this target, for an alert with these labels."""
        return is_covered(self.scope, runbook, target, labels or {})

    @property
    def what(self) -> str:
        """What it stops, for people ("everything", "the target web-1")."""
        return scope_words(self.scope)
