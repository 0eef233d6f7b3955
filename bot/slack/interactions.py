"""What Slack sends when a person does something, read with care.

Only what is used is read: who (team and user id), where, which gate.  Names in a payload are not
read at all.  A payload that lacks something of this is malformed, whoever sent it.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from activities.ledger.clicks import Click
from bot.slack.people import person_key
from bot.slack.text import clean
from bot.slack.voice import CHANNEL, MESSAGE
from runbooks.model.base import canonical
from runbooks.model.decision import Answer

VIA = "slack"
REASON_BLOCK, REASON_INPUT = "reason", "text"
REASON_TEXT = 500  # characters

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]{1,40}$")]
GateId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,40}/[a-z0-9-]{1,40}$")]
Timestamp = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,20}\.[0-9]{1,10}$")]


class _Payload(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Team(_Payload):
    """The workspace that the app is installed in, as the payload says."""

    id: Identifier


class User(_Payload):
    """The person.  In a shared channel their team is another one than the app's."""

    id: Identifier
    team_id: Identifier | None = None


class Container(_Payload):
    """The message that was pressed."""

    channel_id: Identifier
    message_ts: Timestamp


class ButtonPress(_Payload):
    """One button."""

    value: GateId
    action_ts: Timestamp


class FileButton(_Payload):
    """The button, which carries a remediation's id."""

    action_ts: Timestamp
    value: Annotated[str, StringConstraints(pattern=r"^R-[A-Z0-9]{1,20}$")]


class Interaction(_Payload):
    """What every interaction says."""

    user: User
    team: Team | None = None

    @property
    def person(self) -> str:
        """The person's key."""
        team = self.user.team_id or (self.team.id if self.team else "")
        return person_key(team, self.user.id)


class Press(Interaction):
    """A press of a button: Approve, Deny, or a verdict on what became of an action."""

    container: Container
    actions: Annotated[tuple[ButtonPress, ...], Field(min_length=1, max_length=1)]
    trigger_id: str = ""

    def click(self, answer: Answer, at: datetime) -> Click:
        """Return the press as a click."""
        place = {CHANNEL: self.container.channel_id, MESSAGE: self.container.message_ts}
        return _click(self, self.actions[0].value, answer, self.actions[0].action_ts, place=place, at=at)


class DenialPlace(_Payload):
    """What the modal remembers: the gate, and the card it was opened from.  Nothing else."""

    gate: GateId
    channel: Identifier
    message: Timestamp


class _View(_Payload):
    id: Identifier
    private_metadata: str
    state: dict[str, Any]


class Denial(Interaction):
    """A modal that was submitted."""

    view: _View

    @property
    def reason(self) -> str:
        """What the person wrote; empty where they wrote nothing."""
        found: Any = self.view.state
        for name in ("values", REASON_BLOCK, REASON_INPUT, "value"):
            found = found.get(name) if isinstance(found, dict) else None
        return clean(found)[:REASON_TEXT].strip() if isinstance(found, str) else ""

    def click(self, at: datetime) -> Click:
        """Return the submission as a click.

        Raises:
            pydantic.ValidationError: the modal is not one of ours.
        """
        known = DenialPlace.model_validate_json(self.view.private_metadata)
        place = {CHANNEL: known.channel, MESSAGE: known.message}
        return _click(self, known.gate, Answer.DENIED, self.view.id, place=place, at=at, reason=self.reason)


class ReviewPlace(DenialPlace):
    """What the review of a plan remembers besides: the digest of the plan that it showed."""

    plan: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Approval(Interaction):
    """A review that was submitted."""

    view: _View

    def click(self, at: datetime) -> Click:
        """Return the submission as a click that is bound to the plan that was shown.

        Raises:
            pydantic.ValidationError: the modal is not one of ours.
        """
        known = ReviewPlace.model_validate_json(self.view.private_metadata)
        place = {CHANNEL: known.channel, MESSAGE: known.message}
        click = _click(self, known.gate, Answer.APPROVED, self.view.id, place=place, at=at)
        return click.model_copy(update={"shown": known.plan})


class Mention(_Payload):
    """A message that mentions the bot."""

    user: Identifier
    channel: Identifier
    ts: Timestamp
    text: str = ""
    user_team: Identifier | None = None
    team: Identifier | None = None
    bot_id: str | None = None


class MentionEvent(_Payload):
    """The envelope of one."""

    team_id: Identifier
    event_id: str = ""
    event: Mention

    @property
    def person(self) -> str:
        """The person's key.  In a shared channel their team is another one than the app's."""
        return person_key(self.event.user_team or self.event.team or self.team_id, self.event.user)

    @property
    def text(self) -> str:
        """What was said, without the mention itself."""
        return re.sub(r"^\W*<@[A-Z0-9]+(\|[^>]*)?>[\s:,]*", "", self.event.text, count=1)


class HomeOpened(_Payload):
    """Somebody looks at the app's home."""

    user: Identifier
    tab: str = "home"


class HomeOpenedEvent(_Payload):
    """The envelope of it."""

    team_id: Identifier
    event: HomeOpened

    @property
    def person(self) -> str:
        """The person's key."""
        return person_key(self.team_id, self.event.user)


class Place(_Payload):
    """A channel."""

    id: Identifier


class Opening(Interaction):
    """A button, or the choice of another message, that opens a form.

    Attributes:
        channel: None where it was pressed in the home tab.
    """

    trigger_id: str
    channel: Place | None = None
    message: dict[str, Any] = {}

    @property
    def channel_id(self) -> str:
        """The channel's id; empty where there is none."""
        return self.channel.id if self.channel else ""


class Submitted(Interaction):
    """A form that was submitted, or in which something was chosen."""

    view: dict[str, Any]


class FileWanted(Interaction):
    """The button that shares a timeline as a file."""

    container: Container
    actions: Annotated[tuple[FileButton, ...], Field(min_length=1, max_length=1)]


class Typed(_Payload):
    """A slash command."""

    team_id: Identifier
    user_id: Identifier
    channel_id: Identifier
    text: str = ""
    trigger_id: str = ""
    response_url: str = ""

    @property
    def person(self) -> str:
        """The person's key."""
        return person_key(self.team_id, self.user_id)


def click_of_command(
    person: str, gate: str, answer: Answer, *, nonce: str, channel: str, reason: str = ""
) -> Click:
    """Return an answer that was typed as a click; its id is the same however often Slack delivers it."""
    said = clean(reason)[:REASON_TEXT].strip()
    identity = [person, gate, answer.value, nonce]
    return Click(
        id="slack-" + hashlib.sha256(canonical(identity)).hexdigest()[:32],
        gate=gate,
        answer=answer,
        person=person,
        reason=said,
        via=VIA,
        place={CHANNEL: channel},
        at=datetime.now(UTC),
    )


def _click(
    interaction: Interaction,
    gate: str,
    answer: Answer,
    nonce: str,
    *,
    place: dict[str, str],
    at: datetime,
    reason: str = "",
) -> Click:
    """Return a click whose id is the same however often Slack delivers it."""
    identity = [interaction.person, gate, answer.value, nonce]
    return Click(
        id="slack-" + hashlib.sha256(canonical(identity)).hexdigest()[:32],
        gate=gate,
        answer=answer,
        person=interaction.person,
        reason=reason,
        via=VIA,
        place=place,
        at=at,
    )
