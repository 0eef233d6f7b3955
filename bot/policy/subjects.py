"""What a question is about, as the policy knows it: from a runbook, or from the records of a remediation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bot.policy.questions import BRAKING, Question, RunbookFacts, TargetFacts, Verb
from runbooks.errors import RunbookError
from runbooks.language.findings import suggestion
from runbooks.model.action import Declaration, Effect
from runbooks.model.decision import Answer
from runbooks.model.freeze import EVERYTHING, SCOPES, is_scope
from runbooks.model.runbook import Runbook
from runbooks.policy.story import GateStory, Story

_ALLOWING = frozenset({Answer.APPROVED, Answer.HAPPENED, Answer.AGAIN})
_FROM_WEAKEST = tuple(Effect)


def strongest(effects: Iterable[Effect]) -> Effect:
    """Return the strongest of `effects`; read where there are none."""
    return max(effects, key=_FROM_WEAKEST.index, default=Effect.READ)


def facts_of(runbook: Runbook, vocabulary: Mapping[str, Declaration]) -> RunbookFacts:
    """Return what the policy knows of `runbook`.  An action that is not known counts as destructive."""
    known = (vocabulary.get(step.uses) for step in runbook.actions)
    effects = (each.effect if each else Effect.DESTRUCTIVE for each in known)
    approvers = approvers_of(runbook)
    return RunbookFacts(
        name=runbook.name, owner=runbook.owner, effect=strongest(effects), approvers=approvers
    )


def approvers_of(runbook: Runbook) -> tuple[str, ...]:
    """Return every group that a gate of `runbook` may ask, each once."""
    rules = [rule for rule in (runbook.gate, *(step.gate for step in runbook.actions)) if rule is not None]
    links = [
        (*rule.approvers, *(group for link in rule.otherwise for group in link.approvers)) for rule in rules
    ]
    return tuple(dict.fromkeys(group for groups in links for group in groups))


def pose(verb: Verb, where: str, target: TargetFacts, runbooks: Mapping[str, RunbookFacts]) -> Question:
    """Return the question that a person means who says `where`: a runbook, a scope or a target.

    Raises:
        RunbookError: there is no such place.
    """
    if verb is Verb.READ:
        return Question(verb=verb)
    if verb in BRAKING:
        if not is_scope(where or EVERYTHING):
            raise RunbookError(f"`{where}` is no scope", remedy=f"Write one of {SCOPES}")
        return Question(verb=verb, scope=where or EVERYTHING)
    if not where:
        raise RunbookError(f"it is not said what to {verb}", remedy="Name a runbook, or for release a target")
    if verb is Verb.RELEASE:
        return Question(verb=verb, target=target.model_copy(update={"name": where}))
    if where not in runbooks:
        raise RunbookError(f"there is no runbook `{where}`", remedy=suggestion(where, runbooks))
    return Question(verb=verb, runbook=runbooks[where], target=target)


def question_of_run(runbook: Runbook, vocabulary: Mapping[str, Declaration], target: TargetFacts) -> Question:
    """Return the question whether somebody may ask for `runbook` on `target`."""
    return Question(verb=Verb.RUN, runbook=facts_of(runbook, vocabulary), target=target)


def question_of_answer(answer: Answer, story: Story, gate: GateStory) -> Question:
    """Return the question whether somebody may give `answer` at this gate."""
    verb = Verb.APPROVE if answer in _ALLOWING else Verb.STOP
    planned = story.plan.actions if story.plan else ()
    effect = strongest(Effect(each.effect) for each in planned)
    runbook = RunbookFacts(name=story.runbook, effect=effect, approvers=gate.everybody)
    labels = story.alert.labels if story.alert else {}
    return Question(verb=verb, runbook=runbook, target=TargetFacts(name=story.target, labels=labels))


def question_of_stop(story: Story) -> Question:
    """Return the question whether somebody may stop this remediation.

    Its approvers are those whom its plan would ask, or calls when it does not help.
    """
    planned = story.plan.actions if story.plan else ()
    effect = strongest(Effect(each.effect) for each in planned)
    terms = story.plan.verdict if story.plan else None
    groups = dict.fromkeys(
        (*(group for gate in story.gates for group in gate.approvers), *(terms.approvers if terms else ()))
    )
    runbook = RunbookFacts(name=story.runbook, effect=effect, approvers=tuple(groups))
    labels = story.alert.labels if story.alert else {}
    return Question(verb=Verb.STOP, runbook=runbook, target=TargetFacts(name=story.target, labels=labels))


def question_of_redaction(story: Story | None) -> Question:
    """Return the question whether somebody may take back values of this remediation.

    Where its records do not tell a story, nobody was ever asked about it, and it has no approvers.
    """
    if story is None:
        return Question(verb=Verb.REDACT, runbook=RunbookFacts(name="what no runbook tells of"))
    groups = dict.fromkeys(group for gate in story.gates for group in gate.everybody)
    runbook = RunbookFacts(name=story.runbook, approvers=tuple(groups))
    labels = story.alert.labels if story.alert else {}
    return Question(verb=Verb.REDACT, runbook=runbook, target=TargetFacts(name=story.target, labels=labels))
