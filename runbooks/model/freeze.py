"""A freeze: the brake.  Nobody acts, everywhere or in one scope, until it is lifted."""

from __future__ import annotations

from datetime import datetime

from runbooks.model.base import Value

EVERYTHING = "*"
_NARROWER = ("runbook=", "target=")


def is_scope(text: str) -> bool:
    """Return whether `text` is a scope: `*`, `runbook=NAME` or `target=NAME`."""
    return text == EVERYTHING or any(text.startswith(word) and text != word for word in _NARROWER)


class Freeze(Value):
    """One brake that somebody pulled.

    Attributes:
        scope: `*`, `runbook=NAME` or `target=NAME`.
        actor: who: `slack:T1/U1`, `local:alice`.
        reason: in their own words.
        at: since when.
    """

    scope: str
    actor: str
    reason: str
    at: datetime

    def covers(self, runbook: str, target: str) -> bool:
        """Return whether it stops this runbook on this target."""
        return self.scope in {EVERYTHING, f"runbook={runbook}", f"target={target}"}

    @property
    def what(self) -> str:
        """What it stops, for people ("everything", "the target web-1")."""
        if self.scope == EVERYTHING:
            return "everything"
        kind, _, name = self.scope.partition("=")
        return f"the {kind} {name}"
