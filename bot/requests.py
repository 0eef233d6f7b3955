"""Requests: what a command line may ask, as values that travel.

The same value is carried out in the command's own process, where its person is at a terminal of the
machine, and by a running Paramedic, where they have logged in there.  So both mean the same, and give
the same answer (`bot.desk`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from runbooks.model.base import Value
from runbooks.model.decision import Answer
from runbooks.model.freeze import EVERYTHING

LOGIN_PATH = "/terminal/login"
ASK_PATH = "/terminal/ask"

Text = Annotated[str, Field(max_length=4000)]
Name = Annotated[str, Field(max_length=500)]


class StatusRequest(Value):
    """What is going on?"""

    what: Literal["status"] = "status"


class RunRequest(Value):
    """Start a runbook by hand."""

    what: Literal["run"] = "run"
    runbook: Name
    labels: Mapping[Name, Text] = {}


class FreezeRequest(Value):
    """Pull the brake."""

    what: Literal["freeze"] = "freeze"
    scope: Name = EVERYTHING
    reason: Text


class ThawRequest(Value):
    """Lift the brake."""

    what: Literal["thaw"] = "thaw"
    scope: Name = EVERYTHING
    reason: Text = ""


class StopRequest(Value):
    """Let one remediation do nothing more."""

    what: Literal["stop"] = "stop"
    remediation: Name
    reason: Text


class ReleaseRequest(Value):
    """Give back a target that is kept."""

    what: Literal["release"] = "release"
    target: Name
    reason: Text


class RedactRequest(Value):
    """Take back values.  `record`: of this one only, by its seq."""

    what: Literal["redact"] = "redact"
    remediation: Name
    reason: Text
    record: int | None = None


class LookRequest(Value):
    """What does this remediation ask?

    Attributes:
        gate: which of its questions; empty where only one is open.
        doubt: whether what became of an action is meant, and not a plan.
    """

    what: Literal["look"] = "look"
    remediation: Name
    gate: Name = ""
    doubt: bool = False


class AnswerRequest(Value):
    """Answer a question.

    Attributes:
        plan_digest: of the plan that the person was shown: another one is not answered.
    """

    what: Literal["answer"] = "answer"
    gate: Name
    plan_digest: Name
    answer: Answer
    reason: Text = ""


class JudgedRequest(Value):
    """What became of that answer?  `answer`: its id, as it was told when it was taken in."""

    what: Literal["judged"] = "judged"
    remediation: Name
    answer: Name


class LoginsRequest(Value):
    """Which logins count?"""

    what: Literal["logins"] = "logins"


class RevokeRequest(Value):
    """Take a login back."""

    what: Literal["revoke"] = "revoke"
    login: Name
    reason: Text = ""


Request = (
    StatusRequest
    | RunRequest
    | FreezeRequest
    | ThawRequest
    | StopRequest
    | ReleaseRequest
    | RedactRequest
    | LookRequest
    | AnswerRequest
    | JudgedRequest
    | LoginsRequest
    | RevokeRequest
)

REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="what")])


class OpenQuestion(Value):
    """A question that waits for people, as a command line shows it.

    Attributes:
        until: when those who are asked now have had their time.
        then: the groups that are asked too after that; empty where it ends.
        step: the step, where it is about that one alone.
        doubt: the action, where the question is what became of it.  Neither: about the whole plan.
        evidence: what is known of that.
        plan: what would be done, whole.
    """

    gate: str
    remediation: str
    runbook: str
    target: str
    approvers: tuple[str, ...]
    need: int
    until: datetime
    plan_digest: str
    then: tuple[str, ...] = ()
    step: str = ""
    doubt: str = ""
    evidence: str = ""
    plan: dict[str, Any] | None = None


class Judged(Value):
    """What became of an answer.

    Attributes:
        counts: None where nobody has judged it yet.
        objection: why it does not count, for people.
        refusal: the same in one word (`runbooks.model.decision.Refusal`), which is never renamed.
    """

    counts: bool | None = None
    objection: str = ""
    refusal: str = ""
