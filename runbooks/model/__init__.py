"""Frozen values.  Import the modules, not this package: `from runbooks.model.alert import Alert`."""

from __future__ import annotations
