"""Telling people: `slack.escalate`.

How it is said, and to whom a group's name leads, is the business of whoever is connected as the
teller.  Here is only that it is said, and that nobody believes it was said when it was not.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from activities.actions import Action, Scene, action
from runbooks.errors import FailedError
from runbooks.model.action import ActionClass, ActionResult, Effect, SlackText

_NEEDS_A_PERSON = "This remediation needs a person: it did not help, or nobody answered in time."


class Escalate(BaseModel):
    """Who is told, and what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    to: str = Field(min_length=1, max_length=100, description="A group, as under `approvers:`.")
    text: SlackText | None = Field(
        default=None, description="What to say; without it, that a person is needed."
    )


@action(
    "slack.escalate",
    "Tell a group that a person is needed",
    effect=Effect.TELL,
    kind=ActionClass.IDEMPOTENT,
)
async def escalate(parameters: Escalate, scene: Scene) -> ActionResult:
    """Tell them.  Saying it twice does no harm; not saying it does.

    Raises:
        FailedError: no chat is connected.
        EffectError: whatever the teller raises.
    """
    if scene.teller is None:
        raise FailedError(f"{parameters.to} was not told: no chat is connected")
    where = await scene.teller.tell(
        to=parameters.to, text=parameters.text or _NEEDS_A_PERSON, remediation=scene.remediation
    )
    return ActionResult(sentence=f"told {parameters.to}", output={"where": where})


ACTIONS: list[Action] = [escalate]
