"""People and user groups, asked of Slack at the moment when it matters.

Who clicked is what the signed payload says: team and user id.  Whether that person may answer
anything, and which groups they are in, is looked up at the click and kept nowhere: whoever was
taken out of a group a minute ago is out.  Only the mapping of a group to the mention that wakes
it is remembered for a while.

While Slack does not tell, people are in the groups whose members the connections file lists, and in
no others: it is the operator's own word, written for that day.  For them Slack's silence is short: a
server that takes connections and answers nothing would otherwise keep an approval until it is too late.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
import structlog
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from activities.connections import GroupConnection
from bot.answers import AwayError, PersonRefusedError
from bot.policy.questions import Person
from bot.slack.text import code
from runbooks.model.decision import Principal

LOG = structlog.get_logger("paramedic.slack")

MENTIONS_KEPT = 60.0
"""Seconds for which a group's mention is remembered.  Membership never is."""

PATIENCE = 2.0
"""Seconds within which Slack must tell what the connections file can tell as well."""

SILENCE = 10.0
"""Seconds for which Slack, once it did not tell, is not asked that again."""

_KEY = re.compile(r"slack:([A-Z0-9]+)/([UW][A-Z0-9]+)")
_UNKNOWN = frozenset({"user_not_found", "user_not_visible", "users_not_found"})


def person_key(team: str, user: str) -> str:
    """Return the one key of a person: `slack:T0123/U0456`."""
    return f"slack:{team}/{user}"


