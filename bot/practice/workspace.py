"""The practice workspace's state: people, groups, channels, messages, views.

Nothing here knows HTTP.  Methods of the Web API and interactions of people change the state;
whoever shows it waits for the next version.  All of it lives in memory and in one event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from bot.practice.messages import Message
from bot.practice.refusals import MethodRefusedError
from bot.practice.residents import (
    BOT_PERSON,
    BOT_USER,
    DEFAULT_CHANNELS,
    DEFAULT_GROUPS,
    DEFAULT_PEOPLE,
    Channel,
    Person,
    UserGroup,
)
from bot.practice.views import View, Views
from bot.practice.vouchers import Clock, ResponseUrls, Triggers

__all__ = ["Channel", "Message", "MethodRefusedError", "Notice", "Person", "UserGroup", "View", "Workspace"]

KEPT_CALLS = 10_000
NOTICES_SHOWN = 20
ACK_PATIENCE = 3.0  # seconds, Slack's own


@dataclass(frozen=True)
class Notice:
    """What Slack itself tells one person, such as that the app did not answer."""

    id: int
    person: str
    text: str


@dataclass(frozen=True)
class CallRecord:
    """One call of the Web API, for tests to look at.  `error` is empty where it succeeded."""

    method: str
    arguments: Mapping[str, object]
    error: str


@dataclass
class Upload:
    """A file on its way: asked for, then sent, then shared.

    Attributes:
        length: bytes, as announced.
        content: None until it was sent.
    """

    id: str
    filename: str
    length: int
    title: str = ""
    content: bytes | None = None


class Workspace:
    """The state of one practice workspace.

    Args:
        people: who is there; the bot's own user is added.
        groups: names of people by the handle of their user group.
        channels: names; everybody and the bot are members.
        commands: slash commands that the workspace knows, with a hint each; None: it passes on all.
        shortcuts: what can be done with a message, names by callback id.
        events: events that the app subscribes to.
        clock: seconds since the epoch.
        patience: seconds that people are made to wait for the app's acknowledgement.
    """

    def __init__(
        self,
        people: Sequence[Person] = DEFAULT_PEOPLE,
        groups: Mapping[str, Sequence[str]] = DEFAULT_GROUPS,
        channels: Sequence[str] = DEFAULT_CHANNELS,
        *,
        commands: Mapping[str, str] | None = None,
        shortcuts: Mapping[str, str] | None = None,
        events: frozenset[str] = frozenset({"app_mention", "message.im", "app_home_opened"}),
        clock: Clock = time.time,
        patience: float = ACK_PATIENCE,
    ) -> None:
        self.clock = clock
        self.patience = patience
        self.commands = commands
        self.shortcuts = dict(shortcuts or {})
        self.events = events
        self.people = {person.id: person for person in (*people, BOT_PERSON)}
        self.groups = {handle: self._new_group(handle, members) for handle, members in groups.items()}
        self.channels: dict[str, Channel] = {}
        for name in channels:
            self.add_channel(name)
        self.views = Views()
        self.triggers = Triggers(clock)
        self.response_urls = ResponseUrls(clock)
        self.uploads: dict[str, Upload] = {}
        self.calls: deque[CallRecord] = deque(maxlen=KEPT_CALLS)
        self.version = 1
        self._messages: dict[str, list[Message]] = {}
        self._ephemerals: list[Message] = []
        self._notices: list[Notice] = []
        self._notice_count = 0
        self._last_ts = 0
        self._changed = asyncio.Event()

    # --- change ---------------------------------------------------------------------------------

    def touch(self) -> None:
        """Say that something has changed."""
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_for_change(self, after: int, timeout: float) -> None:
        """Return when the version is above `after`, at the latest after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while self.version <= after:
                    await self._changed.wait()
        except TimeoutError:
            return

    # --- people and groups ----------------------------------------------------------------------

    def person(self, who: str) -> Person:
        """Return a person by id or name.

        Raises:
            MethodRefusedError: `user_not_found`.
        """
        for person in self.people.values():
            if who in {person.id, person.name}:
                return person
        raise MethodRefusedError("user_not_found")

    def group(self, identifier: str) -> UserGroup:
        """Return a user group by id.

        Raises:
            MethodRefusedError: `no_such_subteam`.
        """
        for group in self.groups.values():
            if group.id == identifier:
                return group
        raise MethodRefusedError("no_such_subteam")

    def groups_of(self, person: Person) -> list[UserGroup]:
        """Return the user groups that this person is in."""
        return [group for group in self.groups.values() if person.id in group.members]

    def set_group(self, handle: str, members: Sequence[str]) -> UserGroup:
        """Put exactly these people, by name or id, into a user group."""
        self.groups[handle] = self._new_group(handle, members)
        self.touch()
        return self.groups[handle]

    def set_person(self, person: Person) -> None:
        """Add a person, or change one: deactivate, make a guest."""
        self.people[person.id] = person
        self.touch()

    def deactivate(self, who: str) -> None:
        """Deactivate an account."""
        self.set_person(replace(self.person(who), deleted=True))

    def _new_group(self, handle: str, members: Iterable[str]) -> UserGroup:
        identifier = f"S0{''.join(filter(str.isalnum, handle)).upper()}"
        ids = tuple(self.person(member).id for member in members)
        return UserGroup(identifier, handle, handle, ids, changed_at=int(self.clock()))

    # --- channels -------------------------------------------------------------------------------

    def add_channel(self, name: str, *, is_private: bool = False, with_bot: bool = True) -> Channel:
        """Add a channel with all people in it."""
        identifier = f"C0{''.join(filter(str.isalnum, name)).upper()}"
        members = {person for person in self.people if with_bot or person != BOT_USER}
        self.channels[identifier] = Channel(identifier, name, members, is_private=is_private)
        return self.channels[identifier]

    def channel(self, reference: str) -> Channel:
        """Return a channel by id, `name` or `#name`; a person's id means the direct conversation.

        Raises:
            MethodRefusedError: `channel_not_found`.
        """
        if reference in self.channels:
            return self.channels[reference]
        if reference in self.people and reference != BOT_USER:
            return self.direct_channel(reference)
        name = reference.removeprefix("#")
        for channel in self.channels.values():
            if channel.name == name and not channel.is_direct:
                return channel
        raise MethodRefusedError("channel_not_found")

    def channel_of_bot(self, reference: str) -> Channel:
        """Return a channel that the bot may write to.

        Raises:
            MethodRefusedError: `channel_not_found` (private channels without the bot look like this
                too), `not_in_channel`, `is_archived`.
        """
        channel = self.channel(reference)
        if not channel.is_visible_to(BOT_USER):
            raise MethodRefusedError("channel_not_found")
        if BOT_USER not in channel.members:
            raise MethodRefusedError("not_in_channel")
        if channel.is_archived:
            raise MethodRefusedError("is_archived")
        return channel

    def direct_channel(self, person_id: str) -> Channel:
        """Return the direct conversation of the bot with this person; it always exists."""
        person = self.person(person_id)
        identifier = f"D0{person.id.removeprefix('U0')}"
        if identifier not in self.channels:
            members = {person.id, BOT_USER}
            self.channels[identifier] = Channel(identifier, person.name, members, with_person=person.id)
        return self.channels[identifier]

    # --- messages -------------------------------------------------------------------------------

    def next_ts(self) -> str:
        """Return a timestamp later than all before it."""
        self._last_ts = max(self._last_ts + 1, int(self.clock() * 1_000_000))
        seconds, micros = divmod(self._last_ts, 1_000_000)
        return f"{seconds}.{micros:06d}"

    def post(self, message: Message) -> Message:
        """Put a message into its channel, or before the one person who may see it."""
        if message.only_for:
            self._ephemerals.append(message)
        else:
            self._messages.setdefault(message.channel, []).append(message)
        self.touch()
        return message

    def messages(self, channel: str) -> list[Message]:
        """Return all messages of a channel, replies too, the oldest first."""
        return list(self._messages.get(channel, ()))

    def replies(self, message: Message) -> list[Message]:
        """Return the replies in the message's thread, the oldest first."""
        return [
            each for each in self.messages(message.channel) if each.is_reply and each.thread_ts == message.ts
        ]

    def message(self, channel: str, ts: str) -> Message:
        """Return a message that everybody sees.

        Raises:
            MethodRefusedError: `message_not_found`.
        """
        for message in self._messages.get(channel, ()):
            if message.ts == ts:
                return message
        raise MethodRefusedError("message_not_found")

    def delete(self, message: Message) -> None:
        """Remove a message for everybody."""
        where = self._ephemerals if message.only_for else self._messages[message.channel]
        where.remove(message)
        self.touch()

    def ephemerals(self, person_id: str) -> list[Message]:
        """Return what only this person sees, the oldest first."""
        return [message for message in self._ephemerals if message.only_for == person_id]

    def ephemeral(self, person_id: str, ts: str) -> Message:
        """Return one ephemeral message of this person.

        Raises:
            MethodRefusedError: `message_not_found`.
        """
        for message in self.ephemerals(person_id):
            if message.ts == ts:
                return message
        raise MethodRefusedError("message_not_found")

    def mention_of(self, word: str) -> str | None:
        """Return the markup for `@alice`, `@sre-oncall` or `#incidents`, or None for another word."""
        name = word[1:].rstrip(".,:;!?")
        tail = word[1 + len(name) :]
        if word.startswith("@"):
            person = next((each for each in self.people.values() if each.name == name), None)
            if person is not None:
                return f"<@{person.id}>{tail}"
            return f"<!subteam^{self.groups[name].id}>{tail}" if name in self.groups else None
        channel = next((each for each in self.channels.values() if each.name == name), None)
        return f"<#{channel.id}|{name}>{tail}" if word.startswith("#") and channel is not None else None

    # --- notices --------------------------------------------------------------------------------

    def notify(self, person_id: str, text: str) -> None:
        """Tell one person something in Slack's own name."""
        self._notice_count += 1
        self._notices.append(Notice(self._notice_count, person_id, text))
        self.touch()

    def notices(self, person_id: str) -> list[Notice]:
        """Return the latest notices for this person, the oldest first."""
        return [notice for notice in self._notices if notice.person == person_id][-NOTICES_SHOWN:]

    def dismiss_notice(self, person_id: str, notice_id: int) -> None:
        """Take a notice away."""
        self._notices = [
            notice for notice in self._notices if (notice.person, notice.id) != (person_id, notice_id)
        ]
        self.touch()
