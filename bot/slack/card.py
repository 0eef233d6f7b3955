"""The card: one message for one remediation, kept up to date in its place.

It is read at 3am on a telephone, so it goes from top to bottom the way a person asks: what is
going on, why, what will be done, how we will know that it worked, who may say yes and until when.
The buttons come right after that.  The alert's own words are a quotation, cut, and its details
stand below the buttons: however long an alert is, it moves no button out of sight.

A button carries the gate's id and nothing else.  What is approved stands in the ledger; nothing
that comes back from Slack can choose it.

Pure: the same story, the same card.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from slack_sdk.models.blocks import Block, ButtonElement, ConfirmObject, DividerBlock, PlainTextObject

from bot.slack.headline import headline, target, what_then
from bot.slack.message import Message, actions, compose, context, header, section
from bot.slack.text import arguments, code, cut, escape, line, moment, person, plain, quote, span
from runbooks.model.action import Effect
from runbooks.model.decision import Answer, Doubt
from runbooks.model.plan import PlannedAction, PlannedCheck
from runbooks.model.remediation import Ending
from runbooks.model.verdict import Verdict
from runbooks.policy.story import ActionStory, CheckStory, DecisionStory, GateStory, Story

APPROVE = "paramedic.approve"
DENY = "paramedic.deny"
HAPPENED = "paramedic.verdict.happened"
AGAIN = "paramedic.verdict.again"
STOP = "paramedic.verdict.stop"

ARGUMENTS_TEXT = 300  # characters of an action's parameters
ARGUMENTS_IN_FULL = 2000  # the same where they must be read before they are approved
ARGUMENTS_TOGETHER = 20_000  # of all steps there: Slack takes a form of 250 kB
ALERT_TEXT = 600  # characters of the alert's own words in all
SUMMARY_TEXT = 200  # characters of them that stand above the buttons
ACTIONS_ABOVE = 5  # actions told above the buttons; the others follow below
ACTIONS_TOLD = 20
CHECKS_TOLD = 6
QUESTION_ABOUT = 200  # characters at least of what a question among others is about
LONG_GATE = timedelta(hours=12)

_EFFECTS = {
    Effect.READ: "only reads",
    Effect.TELL: "tells people",
    Effect.WRITE: "changes something",
    Effect.DESTRUCTIVE: "interrupts or removes something",
}
_VERDICTS = {Verdict.PASSED: "✓", Verdict.FAILED: "✗"}
_STATES = {
    "running": ("▸", "in progress"),
    "ok": ("✓", "done"),
    "failed": ("✗", "failed"),
    "not_sent": ("✗", "not sent"),
    "unknown": ("?", "nobody knows whether it happened"),
    "refused": ("✗", "refused"),
}
_ANSWERS = {
    Answer.APPROVED: "Approved by",
    Answer.DENIED: "Denied by",
    Answer.HAPPENED: "“It happened”, says",
    Answer.AGAIN: "“Do it again”, says",
    Answer.STOP: "“Stop here”, says",
}
_EXPLAINED = frozenset({Ending.NOT_NEEDED, Ending.UNVERIFIED, Ending.ROLLED_BACK})
_ANSWERED = frozenset({Ending.DENIED, Ending.EXPIRED})  # to be explained where steps were done before


def render_card(story: Story, *, timeline_command: str) -> Message:
    """Return the card for where `story` is.

    Args:
        timeline_command: the command that shows everything, without the id (`paramedic timeline`).

    Raises:
        slack_sdk.errors.SlackObjectFormationError: Slack's models object; send `plain_card` then.
    """
    blocks: list[Block] = [
        header(_title(story)),
        *_what(story),
        *_why(story),
        *_plan(story),
        *_success(story),
        *_gate(story),
        *_alert_details(story),
        _small_print(story, timeline_command),
    ]
    return compose(_fallback(story), blocks)


def plain_card(story: Story) -> Message:
    """Return the least that a card can be: the first line, the ids, and the same buttons.

    For the moment when something about the full card is refused: an approval must never be lost
    because an alert was odd.
    """
    about = f"{code(story.runbook)} on {code(target(story))} · {code(story.remediation)}"
    blocks: list[Block] = [header(_title(story)), section(about)]
    gate = story.open_gate
    if gate is not None:
        names = " · ".join(line(action.name, 100) for action in _planned(story)[:ACTIONS_ABOVE])
        blocks.append(section(f"*Plan:* {names or '–'}\n{_terms(story, gate)}"))
        blocks.append(_buttons(story, gate))
    return compose(_fallback(story), blocks)


def is_open(story: Story) -> bool:
    """Return whether people may still answer, as far as the records say."""
    return story.open_gate is not None


def needs_review(story: Story, gate: GateStory) -> bool:
    """Return whether Approve only opens the plan, because it, or taking it back, interrupts or removes something."""
    acting = at_stake(story, gate)
    undoing = [action.undo for action in acting if action.undo]
    destructive = any(action.effect is Effect.DESTRUCTIVE for action in [*acting, *undoing])
    return gate.doubt is None and destructive


def question(story: Story, gate: GateStory, room: int) -> tuple[str, Block]:
    """Return the question at `gate`, escaped, and its buttons, for a message that shows other remediations too.

    However long an alert is, who must answer by when stays: what it is about is cut to fit into `room` characters.
    """
    terms = _terms(story, gate)
    about = "\n".join([_what_in_short(story), *(() if gate.doubt else _why_in_short(story))])
    said = f"{cut(about, max(QUESTION_ABOUT, room - len(terms) - 1))}\n{terms}"
    return cut(said, room), _buttons(story, gate, confirm=_second_thought(story, gate))


def in_full(story: Story, gate: GateStory, *, steps: int) -> list[Block]:
    """Return all that must be read before `gate` is answered, at most so many steps of the plan."""
    steps = max(1, min(steps, len(_planned(story))))
    return [
        *_what(story),
        *_why(story),
        section("*Plan*"),
        *_steps(story, slice(0, steps), min(ARGUMENTS_IN_FULL, ARGUMENTS_TOGETHER // steps)),
        *_success(story),
        section(_terms(story, gate)),
    ]


def _title(story: Story) -> str:
    return plain(str(headline(story)), 145)


def _fallback(story: Story) -> str:
    words = line(str(headline(story)), 160)
    return f"{words} · {line(story.runbook, 60)} on {line(target(story), 60)} ({line(story.remediation, 20)})"


# --- what is going on ---------------------------------------------------------------------------


def _what_in_short(story: Story) -> str:
    name = line(story.alert.name if story.alert else "", 80) or code(story.runbook, 60)
    steps = "; ".join(line(action.name, 80) for action in _planned(story)[:ACTIONS_ABOVE])
    more = len(_planned(story)) - ACTIONS_ABOVE
    steps += f"; and {more} more" if more > 0 else ""
    return f"*{name}* on {code(target(story))} · {code(story.remediation, 20)}\n*Plan:* {steps or '–'}"


def _why_in_short(story: Story) -> Iterator[str]:
    """What was measured last: the numbers that the plan follows from."""
    looked = [check for check in story.checks if check.round != "verify"]
    if looked:
        yield _measured(looked[-1])


def _what(story: Story) -> Iterator[Block]:
    name = story.alert.name if story.alert else ""
    title = f"*{line(name, 100)}* on {code(target(story))}" if name.strip() else f"On {code(target(story))}"
    parts = [title]
    if summary := _summary_of_alert(story):
        parts.append(quote(" ".join(summary.split()), SUMMARY_TEXT, 1))
    if story.requested_by:
        parts.append(f"Asked for by {person(story.requested_by)}.")
    explained = story.ending in _EXPLAINED or (story.ending in _ANSWERED and story.actions)
    if explained and story.ending_sentence:
        parts.append(line(story.ending_sentence, 500))
    yield section("\n".join(parts))


def _summary_of_alert(story: Story) -> str:
    annotations = story.alert.annotations if story.alert else {}
    said = (annotations.get(key, "").strip() for key in ("summary", "message", "title"))
    return next((text for text in said if text), "")


def _alert_details(story: Story) -> Iterator[Block]:
    if story.alert is None:
        return
    rest = ALERT_TEXT - min(len(_summary_of_alert(story)), SUMMARY_TEXT)
    description = story.alert.annotations.get("description", "").strip()
    if description:
        yield section(f"*The alert in its own words*\n{quote(description, rest, 8)}")
    labels = {name: value for name, value in sorted(story.alert.labels.items()) if name != "alertname"}
    if labels:
        yield context(arguments(labels, ALERT_TEXT))


# --- why, and what will be done -----------------------------------------------------------------


def _why(story: Story) -> Iterator[Block]:
    """The newest look at each check before acting."""
    newest: dict[str, CheckStory] = {check.id: check for check in story.checks if check.round != "verify"}
    if not newest:
        return
    shown = list(newest.values())[:CHECKS_TOLD]
    lines = [_measured(check) for check in shown]
    if len(newest) > len(shown):
        lines.append(f"and {len(newest) - len(shown)} more checks")
    yield section("*Why*\n" + "\n".join(lines))


def _measured(check: CheckStory, mark: str = "") -> str:
    mark = mark or _VERDICTS.get(check.verdict, "?")
    known = "" if check.verdict in _VERDICTS else f" ({check.verdict})"
    return f"{mark} {line(check.name, 120)}{known}: {line(check.sentence, 250) or '–'}"


def _planned(story: Story) -> tuple[PlannedAction, ...]:
    return story.plan.actions if story.plan else ()


def at_stake(story: Story, gate: GateStory) -> tuple[PlannedAction, ...]:
    """What a yes at `gate` lets be done."""
    if gate.gated is None:
        return _planned(story)
    return tuple(action for action in _planned(story) if action.id == gate.gated.step)


def _plan(story: Story) -> Iterator[Block]:
    if story.plan is None:
        return
    lead = "*What I would do*" if story.observe else "*Plan*"
    summary = line(story.plan.summary, 250)
    yield section(f"{lead}: {summary}" if summary else lead)
    yield from _steps(story, slice(0, ACTIONS_ABOVE))


def _steps(story: Story, which: slice, room: int = ARGUMENTS_TEXT) -> Iterator[Block]:
    done = {action.step: action for action in story.actions}
    numbered = list(enumerate(_planned(story), start=1))
    for number, action in numbered[which]:
        yield section(_step(number, action, done.get(action.id), room))


def _step(number: int, action: PlannedAction, done: ActionStory | None, room: int) -> str:
    """One action in words: its name, what exactly it does, its effect, how to take it back."""
    exactly = " ".join(part for part in (code(action.uses, 80), arguments(action.arguments, room)) if part)
    undo = f"{line(action.undo.name, 100)}" if action.undo else "none"
    lines = [
        f"*{number}. {line(action.name, 150)}*",
        exactly,
        f"It {_EFFECTS[action.effect]}. Undo: {undo}.",
    ]
    return "\n".join([*lines, _result(done)] if done else lines)


def _result(action: ActionStory) -> str:
    mark, word = _STATES[action.state]
    attempts = f" (attempt {action.attempts})" if action.attempts > 1 else ""
    found = ", found out after a crash" if action.recovered else ""
    said = f": {line(action.sentence, 300)}" if action.sentence else ""
    return f"{mark} *{word}{attempts}{found}*{said}"


def _success(story: Story) -> Iterator[Block]:
    """What it will look like when it worked; after the actions, how it looks."""
    if story.plan is None:
        return
    seen = {check.id: check for check in story.checks if check.round == "verify"}
    lines = [
        _expected(check, seen.get(check.id), waiting=story.ending is None)
        for check in story.plan.verify[:CHECKS_TOLD]
    ]
    if lines:
        yield section("*It worked when*\n" + "\n".join(lines))
    planned = {action.id for action in _planned(story)}
    others = [
        f"{line(each.name, 150)}: {_result(each)}" for each in story.actions if each.step not in planned
    ]
    if others:
        yield section("*Afterwards*\n" + "\n".join(others[:CHECKS_TOLD]))


def _expected(check: PlannedCheck, seen: CheckStory | None, *, waiting: bool) -> str:
    if seen is not None:
        return _measured(seen, "○ not yet," if waiting and seen.verdict is not Verdict.PASSED else "")
    within = f" (within {span(check.within)})" if check.within else ""
    return f"○ {line(check.name, 150)}{within if waiting else ': not measured'}"


# --- who may answer -----------------------------------------------------------------------------


def _gate(story: Story) -> Iterator[Block]:
    # Whether its time is over is not for the card to say: the gate closes on record, by one clock.
    gate = story.open_gate
    if gate is not None:
        yield section(_terms(story, gate))
        yield _buttons(story, gate)
    yield from _continued(story)
    answered = (each for each in story.gates if each != gate)
    answers = [
        f"*{line(each.gated.name, 100)}*: {_answer(decision)}" if each.gated else _answer(decision)
        for each in answered
        for decision in each.decisions
        if decision.accepted
    ]
    if answers:
        yield section("\n".join(answers))


def _continued(story: Story) -> Iterator[Block]:
    """The rest of a long plan."""
    total = len(_planned(story))
    if total > ACTIONS_ABOVE:
        yield DividerBlock()
        yield from _steps(story, slice(ACTIONS_ABOVE, ACTIONS_TOLD))
    if total > ACTIONS_TOLD:
        yield section(f"and {total - ACTIONS_TOLD} more actions, all of them in the timeline")


def _terms(story: Story, gate: GateStory) -> str:
    groups = " or ".join(code(group, 60) for group in gate.approvers) or "nobody"
    people = "One person" if gate.need == 1 else f"{gate.need} people"
    by = moment(gate.until, with_date=gate.until - gate.opens_at > LONG_GATE)
    given = [_answer(each) for each in gate.decisions if each.accepted]
    if gate.doubt is not None:
        return "\n".join([_doubt(story, gate.doubt), _verdict_terms(story, gate, groups, by), *given])
    then = f"Otherwise {what_then(story, gate)}."
    step = f" *{line(gate.gated.name, 100)}*" if gate.gated else ""
    terms = f"{people} of {groups} must approve{step} by *{by}*. {then}"
    if story.requested_by:
        terms += f" {person(story.requested_by)} asked for this and may not approve it."
    return "\n".join([terms, *given])


def _doubt(story: Story, doubt: Doubt) -> str:
    """The question what became of an action, with what is known of it."""
    evidence = line(doubt.evidence, 500) or "No more is known."
    return f"*Did this happen? {line(doubt.name, 150)}*\n{evidence}\nLook at {code(target(story))} before you answer."


def _verdict_terms(story: Story, gate: GateStory, groups: str, by: str) -> str:
    again = f" To do it again takes {gate.need} people." if gate.need > 1 else ""
    nobody = "If nobody answers, people are called and nothing acts on it until somebody gives it back."
    if gate.otherwise:
        nobody = f"If nobody does, {what_then(story, gate)}."
    return f"Somebody of {groups} must say by *{by}*.{again} {nobody}"


def _answer(decision: DecisionStory) -> str:
    reason = f": {line(decision.reason, 300)}" if decision.reason.strip() else ""
    return (
        f"{_ANSWERS[decision.answer]} {person(decision.key, decision.name)} at {moment(decision.at)}{reason}"
    )


def _buttons(story: Story, gate: GateStory, confirm: ConfirmObject | None = None) -> Block:
    """The buttons; `confirm` is asked where Approve would approve at once."""
    if gate.doubt is not None:
        return _verdict_buttons(story, gate, gate.doubt)
    opens = needs_review(story, gate)
    approve = ButtonElement(
        text=PlainTextObject(text="Approve…" if opens else "Approve", emoji=False),
        action_id=APPROVE,
        value=gate.gate,
        style="primary",
        confirm=None if opens else confirm,
    )
    deny = ButtonElement(
        text=PlainTextObject(text="Deny…", emoji=False), action_id=DENY, value=gate.gate, style="danger"
    )
    return actions(f"gate:{gate.gate}", [approve, deny])


def _verdict_buttons(story: Story, gate: GateStory, doubt: Doubt) -> Block:
    said = plain(f"On {target(story)}: {doubt.name}. If it had happened, it happens twice.", 290)
    twice = ConfirmObject(
        title=PlainTextObject(text="Really do this again?", emoji=False),
        text=PlainTextObject(text=said, emoji=False),
        confirm=PlainTextObject(text="Do it again", emoji=False),
        deny=PlainTextObject(text="Go back", emoji=False),
    )
    happened = ButtonElement(
        text=PlainTextObject(text="It happened", emoji=False), action_id=HAPPENED, value=gate.gate
    )
    again = ButtonElement(
        text=PlainTextObject(text="Do it again…", emoji=False),
        action_id=AGAIN,
        value=gate.gate,
        style="danger",
        confirm=twice,
    )
    stop = ButtonElement(text=PlainTextObject(text="Stop here", emoji=False), action_id=STOP, value=gate.gate)
    return actions(f"gate:{gate.gate}", [happened, again, stop])


def _second_thought(story: Story, gate: GateStory) -> ConfirmObject:
    """Say once more what would be done: among many, a thumb in the dark may hit the wrong row."""
    what = ", ".join(plain(action.name, 60) for action in at_stake(story, gate)) or "nothing"
    said = plain(f"On {target(story)}: {what}.", 290)
    return ConfirmObject(
        title=PlainTextObject(text="Do this?", emoji=False),
        text=PlainTextObject(text=said, emoji=False),
        confirm=PlainTextObject(text="Approve", emoji=False),
        deny=PlainTextObject(text="Go back", emoji=False),
    )


def _small_print(story: Story, timeline_command: str) -> Block:
    began = f"began {moment(story.opened_at)}"
    joined = (
        f"{story.joined} further {'alert' if story.joined == 1 else 'alerts'} joined" if story.joined else ""
    )
    plan = f"plan {code(story.plan_digest[:12])}" if story.plan_digest else ""
    parts = [code(story.remediation), f"runbook {code(story.runbook)}", began, plan, joined]
    return context(
        " · ".join(part for part in parts if part)
        + f"\nAll of it: `{escape(timeline_command)} {escape(story.remediation)}`"
    )
