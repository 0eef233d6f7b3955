"""The review: a plan in full, to be read before it is approved.

Whoever holds the bot's token can post a card in our name with a friendly text and our button for
a terrible plan: the press would be real, and the text a lie.  So where something is interrupted or
removed, a press on Approve approves nothing.  It opens this form, which is filled from the ledger
at that moment, and submitting the form is the approval.  The form remembers the gate and the
digest of the plan that it showed; the decision is bound to that digest.

Pure: the same story, the same form.
"""

from __future__ import annotations

import json
from typing import Any

import structlog
from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block, PlainTextObject
from slack_sdk.models.views import View

from bot.slack.block_kit import problems_of_view
from bot.slack.card import at_stake, in_full
from bot.slack.headline import target
from bot.slack.interactions import ReviewPlace
from bot.slack.message import section
from bot.slack.text import code, line
from runbooks.model.action import Effect
from runbooks.model.plan import PlannedAction
from runbooks.policy.story import GateStory, Story

LOG = structlog.get_logger("paramedic.slack")

REVIEW_VIEW = "paramedic.review"
STEPS_TOLD = 40
VIEW_SIZE = 250_000  # characters of JSON that Slack takes
STEPS_NAMED = 20  # in one paragraph


def review_view(story: Story, gate: GateStory, *, channel: str, message: str) -> dict[str, Any]:
    """Return the form in which the plan can be read in full, and approved.

    Where the full text would be refused, the steps are only named: an approval must never be lost
    because a plan was odd.

    Args:
        channel, message: the card that was pressed.
    """
    place = ReviewPlace(gate=gate.gate, channel=channel, message=message, plan=gate.plan_digest)
    try:
        blocks = [
            _lead(story, gate),
            *in_full(story, gate, steps=STEPS_TOLD),
            *_rest(story),
            _small_print(story, gate),
        ]
        view = _view(place, blocks)
        problems = [str(problem) for problem in problems_of_view(view)]
        problems += ["larger than Slack takes"] if len(json.dumps(view)) > VIEW_SIZE else []
    except SlackObjectFormationError as error:
        problems = [str(error)]
    if not problems:
        return view
    LOG.error("a review breaks Slack's rules; the plain one is shown", gate=gate.gate, problems=problems)
    return _view(
        place, [_lead(story, gate), section(_named("*Plan*", _actions(story))), _small_print(story, gate)]
    )


def closed_view(sentence: str) -> dict[str, Any]:
    """Return what the form turns into when it is too late: a sentence, and nothing to submit."""
    view: dict[str, Any] = View(
        type="modal",
        title=PlainTextObject(text="Too late"),
        close=PlainTextObject(text="Close"),
        blocks=[section(line(sentence, 1000) or "This question is closed.")],
    ).to_dict()
    return view


def _view(place: ReviewPlace, blocks: list[Block]) -> dict[str, Any]:
    view: dict[str, Any] = View(
        type="modal",
        callback_id=REVIEW_VIEW,
        title=PlainTextObject(text="Read, then approve"),
        submit=PlainTextObject(text="Approve"),
        close=PlainTextObject(text="Go back"),
        private_metadata=place.model_dump_json(),
        blocks=blocks,
    ).to_dict()
    return view


def _lead(story: Story, gate: GateStory) -> Block:
    """What cannot be taken back comes first."""
    destructive = [action for action in at_stake(story, gate) if action.effect is Effect.DESTRUCTIVE]
    for_good = [action for action in destructive if action.undo is None]
    other = [action for action in destructive if action.undo is not None]
    on = f"on {code(target(story))}"
    parts = [_named(f"*This cannot be undone* {on}", for_good)] if for_good else []
    if other:
        parts.append(_named(f"*This interrupts or removes something* {on}, and can be taken back", other))
    if not destructive:
        parts.append(f"*Taking this back* {on} *interrupts or removes something.*")
    return section("\n".join(parts))


def _named(lead: str, actions: list[PlannedAction]) -> str:
    names = [line(action.name, 100) for action in actions[:STEPS_NAMED]]
    if len(actions) > STEPS_NAMED:
        names.append(f"and {len(actions) - STEPS_NAMED} more")
    return f"{lead}: {'; '.join(names) or '–'}"


def _actions(story: Story) -> list[PlannedAction]:
    return list(story.plan.actions) if story.plan else []


def _rest(story: Story) -> list[Block]:
    left = len(_actions(story)) - STEPS_TOLD
    return (
        [section(f"*and {left} more steps, which do not fit here.* They are in the timeline.")]
        if left > 0
        else []
    )


def _small_print(story: Story, gate: GateStory) -> Block:
    plan = f"{code(gate.plan_digest[:12])} of {code(story.remediation, 20)}"
    return section(f"You approve the plan {plan}, once, and nothing else.")
