"""Who and what is in the practice workspace: people, user groups, channels.

Shapes of the JSON follow Slack's `users.info`, `usergroups.list` and `conversations.info`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

TEAM = "T0PRACTICE"
TEAM_DOMAIN = "practice"
APP = "A0PRACTICE"
BOT = "B0PARAMEDIC"
BOT_USER = "U0PARAMEDIC"


@dataclass(frozen=True)
class Person:
    """A member of the workspace, or a stranger from a shared channel (another `team_id`).

    Attributes:
        id: begins with U or W.
        name: the handle, as in `@alice`.
        is_guest: a guest of the workspace (`is_restricted`).
        deleted: a deactivated account.
    """

    id: str
    name: str
    real_name: str
    is_guest: bool = False
    is_bot: bool = False
    deleted: bool = False
    team_id: str = TEAM

    @property
    def email(self) -> str:
        """An address in a domain that never exists."""
        return f"{self.name}@practice.invalid"

    def as_json(self) -> dict[str, object]:
        """Return the person as `users.info` shows it."""
        profile = {
            "real_name": self.real_name,
            "display_name": self.name,
            "email": self.email,
            "team": self.team_id,
        }
        return {
            "id": self.id,
            "team_id": self.team_id,
            "name": self.name,
            "real_name": self.real_name,
            "deleted": self.deleted,
            "tz": "Etc/UTC",
            "tz_offset": 0,
            "profile": profile,
            "is_admin": False,
            "is_owner": False,
            "is_restricted": self.is_guest,
            "is_ultra_restricted": False,
            "is_stranger": self.team_id != TEAM,
            "is_bot": self.is_bot,
            "is_app_user": False,
        }


@dataclass(frozen=True)
class UserGroup:
    """A user group: what `@sre-oncall` reaches.

    Attributes:
        members: ids of people.
        changed_at: seconds since the epoch.
    """

    id: str
    handle: str
    name: str
    members: tuple[str, ...]
    changed_at: int = 0

    def as_json(self) -> dict[str, object]:
        """Return the group as `usergroups.list` shows it, with its users."""
        return {
            "id": self.id,
            "team_id": TEAM,
            "is_usergroup": True,
            "is_subteam": True,
            "name": self.name,
            "description": "",
            "handle": self.handle,
            "is_external": False,
            "date_create": 0,
            "date_update": self.changed_at,
            "date_delete": 0,
            "auto_type": None,
            "created_by": BOT_USER,
            "user_count": len(self.members),
            "users": list(self.members),
        }


@dataclass
class Channel:
    """A channel, or a direct conversation with the bot (`with_person` is set)."""

    id: str
    name: str
    members: set[str] = field(default_factory=set)
    is_private: bool = False
    is_archived: bool = False
    with_person: str = ""

    @property
    def is_direct(self) -> bool:
        """Whether it is a direct conversation."""
        return bool(self.with_person)

    @property
    def kind(self) -> str:
        """Slack's word for it, as in `types=public_channel,im`."""
        if self.is_direct:
            return "im"
        return "private_channel" if self.is_private else "public_channel"

    def is_visible_to(self, person_id: str) -> bool:
        """Whether this person may know that it exists."""
        return person_id in self.members or not (self.is_private or self.is_direct)

    def as_json(self) -> dict[str, object]:
        """Return the channel as `conversations.info` shows it to the bot."""
        shown: dict[str, object] = {
            "id": self.id,
            "created": 0,
            "is_archived": self.is_archived,
            "is_im": self.is_direct,
            "is_private": self.is_private or self.is_direct,
            "is_mpim": False,
            "context_team_id": TEAM,
            "is_member": BOT_USER in self.members,
        }
        if self.is_direct:
            return {**shown, "user": self.with_person}
        topic = {"value": "", "creator": "", "last_set": 0}
        return {
            **shown,
            "name": self.name,
            "name_normalized": self.name,
            "is_channel": not self.is_private,
            "is_group": self.is_private,
            "is_general": False,
            "num_members": len(self.members),
            "topic": topic,
            "purpose": topic,
        }


BOT_PERSON = Person(id=BOT_USER, name="paramedic", real_name="Paramedic", is_bot=True)

DEFAULT_PEOPLE = (
    Person(id="U0ALICE", name="alice", real_name="Alice Ahmed"),
    Person(id="U0BOB", name="bob", real_name="Bob Berger"),
    Person(id="U0MALLORY", name="mallory", real_name="Mallory Moss"),
    Person(id="U0GUEST", name="guest", real_name="Gus Guest", is_guest=True),
    Person(id="U0STRANGER", name="stranger", real_name="Sue Stranger", team_id="T0ELSEWHERE"),
    Person(id="U0DEPLOYBOT", name="deploybot", real_name="Deploy Bot", is_bot=True),
)
"""Two who may approve, one who may not, a guest, somebody of another workspace, and another app."""

DEFAULT_GROUPS: Mapping[str, tuple[str, ...]] = {"sre-oncall": ("alice", "bob")}
DEFAULT_CHANNELS = ("incidents",)
