"""Actions: what they are declared to be, what they are asked, and what came of it.

The declaration is what the rest of the product knows of an action.  It says what the action
may be given (a pydantic model whose field types carry the escaping), what it does to the
world, and what a second attempt would mean, because "timed out" is not "did not happen".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, StringConstraints

from runbooks.model.base import Value


class Effect(StrEnum):
    """What an action does to the world."""

    READ = "read"  # measures; used by `check` and `verify`
    TELL = "tell"  # tells people; allowed while frozen, and after a failure
    WRITE = "write"  # changes something that the same or another action can change back
    DESTRUCTIVE = "destructive"  # something is gone or interrupted


class ActionClass(StrEnum):
    """What may be done after an attempt whose outcome is unknown."""

    IDEMPOTENT = "idempotent"  # repeat: the same parameters lead to the same state
    KEYED = "keyed"  # repeat under the same key: the target knows the key and does it once
    PROBED = "probed"  # ask the target whether it happened, then decide
    OPAQUE = "opaque"  # nobody can know: a person decides


class Escape(StrEnum):
    """How a value that comes from outside is made harmless inside a parameter's text.

    It belongs to the parameter's type, not to the author of the runbook.
    """

    PLAIN = "plain"  # data: stands as it is, is never parsed again
    PROMQL = "promql"  # inside a PromQL string literal only
    ARGUMENT = "argument"  # one item of argv: never joined into a shell string
    URL_PATH = "url_path"  # one percent-encoded segment, or query value, of a URL path
    SLACK = "slack"  # &, < and > escaped; no mention, no link


PromQL = Annotated[str, Escape.PROMQL, StringConstraints(min_length=1, max_length=4096)]
"""A PromQL expression.  Interpolated values are escaped as label values."""

Argument = Annotated[str, Escape.ARGUMENT, StringConstraints(max_length=4096)]
"""One item of an argument list.  The program gets it byte for byte."""

UrlPath = Annotated[str, Escape.URL_PATH, StringConstraints(pattern=r"^/", max_length=2048)]
"""A path with an optional query, relative to a named endpoint."""

SlackText = Annotated[str, Escape.SLACK, StringConstraints(min_length=1, max_length=2000)]
"""Text for people in Slack's mrkdwn, in which interpolated values are never markup."""


@dataclass(frozen=True)
class Declaration:
    """All that the product knows of one action before it is carried out.

    Attributes:
        name: `system.verb`; the word after `uses:`, the Temporal activity type, the metric label.
            Kept in histories: it never changes, a new meaning gets a new name.
        summary: one line for people.
        parameters: what stands under `with:`.
        timeout: how long one attempt may take at most.
        attempts: how often the engine may try in all, where the class allows trying again.
        samples: a value for each name that `result` has in expressions, for lint ({"value": 0.5}).
    """

    name: str
    summary: str
    parameters: type[BaseModel]
    effect: Effect
    kind: ActionClass
    timeout: timedelta = timedelta(seconds=30)
    attempts: int = 3
    samples: Mapping[str, Any] = field(default_factory=dict)


class Outcome(StrEnum):
    """What came of one attempt."""

    OK = "ok"
    FAILED = "failed"  # the target answered, and the answer is no
    NOT_SENT = "not_sent"  # certainly not done
    UNKNOWN = "unknown"  # may have happened, may still happen
    REFUSED = "refused"  # a rule of the house forbids it; nothing was done


class ActionResult(Value):
    """What a successful action returns.

    Attributes:
        sentence: what was done, for people ("restarted patient: process 4711 is now 4723").
        output: details, JSON values, at most 32 KiB in all.
    """

    sentence: str
    output: dict[str, Any] = {}


class Receipt(Value):
    """What came of one attempt at one action, as it stands in the ledger.

    Attributes:
        key: the action's key: the same for every attempt, across crash and reset.
        reason: a stable word where the outcome is not ok (`frozen`, `timeout`, ...).
        recovered: an earlier attempt had done it; this one only found out.
    """

    key: str
    outcome: Outcome
    sentence: str
    reason: str = ""
    output: dict[str, Any] = {}
    attempt: int = 1
    recovered: bool = False
    took_ms: int = 0
