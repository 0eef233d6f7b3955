"""`/runbook login` and `logout`: whom a command line speaks for is said in Slack, by the person."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

import pytest

from activities.ledger.logins import Login
from bot.logins import LoginError
from bot.slack.commands import Asker, Commands
from bot.slack.message import Message
from tests.records import NOON

ANN = "slack:T1/UANN"
ASKER = Asker(person=ANN, source="slack:C1")


class Door:
    """Operations, as far as logins are concerned; remembers what it was asked."""

    def __init__(self, label: str = "ann@laptop") -> None:
        self.asked: list[tuple[str, str]] = []
        self.standing = [
            Login(
                id="L-7F3K2Q",
                person=ANN,
                label=label,
                peer="10.0.0.7",
                opened_at=NOON,
                expires_at=NOON + timedelta(hours=12),
            )
        ]

    async def log_in(self, code: str, *, actor: str, source: str) -> Login:
        assert (actor, source) == (ANN, "slack:C1")
        self.asked.append(("login", code))
        if code == "2222-2222":
            raise LoginError("no login waits for this code")
        return self.standing[0]

    async def log_out(self, login: str, *, actor: str, source: str) -> list[Login]:
        assert (actor, source) == (ANN, "slack:C1")
        self.asked.append(("logout", login))
        return [each for each in self.standing if login in {"", each.id}]


async def answer(door: Door, text: str) -> Message:
    nothing = cast("Any", None)  # what these words do not need
    return cast("Message", await Commands(cast("Any", door), nothing, nothing).answer(text, ASKER))


async def test_who_types_the_code_is_told_what_speaks_for_them_and_how_to_take_it_back():
    """Whoever was tricked into typing somebody else's code sees it here."""
    door = Door()

    said = await answer(door, "login K7QF-M2XR")

    assert door.asked == [("login", "K7QF-M2XR")]
    assert "ann@laptop" in str(said.payload())
    assert "10.0.0.7" in str(said.payload())
    assert "/runbook logout L-7F3K2Q" in str(said.payload())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("login", "Type the code that `paramedic login` shows"),
        ("login 2222-2222", "no login waits for this code"),
        ("logout", "Ended: `L-7F3K2Q`"),
        ("logout L-7F3K2Q", "Ended: `L-7F3K2Q`"),
        ("logout L-222222", "`L-222222` does not speak for you."),
    ],
)
async def test_each_of_them_is_answered_in_words(text, said):
    """Nobody is left to wonder whether it worked."""
    assert said in (await answer(Door(), text)).text


@pytest.mark.parametrize("label", ["", "x" * 80, "<!channel> *now* `x`", "\u202eevil", "日本" * 40])
async def test_what_a_command_line_says_of_itself_is_shown_as_data(label):
    """It comes from outside: it wakes nobody and breaks nothing."""
    said = await answer(Door(label), "login K7QFM2XR")

    assert said.problems() == []
    assert "<!channel>" not in str(said.payload())
