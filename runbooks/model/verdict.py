"""Verdicts: what a check concluded, and how several conclusions combine.

A check answers "may we act?", so it must be able to say "I do not know".  A bool cannot,
and an exception would lose the evidence.  The four values follow the Argo Rollouts
AnalysisRun phases.  Only `PASSED` lets a remediation go on: everything else fails closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from runbooks.model.base import Value


class Verdict(StrEnum):
    """The conclusion of one check, from best to worst."""

    PASSED = "passed"
    INCONCLUSIVE = "inconclusive"  # measured, but it decides nothing: no data, stale, not a number
    ERROR = "error"  # could not be measured
    FAILED = "failed"  # measured, and the expectation does not hold


class CheckResult(Value):
    """What one check measured and concluded.

    Attributes:
        id: the step's id in its runbook.
        sentence: what was measured, for people ("disk_used_ratio is 0.93").
        result: what `expect` was evaluated over; later templates see it as `checks.<id>.result`.
        at: when it was measured, by the clock of the measured system where it tells one.
        took_ms: how long measuring took.
    """

    id: str
    name: str
    verdict: Verdict
    sentence: str
    result: dict[str, Any] = {}
    at: datetime
    took_ms: int = 0


_BEST_TO_WORST = tuple(Verdict)


def worst(results: Sequence[CheckResult]) -> Verdict:
    """Return the worst verdict of `results`; `INCONCLUSIVE` if nothing was checked."""
    if not results:
        return Verdict.INCONCLUSIVE
    return max((result.verdict for result in results), key=_BEST_TO_WORST.index)
