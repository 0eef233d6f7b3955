"""The errors of the product.

    ParamedicError
    +-- RunbookError           a runbook file is wrong; has file, line, column, remedy
    |   +-- RenderError        a template or expression could not be evaluated for this alert
    +-- EffectError            something outside did not do what was asked
    |   +-- NotSentError       certainly not done; asking again is safe
    |   +-- FailedError        done and refused or failed; asking again will not help
    |   +-- UnknownOutcomeError  may have happened, may still happen
    +-- MeasureError           a check could not be measured
    +-- RefusedError           a rule of the house forbids it
    +-- LedgerError            the ledger cannot be read or written
        +-- LedgerAwayError    not now: its server is away, or somebody else holds its lock

`code` is stable: records and metrics use it.  The class name is the Temporal failure type.
Neither is ever renamed.
"""

from __future__ import annotations

from typing import ClassVar


class ParamedicError(Exception):
    """Base of all errors above."""

    code: ClassVar[str] = "paramedic_error"


class RunbookError(ParamedicError):
    """A runbook does not say what it should.

    Attributes:
        file: name of the runbook's file as it was given, for people.
        line: first line is 1; 0 where the whole file is meant.
        column: first column is 1; 0 where the whole line is meant.
        problem: what is wrong, one sentence without a full stop.
        remedy: what would be right, one sentence without a full stop.
    """

    code = "runbook_wrong"

    def __init__(self, problem: str, *, remedy: str, file: str = "", line: int = 0, column: int = 0) -> None:
        place = ":".join(str(part) for part in (file, line, column) if part)
        super().__init__(f"{place}: {problem}. {remedy}." if place else f"{problem}. {remedy}.")
        self.problem = problem
        self.remedy = remedy
        self.file = file
        self.line = line
        self.column = column


class RenderError(RunbookError):
    """A template or expression of a valid runbook could not be evaluated for this alert."""

    code = "render_failed"


class EffectError(ParamedicError):
    """Something outside did not do what was asked."""

    code = "effect_failed"


class NotSentError(EffectError):
    """The request certainly did not reach its target.  Asking again is safe."""

    code = "not_sent"


class FailedError(EffectError):
    """The target answered, and the answer is no.  Asking again will not help."""

    code = "failed"


class UnknownOutcomeError(EffectError):
    """The request may have been carried out, and may still be.  "Timed out" is not "did not happen"."""

    code = "unknown"


class MeasureError(ParamedicError):
    """A check could not be measured.

    Attributes:
        retryable: whether measuring again soon may succeed (no answer), or not (wrong question).
    """

    code = "not_measured"

    def __init__(self, problem: str, *, retryable: bool = False) -> None:
        super().__init__(problem)
        self.retryable = retryable


class RefusedError(ParamedicError):
    """A rule of the house forbids it.

    Attributes:
        reason: the rule, as a stable word (`frozen`, `not_approved`, `lease_lost`, ...).
    """

    code = "refused"

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class LedgerError(ParamedicError):
    """The ledger cannot be read or written.  Nothing is done without it."""

    code = "ledger_unavailable"


class LedgerRefusedError(LedgerError):
    """The ledger's database works, and refuses what it is given; the same again would be refused again."""


class LedgerAwayError(LedgerError):
    """The ledger's database does not answer now.  Nothing has to be put right before it is tried again."""

    code = "ledger_away"
