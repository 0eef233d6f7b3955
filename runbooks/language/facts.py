"""Facts: all that a runbook's templates and expressions can see of one alert."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from runbooks.model.base import Value


class Facts(Value):
    """What is known of one alert when its runbook is rendered.  Data: never evaluated.

    Attributes:
        labels: the alert's.
        annotations: the alert's texts for people.
        target: the thing acted on; empty while it is being rendered itself.
        checks: what each check measured: its id to its result, JSON values.
    """

    labels: Mapping[str, str]
    annotations: Mapping[str, str] = Field(default_factory=dict)
    target: str = ""
    checks: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
