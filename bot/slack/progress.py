"""Progress: what happened between two looks at a story, as short messages for the card's thread.

The card says how things are; the thread says what happened, in order.  What people must hear
(they are asked) carries the groups to be mentioned: a card that changes wakes nobody.

Pure: the difference of two stories.
"""

from __future__ import annotations

from collections.abc import Iterator

from bot.slack.headline import headline, target, what_then
from bot.slack.text import code, line, moment, person
from runbooks.model.base import Value
from runbooks.model.decision import Answer
from runbooks.model.verdict import Verdict
from runbooks.policy.story import ActionStory, CheckStory, GateStory, Story

_ANSWERED = {
    Answer.APPROVED: "approved",
    Answer.DENIED: "denied",
    Answer.HAPPENED: "says that it happened",
    Answer.AGAIN: "says to do it again",
    Answer.STOP: "says to stop here",
}
_ENDED = {
    "ok": "✓ {name}: {sentence}",
    "failed": "✗ {name} failed: {sentence}",
    "not_sent": "✗ {name} did not reach its target: {sentence}",
    "unknown": "? {name}: nobody knows whether it happened. {sentence}",
    "refused": "✗ {name} was refused: {sentence}",
}


class Progress(Value):
    """One message for the thread.

    Attributes:
        text: escaped mrkdwn.
        mention: approver groups that must hear it.
    """

    text: str
    mention: tuple[str, ...] = ()


def render_progress(before: Story | None, after: Story) -> list[Progress]:
    """Return what to say of the way from `before` to `after`; None: from the very beginning."""
    return [
        *_gates(before, after),
        *_stop(before, after),
        *_actions(before, after),
        *_verification(before, after),
        *_ending(before, after),
    ]


def _gates(before: Story | None, after: Story) -> Iterator[Progress]:
    known = {gate.gate: gate for gate in before.gates} if before else {}
    for gate in after.gates:
        yield from _gate(known.get(gate.gate), gate, after)


def _gate(known: GateStory | None, gate: GateStory, after: Story) -> Iterator[Progress]:
    if known is None and not gate.outcome:
        yield Progress(text=_question(after, gate), mention=gate.approvers)
    elif known is not None and gate.approvers != known.approvers and not gate.outcome:
        further = tuple(group for group in gate.approvers if group not in known.approvers)
        yield Progress(text=f"{_unanswered(known, gate)} {_question(after, gate)}", mention=further)
    heard = len(known.decisions) if known else 0
    for decision in gate.decisions[heard:]:
        if decision.accepted:
            reason = f": {line(decision.reason, 300)}" if decision.reason.strip() else ""
            who = person(decision.key, decision.name)
            yield Progress(text=f"{who} {_ANSWERED[decision.answer]}{reason}")
    closed_now = gate.outcome and not (known and known.outcome)
    if closed_now and gate.outcome == "withdrawn":
        yield Progress(text=f"The question is withdrawn. {line(gate.sentence, 300)}")


def _unanswered(known: GateStory, gate: GateStory) -> str:
    groups = " or ".join(code(group, 60) for group in known.approvers)
    given = len(gate.given(Answer.APPROVED))
    if given:
        return f"Of {groups} only {given} of {gate.need} approved in time, so you are asked too."
    return f"Nobody of {groups} answered in time, so you are asked too."


def _question(story: Story, gate: GateStory) -> str:
    if gate.doubt is not None:
        return (
            f"Nobody can know whether this happened on {code(target(story))}: {line(gate.doubt.name, 150)}. "
            f"Look, and say so above, by {moment(gate.until)}."
        )
    step = f" before this step: {line(gate.gated.name, 150)}" if gate.gated else ""
    return (
        f"An answer is needed for {code(target(story))}{step}, above, by {moment(gate.until)}. "
        f"If nobody answers, {what_then(story, gate)}."
    )


def _stop(before: Story | None, after: Story) -> Iterator[Progress]:
    if after.stop is not None and (before is None or before.stop is None):
        reason = f": {line(after.stop.reason, 300)}" if after.stop.reason.strip() else ""
        yield Progress(text=f"■ {person(after.stop.key)} stopped it{reason}")


def _actions(before: Story | None, after: Story) -> Iterator[Progress]:
    known = {action.key: action for action in before.actions} if before else {}
    for action in after.actions:
        earlier = known.get(action.key)
        if action == earlier:
            continue
        if action.state == "running":
            attempt = f", attempt {action.attempts}" if action.attempts > 1 else ""
            yield Progress(text=f"▸ {line(action.name, 150)}: begun{attempt}")
        else:
            yield Progress(text=_ended(action))


def _ended(action: ActionStory) -> str:
    found = " (found out after a crash: it had been done)" if action.recovered else ""
    sentence = line(action.sentence, 400) or "no more is known"
    return _ENDED[action.state].format(name=line(action.name, 150), sentence=sentence) + found


def _verification(before: Story | None, after: Story) -> Iterator[Progress]:
    """The newest look at each check, where its verdict is another one than before."""
    earlier, newest = _looks(before), _looks(after)
    for each, check in newest.items():
        if each in earlier and earlier[each].verdict is check.verdict:
            continue
        measured = f"{line(check.name, 150)}: {line(check.sentence, 300)}"
        yield Progress(text=f"✓ {measured}" if check.verdict is Verdict.PASSED else f"○ Not yet: {measured}")
    if after.resolved_at is not None and (before is None or before.resolved_at is None):
        yield Progress(text="The alert was reported as resolved.")


def _looks(story: Story | None) -> dict[str, CheckStory]:
    return {check.id: check for check in story.checks if check.round == "verify"} if story else {}


def _ending(before: Story | None, after: Story) -> Iterator[Progress]:
    if after.ending is None or (before is not None and before.ending is not None):
        return
    first = line(str(headline(after)), 400)
    told = line(after.ending_sentence, 400)
    repeated = not told or told.split(": ", 1)[-1] in first
    yield Progress(text=f"*{first}*" if repeated else f"*{first}*\n{told}")
