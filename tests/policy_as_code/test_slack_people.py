"""Who somebody is in Slack, for the policy: over real sockets, asked of the practice workspace."""

from __future__ import annotations

import pytest

from bot.answers import PersonRefusedError
from bot.policy.doorkeeper import Doorkeeper, NotPermittedError
from bot.policy.policy_file import PolicyFile
from bot.policy.questions import Person, Question, Verb
from bot.practice.residents import DEFAULT_PEOPLE as PEOPLE
from bot.practice.server import PracticeServer
from bot.practice.workspace import Workspace
from bot.slack.connection import SlackConnection
from bot.slack.people import SlackPeople

READ = Question(verb=Verb.READ)


@pytest.fixture
async def people():
    async with PracticeServer(Workspace(people=PEOPLE)) as server:
        connection = SlackConnection(
            bot_token=server.bot_token, app_token=server.app_token, base_url=server.base_url
        )
        yield SlackPeople(connection.client, {})


def key(name: str) -> str:
    person = next(each for each in PEOPLE if each.name == name)
    return f"slack:{person.team_id}/{person.id}"


async def test_members_guests_and_strangers_are_told_apart(people):
    """What the policy calls them is what Slack says of them."""
    alice = await people.know(key("alice"), ("sre-oncall", "no-such-group"))
    guest = await people.know(key("guest"))
    stranger = await people.know(key("stranger"))

    assert alice == Person(key=key("alice"), groups=("sre-oncall",))
    assert (guest.guest, guest.external) == (True, False)
    assert stranger == Person(key=key("stranger"), external=True)


async def test_whoever_is_nobody_is_refused_before_the_policy(people):
    """No policy can let in an account that Slack does not know, or a key that is none."""
    home = key("alice").rpartition("/")[0]

    for nobody in (f"{home}/U0NOBODY", "slack:alice"):
        with pytest.raises(PersonRefusedError):
            await people.know(nobody)


@pytest.mark.parametrize(
    ("text", "admitted"),
    [
        ("", {"alice"}),
        ("permit (principal, action, resource) unless { principal.external };", {"alice", "guest"}),
    ],
    ids=["default", "guests too"],
)
async def test_a_policy_may_let_guests_in(people, tmp_path, text, admitted):
    """The default does not; strangers are left out in both."""
    file = tmp_path / "policy.cedar"
    file.write_text(f'@id("all")\n@reason("all may")\n{text}')
    keeper = Doorkeeper(PolicyFile(file if text else None), {"slack": people})

    let_in = set()
    for name in ("alice", "guest", "stranger"):
        try:
            await keeper.admit(key(name), READ)
        except NotPermittedError:
            continue
        let_in.add(name)

    assert let_in == admitted
