"""A question to the policy, who may do what where, and its answer."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from runbooks.model.action import Effect
from runbooks.model.base import Value
from runbooks.model.freeze import EVERYTHING, scope_words

LOCAL = "local"
"""The path of people at a terminal of this machine whom only its operating system knows."""

ENVIRONMENT_LABELS = ("env", "environment")
"""The labels that say which environment a target is in; the first that is there counts."""


class Verb(StrEnum):
    """What somebody wants to do."""

    READ = "read"  # look at runbooks and at what is going on; without it, nothing else in Slack either
    RUN = "run"  # ask for a runbook by hand
    APPROVE = "approve"  # answer so that something is done: approve, it happened, do it again
    STOP = "stop"  # answer so that nothing more is done: deny, stop; or stop a remediation
    FREEZE = "freeze"
    THAW = "thaw"
    RELEASE = "release"  # give back a target that is kept because of an unknown outcome
    REDACT = "redact"  # take back values that stand in the records of a remediation


BRAKING = frozenset({Verb.FREEZE, Verb.THAW})
ABOUT_RUNBOOKS = frozenset({Verb.RUN, Verb.APPROVE, Verb.STOP, Verb.REDACT})


class Person(Value):
    """Somebody, as they were found at that moment.

    Attributes:
        key: `slack:T0123/U0456`, `local:alice`.
        groups: of those that were asked for, the ones that this person is in.
        external: of another workspace.
        logged_in: known in a chat, and speaking through a command line now.
    """

    key: str
    groups: tuple[str, ...] = ()
    guest: bool = False
    external: bool = False
    logged_in: bool = False

    @property
    def path(self) -> str:
        """The way that they came: `slack`, `local`."""
        return self.key.partition(":")[0]

    @property
    def terminal(self) -> bool:
        """Whether they are at a command line: at this machine's own, or logged in."""
        return self.logged_in or self.path == LOCAL


class RunbookFacts(Value):
    """What the policy knows of a runbook.

    Attributes:
        effect: the strongest effect of its actions.
    """

    name: str
    owner: str = ""
    effect: Effect = Effect.READ
    approvers: tuple[str, ...] = ()


class TargetFacts(Value):
    """What the policy knows of a target: its name, and the labels of the alert that is about it."""

    name: str
    labels: Mapping[str, str] = {}

    @property
    def environment(self) -> str:
        """Where it is, by its labels; empty where they do not say."""
        return next((self.labels[name] for name in ENVIRONMENT_LABELS if name in self.labels), "")


class Question(Value):
    """What somebody wants to do, and where.

    Attributes:
        runbook: for run, approve, stop and redact.
        target: for those and for release.
        scope: for freeze and thaw.
        thawers: for those, the group that lifts freezes; empty where there is none.
    """

    verb: Verb
    runbook: RunbookFacts | None = None
    target: TargetFacts | None = None
    scope: str = EVERYTHING
    thawers: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The question for people: "run disk-full on web-1"."""
        if self.verb in BRAKING:
            return f"{self.verb} {scope_words(self.scope)}"
        if self.runbook is None:
            return f"{self.verb} {self.target.name}" if self.target else f"{self.verb} anything here"
        on = f" on {self.target.name}" if self.target and self.target.name else ""
        return f"{self.verb} {self.runbook.name}{on}"


class Ruling(Value):
    """The policy's answer.

    Attributes:
        rules: ids of the rules that decided; none where no rule permits it.
        why: for people, without a full stop.
        ask: who may do it, for people; empty where nobody may, and where it is allowed.
        policy: the policy's name, for people.
        remedy: what would be right, where that is something else than to ask somebody.
    """

    allowed: bool
    words: str
    rules: tuple[str, ...] = ()
    why: str
    ask: tuple[str, ...] = ()
    policy: str
    remedy: str = ""

    @property
    def sentence(self) -> str:
        """All of it for the person who asked, without a full stop."""
        if self.allowed:
            return f"you may {self.words}: rule {', '.join(self.rules)}"
        rule = f" (rule {', '.join(self.rules)})" if self.rules else ""
        whom = f"ask {' or '.join(self.ask)}" if self.ask else f"ask whoever keeps the policy ({self.policy})"
        return f"you may not {self.words}: {self.why}{rule}; {self.remedy or whom}"
