"""The first line: what a person who was just woken must know before anything else.

One line for each state and each ending, the same words on the card, in the thread and in the
notification.  Plain text: whoever puts it into mrkdwn escapes it there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bot.slack.text import clock, code, moment, span
from runbooks.model.base import Value
from runbooks.model.decision import Answer
from runbooks.model.remediation import Ending
from runbooks.policy.story import ActionStory, DecisionStory, GateStory, Story

WORKING = "●"  # nothing to do for people
ASKING = "▲"  # people are needed
HELPED = "✓"
NOTHING_DONE = "○"
PEOPLE_NEEDED = "✗"  # it did not help, or nobody knows


class Headline(Value):
    """The state of a remediation in one line."""

    symbol: str
    words: str

    def __str__(self) -> str:
        return f"{self.symbol} {self.words}"


def headline(story: Story) -> Headline:
    """Return the line for where `story` is."""
    if story.ending is not None:
        return _ENDINGS[story.ending](story)
    return _PHASES[story.phase](story)


def target(story: Story) -> str:
    """Return the target for people, also where there is none."""
    return story.target.strip() or "(no target)"


def accepted(story: Story, answer: Answer) -> tuple[DecisionStory, ...]:
    """Return the answers of this kind that counted when it was last asked whether something may be done."""
    return story.approval.given(answer) if story.approval else ()


def what_then(story: Story, gate: GateStory) -> str:
    """Return what happens when those who are asked now do not answer, as mrkdwn in the middle of a sentence."""
    if gate.otherwise:
        link = gate.otherwise[0]
        groups = " and ".join(code(group, 60) for group in link.approvers)
        return f"{groups} {'is' if len(link.approvers) == 1 else 'are'} asked too, until {moment(link.until)}"
    return "it stops, and what was done is undone" if story.actions else "nothing is done"


def running(story: Story) -> ActionStory | None:
    """Return the action that is being carried out."""
    return next((action for action in story.actions if action.state == "running"), None)


def names(decisions: tuple[DecisionStory, ...]) -> str:
    """Return who answered, as text: `Alice and Bob`."""
    return " and ".join(each.name or each.key for each in decisions)


def _checking(story: Story) -> Headline:
    if story.plan is not None and story.observe:
        return Headline(symbol=WORKING, words=f"Only observing {target(story)}: this is what I would do")
    return Headline(symbol=WORKING, words=f"Checking {target(story)}")


def _asking(story: Story) -> Headline:
    """The gate's own outcome is known a moment before the ending that follows from it."""
    asked = story.open_gate
    if asked is not None and asked.doubt is not None:
        doubt = asked.doubt.name
        return Headline(symbol=ASKING, words=f"Did it happen? A person must look at {target(story)}: {doubt}")
    question = story.approval
    match question.outcome if question else "":
        case "denied":
            return _denied(story)
        case "expired":
            return _expired(story)
        case "withdrawn":
            return Headline(symbol=NOTHING_DONE, words="Not needed any more: the question is withdrawn")
    need, given = question.need if question else 1, len(accepted(story, Answer.APPROVED))
    so_far = f" ({given} of {need} so far)" if given else ""
    step = f", before: {question.gated.name}" if question and question.gated else ""
    return Headline(symbol=ASKING, words=f"Approval needed on {target(story)}{so_far}{step}")


def _acting(story: Story) -> Headline:
    action = running(story)
    if action is None:
        approved = accepted(story, Answer.APPROVED)
        why = f"Approved by {names(approved)}" if approved else "On standing orders"
        return Headline(symbol=WORKING, words=f"{why}: about to act on {target(story)}")
    steps = [planned.id for planned in story.plan.actions] if story.plan else []
    where = f"step {steps.index(action.step) + 1} of {len(steps)}, " if action.step in steps else ""
    again = f" (attempt {action.attempts})" if action.attempts > 1 else ""
    return Headline(symbol=WORKING, words=f"Acting on {target(story)}: {where}{action.name}{again}")


def _verifying(story: Story) -> Headline:
    return Headline(symbol=WORKING, words=f"Acted on {target(story)}: looking whether it helped")


def _ended_after(story: Story) -> str:
    return span(story.ended_at - story.opened_at) if story.ended_at else "no time"


def _mitigated(story: Story) -> Headline:
    return Headline(symbol=HELPED, words=f"Mitigated in {_ended_after(story)}")


def _denied(story: Story) -> Headline:
    denials = accepted(story, Answer.DENIED)
    if not denials:
        return Headline(symbol=NOTHING_DONE, words=_with_sentence("Denied", story))
    reason = denials[-1].reason.strip()
    return Headline(
        symbol=NOTHING_DONE, words=f"Denied by {names(denials)}" + (f": {reason}" if reason else "")
    )


def _expired(story: Story) -> Headline:
    question, given = story.approval, len(accepted(story, Answer.APPROVED))
    by = f" by {clock(question.expires_at)}" if question else " in time"
    who = f"Only {given} of {question.need} approved" if question and given else "Nobody answered"
    rest = "nothing more was done" if story.actions else "nothing was done"
    return Headline(symbol=NOTHING_DONE, words=f"{who}{by}: {rest}")


def _with_sentence(label: str, story: Story) -> str:
    """Return the label with the ending's own sentence, which may begin with the same word."""
    sentence = story.ending_sentence.strip()
    rest = sentence.removeprefix(f"{label}:").strip()
    return f"{label}: {rest}" if rest else label


def _told(symbol: str, label: str) -> Callable[[Story], Headline]:
    return lambda story: Headline(symbol=symbol, words=_with_sentence(label, story))


def _fixed(symbol: str, words: str) -> Callable[[Story], Headline]:
    return lambda _story: Headline(symbol=symbol, words=words)


_PHASES: Mapping[str, Callable[[Story], Headline]] = {
    "checking": _checking,
    "asking": _asking,
    "acting": _acting,
    "verifying": _verifying,
}

_ENDINGS: Mapping[Ending, Callable[[Story], Headline]] = {
    Ending.MITIGATED: _mitigated,
    Ending.NOT_NEEDED: _fixed(NOTHING_DONE, "Not needed: nothing was done"),
    Ending.WITHHELD: _told(NOTHING_DONE, "Withheld"),
    Ending.DENIED: _denied,
    Ending.EXPIRED: _expired,
    Ending.UNVERIFIED: _fixed(PEOPLE_NEEDED, "Unverified: it was done, and nothing shows that it helped"),
    Ending.FAILED: _told(PEOPLE_NEEDED, "Failed"),
    Ending.ROLLED_BACK: _fixed(PEOPLE_NEEDED, "Rolled back: it did not help and was undone"),
    Ending.STOPPED: _told(NOTHING_DONE, "Stopped"),
}
