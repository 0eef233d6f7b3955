"""`paramedic approve`, `deny` and `verdict`: answer at a terminal what Slack asks with buttons.

The answer goes the way of a click in Slack: durable first, then sealed by the listener and judged by
the same rules.  So a running Paramedic counts it, and these commands wait to say whether it did.  They
work with Slack down, and whoever has logged in counts once, whichever way they answer.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from rich.text import Text

from bot.cli.completing import open_ids
from bot.cli.exits import Exit
from bot.cli.reach import Reach, judged, reach
from bot.cli.runbook_card import plan_card
from bot.cli.terminal import AsJson, confirm, end_with, new_commands, show_err, show_json, show_line
from bot.open_gates import split_name
from bot.requests import AnswerRequest, Judged, LookRequest, OpenQuestion
from bot.visible import visible
from runbooks.model.decision import Answer, Refusal
from runbooks.model.plan import Plan

app = new_commands("Answer what people are asked.")

WORDS = {
    Answer.APPROVED: "you approve",
    Answer.DENIED: "you deny",
    Answer.HAPPENED: "it happened",
    Answer.AGAIN: "do it again",
    Answer.STOP: "stop",
}

Remediation = Annotated[
    str,
    typer.Argument(
        metavar="R-…[/GATE]",
        help="The remediation, as `paramedic status` shows it; with the question, where several are open.",
        autocompletion=open_ids,
    ),
]
Wait = Annotated[
    float, typer.Option("--wait", metavar="SECONDS", help="How long to wait until the answer is judged.")
]
Gate = Annotated[
    str, typer.Option("--gate", metavar="GATE", help="Which question, where several are open: step-2.")
]


class Said(StrEnum):
    """What can be said."""

    HAPPENED = "happened"
    AGAIN = "again"
    STOP = "stop"


@app.callback()
def _app() -> None:
    """Answers."""


@app.command()
def approve(
    remediation: Remediation,
    reason: Annotated[str, typer.Option("--reason", help="Why, if there is something to say.")] = "",
    gate: Gate = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not show the plan, and do not ask.")] = False,
    wait: Wait = 30.0,
    as_json: AsJson = False,
) -> None:
    """Approve a plan, as the button in Slack does.

    It shows what would be done, whole, and asks whether that is meant. What counts is exactly the plan
    that was shown. You must be in a group that is asked; who asked for the remediation cannot approve it.

    Example: paramedic approve R-7F3K2Q
    """
    with reach() as way:
        question = _look(way, _asked(remediation, gate))
        if not yes:
            _show_question(question)
            what = f"the step {question.step}" if question.step else "this plan"
            confirm(f"Approve {what} on {question.target}?")
        _answer(way, question, Answer.APPROVED, reason, wait, as_json=as_json)


@app.command()
def deny(
    remediation: Remediation,
    reason: Annotated[str, typer.Option("--reason", help="Why not. It stays on record.")],
    gate: Gate = "",
    wait: Wait = 30.0,
    as_json: AsJson = False,
) -> None:
    """Say no to a plan: nothing is done.

    Example: paramedic deny R-7F3K2Q --reason "the migration runs until 14:00"
    """
    with reach() as way:
        question = _look(way, _asked(remediation, gate))
        _answer(way, question, Answer.DENIED, reason, wait, as_json=as_json)


@app.command()
def verdict(
    remediation: Remediation,
    said: Annotated[
        Said,
        typer.Argument(
            metavar="WHAT", help="happened: go on. again: do it once more. stop: do nothing more."
        ),
    ],
    reason: Annotated[str, typer.Option("--reason", help="What you found at the target.")],
    gate: Gate = "",
    wait: Wait = 30.0,
    as_json: AsJson = False,
) -> None:
    """Say what became of an action whose outcome nobody knows.

    Look at the target first. You must be in a group that is asked. The answer counts as soon as a
    running Paramedic has judged it.

    Example: paramedic verdict R-7F3K2Q happened --reason "it restarted at 03:12"
    """
    with reach() as way:
        question = _look(way, _asked(remediation, gate, doubt=True))
        _answer(way, question, Answer(said.value), reason, wait, as_json=as_json)


def _asked(remediation: str, gate: str, *, doubt: bool = False) -> LookRequest:
    """Return which question is meant: `R-7F3K2Q --gate step-2` is also written `R-7F3K2Q/step-2`."""
    name, named = split_name(remediation)
    return LookRequest(remediation=name.upper(), gate=gate or named, doubt=doubt)


def _look(way: Reach, asked: LookRequest) -> OpenQuestion:
    return OpenQuestion.model_validate(way.ask(asked))


def _show_question(question: OpenQuestion) -> None:
    """Show what is asked, on stderr: it is for the person, and not the command's result."""
    if question.plan is not None:
        show_err(plan_card(Plan.model_validate(question.plan), []))
    need = "" if question.need == 1 else f"{question.need} of "
    about = f" about the step {question.step}" if question.step else ""
    asked = f"{question.remediation} asks {need}{' or '.join(question.approvers)}{about}"
    then = f", then {' or '.join(question.then)} too" if question.then else ""
    show_err(Text(visible(f"{asked} until {question.until:%H:%M} UTC{then}."), style="bold"))


def _answer(
    way: Reach, question: OpenQuestion, answer: Answer, reason: str, wait: float, *, as_json: bool
) -> None:
    """Hand the answer in, wait for the verdict on it, and end the command with that."""
    request = AnswerRequest(
        gate=question.gate, plan_digest=question.plan_digest, answer=answer, reason=reason
    )
    taken = way.ask(request)
    found = judged(way, taken, wait)
    if as_json:
        show_json({**taken, **found.model_dump(mode="json")})
    if found.counts is None:
        sentence = (
            "Your answer is on record, and was not judged yet. Is Paramedic running? See: paramedic status"
        )
        end_with(Exit.WAITING, sentence, "not_judged")
    if not found.counts:
        end_with(Exit.NO, _objection_words(found), "does_not_count")
    if not as_json:
        show_line(Text(f"Your answer counts: {WORDS[answer]}.", style="green"))


def _objection_words(found: Judged) -> str:
    said = f"Your answer does not count: {found.objection}."
    if found.refusal != Refusal.NOT_A_MEMBER:
        return said
    return f"{said} The connections file lists a group's members, beside Slack; see who you are: paramedic login who"