class SlackPeople:
    """The people of the workspace that the bot is installed in.

    Args:
        groups: how approver groups are found, by name; one that is not named here is the Slack user
            group of the same handle.
    """

    def __init__(self, client: AsyncWebClient, groups: Mapping[str, GroupConnection]) -> None:
        self._client = client
        self._groups = groups
        self._team = ""
        self._mentions: dict[str, str] = {}
        self._mentions_at = float("-inf")
        self._silent_until = float("-inf")

    async def look_up(self, person: str, groups: Sequence[str] = ()) -> Principal:
        """Return the person with those of `groups` that they are in, as of now.

        Raises:
            PersonRefusedError: a guest, a bot, a deactivated account, or somebody of another workspace.
            AwayError: Slack does not tell.
        """
        known = _KEY.fullmatch(person)
        if known is None:
            raise PersonRefusedError("only people of this Slack workspace may answer here")
        team, user = known.groups()
        try:
            async with self._asking(person, groups):
                return await self._look_up(person, team, user, groups)
        except AwayError:
            if not self._is_listed(person):
                raise
            return Principal(key=person, groups=self._listed(person, groups))

    async def know(self, person: str, groups: Sequence[str] = ()) -> Person:
        """Return the person for the policy: guests and people of other workspaces too, whom `look_up` refuses.

        Raises:
            PersonRefusedError: a bot, a deactivated account, or nobody whom Slack knows.
            AwayError: Slack does not tell.
        """
        found = _KEY.fullmatch(person)
        if found is None:
            raise PersonRefusedError("only people of this Slack workspace may do that here")
        team, user = found.groups()
        try:
            async with self._asking(person, groups):
                if team != await self._home():
                    return Person(key=person, external=True)
                profile, memberships = await self._ask(person, user, groups)
        except AwayError:
            if not self._is_listed(person):
                raise
            return Person(key=person, groups=self._listed(person, groups))
        if (objection := _never(profile)) is not None:
            raise PersonRefusedError(objection)
        guest, external = _is_guest(profile), _is_stranger(profile, team)
        return Person(key=person, groups=memberships, guest=guest, external=external)

    async def members(self, groups: Sequence[str]) -> list[str]:
        """Return Slack's ids of the people in these groups, as far as that can be found out now."""
        keys = {key for name in groups for key in self._connection(name).members}
        found = {known[2] for key in keys if (known := _KEY.fullmatch(key))}
        try:
            ids = await self._group_ids()
            for group in {ids.get(self._handle(name)) for name in groups} - {None}:
                found |= set((await self._client.usergroups_users_list(usergroup=str(group)))["users"])
        except (SlackApiError, SlackClientError, aiohttp.ClientError, OSError, TimeoutError) as error:
            LOG.warning("the people of a group cannot be listed", error=str(error))
        return sorted(found)

    async def mention(self, groups: Sequence[str]) -> str:
        """Return the mrkdwn that wakes these groups; their names where Slack knows no such group."""
        if time.monotonic() - self._mentions_at > MENTIONS_KEPT:
            await self._learn_mentions()
        return " ".join(self._mentions.get(self._handle(group), code(group, 60)) for group in groups)

    @asynccontextmanager
    async def _asking(self, person: str, groups: Sequence[str]) -> AsyncIterator[None]:
        """Ask Slack about a person; not for long, and not while it is silent, where the list is an answer too.

        Whom it lists in none of `groups` would be refused for Slack being slow: they wait.

        Raises:
            PersonRefusedError: Slack does not know them.
            AwayError: Slack does not tell.
        """
        answered = self._listed(person, groups) if groups else self._is_listed(person)
        if not answered:
            with _as_our_errors():
                yield
            return
        if time.monotonic() < self._silent_until:
            raise AwayError("Slack did not tell who anybody is a moment ago")
        try:
            with _as_our_errors():
                async with asyncio.timeout(PATIENCE):
                    yield
        except AwayError:
            self._silent_until = time.monotonic() + SILENCE
            raise

    async def _look_up(self, person: str, team: str, user: str, groups: Sequence[str]) -> Principal:
        if team != await self._home():
            raise PersonRefusedError("people of other workspaces may not answer here")
        profile, memberships = await self._ask(person, user, groups)
        if (objection := _objection(profile, team)) is not None:
            raise PersonRefusedError(objection)
        return Principal(key=person, name=_name(profile), groups=memberships)

    async def _ask(
        self, person: str, user: str, groups: Sequence[str]
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        found, memberships = await asyncio.gather(
            self._client.users_info(user=user), self._memberships(person, user, groups)
        )
        return found["user"], memberships

    async def _home(self) -> str:
        """The team of the installation; it never changes for a token."""
        if not self._team:
            self._team = str((await self._client.auth_test())["team_id"])
        return self._team

    async def _memberships(self, person: str, user: str, groups: Sequence[str]) -> tuple[str, ...]:
        listed = self._listed(person, groups)
        asked = [name for name in groups if name not in listed]
        if not asked:
            return listed
        ids = await self._group_ids()
        found = await asyncio.gather(*(self._is_member(ids.get(self._handle(name)), user) for name in asked))
        joined = {*listed, *(name for name, member in zip(asked, found, strict=True) if member)}
        return tuple(name for name in groups if name in joined)

    def _is_listed(self, person: str) -> bool:
        """Whether the connections file vouches for somebody, in a group or another, while Slack tells nothing."""
        return any(person in each.members for each in self._groups.values())

    def _listed(self, person: str, groups: Sequence[str]) -> tuple[str, ...]:
        return tuple(name for name in groups if person in self._connection(name).members)

    async def _is_member(self, group: str | None, user: str) -> bool:
        if group is None:
            return False
        return user in (await self._client.usergroups_users_list(usergroup=group))["users"]

    async def _group_ids(self) -> dict[str, str]:
        """The ids of the user groups in use, by handle."""
        listed = (await self._client.usergroups_list(include_disabled=False))["usergroups"]
        return {each["handle"]: each["id"] for each in listed if not each.get("date_delete")}

    async def _learn_mentions(self) -> None:
        try:
            ids = await self._group_ids()
        except (SlackApiError, SlackClientError, aiohttp.ClientError, OSError, TimeoutError) as error:
            LOG.warning("user groups cannot be listed; nobody is mentioned", error=str(error))
            return
        self._mentions = {handle: f"<!subteam^{each}>" for handle, each in ids.items()}
        self._mentions_at = time.monotonic()

    def _connection(self, group: str) -> GroupConnection:
        return self._groups.get(group, GroupConnection())

    def _handle(self, group: str) -> str:
        return self._connection(group).slack or group


@contextmanager
def _as_our_errors() -> Iterator[None]:
    """Turn what goes wrong with Slack into what it means for the person."""
    try:
        yield
    except SlackApiError as error:
        if error.response.get("error") in _UNKNOWN:
            raise PersonRefusedError("Slack does not know you in this workspace") from error
        raise AwayError(f"Slack does not tell who clicked: {error.response.get('error')}") from error
    except (SlackClientError, aiohttp.ClientError, OSError, TimeoutError) as error:
        raise AwayError(f"Slack does not tell who clicked: {error}") from error


def _objection(profile: Mapping[str, Any], team: str) -> str | None:
    """Return why this account may answer nothing here, or None if it may."""
    if (objection := _never(profile)) is not None:
        return objection
    if _is_guest(profile):
        return "guests may not answer"
    if _is_stranger(profile, team):
        return "people of other workspaces may not answer here"
    return None


def _never(profile: Mapping[str, Any]) -> str | None:
    """Return why this account is nobody's who could do anything, or None if it is a person's."""
    if profile.get("deleted"):
        return "this account is deactivated"
    if profile.get("is_bot") or profile.get("id") == "USLACKBOT":
        return "bots may not answer"
    return None


def _is_guest(profile: Mapping[str, Any]) -> bool:
    return bool(profile.get("is_restricted") or profile.get("is_ultra_restricted"))


def _is_stranger(profile: Mapping[str, Any], team: str) -> bool:
    return bool(profile.get("is_stranger") or profile.get("team_id", team) != team)


def _name(profile: Mapping[str, Any]) -> str:
    shown = profile.get("profile") or {}
    named = (shown.get("real_name"), profile.get("real_name"), shown.get("display_name"), profile.get("name"))
    return next((str(name) for name in named if name), "")
