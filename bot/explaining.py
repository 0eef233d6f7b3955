"""Why: what the records say about one remediation, or one target, in sentences for somebody who asks.

The timeline tells everything in its order.  This tells what decided: what was measured, who was asked
and what they said, what was refused and by which rule, and how it ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from bot.timeline import ENDING_WORDS
from runbooks.model.base import Value
from runbooks.model.verdict import Verdict
from runbooks.policy.endings import whole
from runbooks.policy.story import ActionStory, CheckStory, GateStory, Story

_VERDICTS = {
    Verdict.PASSED: "as the runbook expects",
    Verdict.FAILED: "otherwise than the runbook expects",
    Verdict.INCONCLUSIVE: "without a clear answer",
    Verdict.ERROR: "not measurable",
}
_STATES = {
    "running": "is under way",
    "ok": "was done",
    "failed": "failed",
    "not_sent": "did not reach its target",
    "unknown": "may or may not have happened",
    "refused": "was refused",
}


class Explanation(Value):
    """An answer to "why?".

    Attributes:
        title: what it is about.
        sentences: foreign text may stand in them: whoever shows them escapes them.
    """

    title: str
    sentences: tuple[str, ...]


def explain_story(story: Story) -> Explanation:
    """Return why `story` went as it did."""
    about = f"{story.remediation}: {story.runbook} on {story.target or '(no target)'}"
    return Explanation(title=about, sentences=tuple(filter(None, _sentences(story))))


def _sentences(story: Story) -> Iterator[str]:
    yield _cause(story)
    if story.withheld_sentence:
        yield whole(f"It was withheld: {story.withheld_sentence}")
    for check in _newest(story.checks):
        yield whole(f"Checked “{check.name}”, {_VERDICTS[check.verdict]}: {check.sentence}")
    if story.plan is not None:
        names = ", ".join(action.name for action in story.plan.actions)
        yield whole(f"The plan was: {names}" + (". It only observes" if story.observe else ""))
    for gate in story.gates:
        yield from _gate(gate)
    if story.stop is not None:
        reason = f": {story.stop.reason}" if story.stop.reason else ""
        yield whole(f"{story.stop.key} stopped it at {_clock(story.stop.at)}{reason}")
    for action in story.actions:
        yield _action(action)
    yield _ending(story)


def _cause(story: Story) -> str:
    began = f"It began at {_clock(story.opened_at)}"
    if story.requested_by:
        return f"{began}, because {story.requested_by} asked for it."
    name = story.alert.name if story.alert else ""
    return f"{began}, because {name or 'an alert'} fired."


def _newest(checks: Sequence[CheckStory]) -> list[CheckStory]:
    return list({(check.round == "verify", check.id): check for check in checks}.values())


def _gate(gate: GateStory) -> Iterator[str]:
    about = f"what became of {gate.doubt.name}" if gate.doubt else "for approval"
    yield f"{' or '.join(gate.approvers)} were asked {about} at {_clock(gate.opens_at)}."
    for decision in gate.decisions:
        who = decision.name or decision.key
        if decision.accepted:
            reason = f": {decision.reason}" if decision.reason else ""
            yield whole(f"{who} answered “{decision.answer}”{reason}")
        else:
            yield whole(f"{who} answered “{decision.answer}”, which did not count: {decision.objection}")
    if gate.outcome:
        yield whole(f"The question closed, {gate.outcome}: {gate.sentence}")
    else:
        yield f"The question is open until {_clock(gate.expires_at)}."


def _action(action: ActionStory) -> str:
    return whole(f"{action.name} {_STATES[action.state]}: {action.sentence}".removesuffix(": "))


def _ending(story: Story) -> str:
    if story.ending is None:
        return f"It has not ended: {story.phase}."
    return f"{ENDING_WORDS[story.ending]} {story.ending_sentence}".strip()


def _clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
