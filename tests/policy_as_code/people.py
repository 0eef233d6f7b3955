"""People, runbooks and places that the tables of these tests are about."""

from __future__ import annotations

from bot.policy.questions import Person, Question, RunbookFacts, TargetFacts, Verb
from bot.policy.subjects import pose
from runbooks.model.action import Effect

PEOPLE = {
    "bob": Person(key="slack:T1/BOB"),
    "alice": Person(key="slack:T1/ALICE", groups=("sre-oncall",)),
    "paula": Person(key="slack:T1/PAULA", groups=("sre-oncall", "payments-leads")),
    "carol": Person(key="slack:T1/CAROL", groups=("sre-oncall", "incident-commanders")),
    "gus": Person(key="slack:T1/GUS", groups=("sre-oncall",), guest=True),
    "sue": Person(key="slack:T2/SUE", external=True),
    "root": Person(key="local:root"),
}

RUNBOOKS = {
    "disk-full": RunbookFacts(
        name="disk-full", owner="storage", effect=Effect.WRITE, approvers=("sre-oncall",)
    ),
    "ledger-stuck": RunbookFacts(
        name="ledger-stuck", owner="payments", effect=Effect.WRITE, approvers=("sre-oncall",)
    ),
    "drop-cache": RunbookFacts(
        name="drop-cache", owner="storage", effect=Effect.DESTRUCTIVE, approvers=("sre-oncall",)
    ),
}


def target(environment: str = "") -> TargetFacts:
    """Return web-1, in an environment that its labels name, or do not."""
    return TargetFacts(name="web-1", labels={"env": environment} if environment else {})


def ask(verb: Verb, where: str = "", environment: str = "", thawers: tuple[str, ...] = ()) -> Question:
    """Return a question about one of the runbooks above, a scope, or a target."""
    return pose(verb, where, target(environment), RUNBOOKS).model_copy(update={"thawers": thawers})
