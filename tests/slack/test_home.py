"""The home tab: short whatever goes on, and first what somebody must know now."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.insight import Overview
from bot.operations import GateLine, OpenWindow, Status
from bot.slack.home import Eyes, home_view
from runbooks.model.freeze import Freeze
from tests.records import NOON
from tests.slack.test_home_and_forms import NAMES, overview, words


@pytest.mark.parametrize("many", [0, 1, 40])
def test_the_tab_is_short_whatever_goes_on(many):
    """A few lines of each part, the rest counted, and nothing of what is empty."""
    seen = overview(many=many).model_copy(update={"endings": (), "success": ()} if not many else {})
    status = seen.status.model_copy(update={"windows_problem": "it is no YAML" if many else ""})
    view = home_view(seen.model_copy(update={"status": status}), Eyes(groups=frozenset(NAMES)))
    titles = [block["text"]["text"] for block in view["blocks"] if block["type"] == "header"]
    told = "\n".join(block["text"]["text"] for block in view["blocks"] if block["type"] == "section")

    quiet = ["Waiting for you", "Running now"]
    assert titles == (
        ["Waiting for you", "The brake", "Running now", "Ended lately", "Did it help?"] if many else quiet
    )
    assert ("Nothing is under way. Nothing is frozen." in told) is (not many)
    assert len(told.split("\n")) < 45
    assert ("and 75 more: `/runbook status`" in told) is (many == 40)


def test_a_question_says_its_step_how_many_are_missing_and_who_is_next():
    """By when those who are asked now must answer, not when the last of the chain must."""
    gate = GateLine(remediation="R-7F3K2Q", runbook="x", target="y", approvers=NAMES, need=3, given=1,
                    asked_until=NOON, expires_at=NOON + timedelta(hours=1), then=("chiefs",), step="Drop it")  # fmt: skip
    seen = Overview(status=Status(frozen=(), running=(), gates=(gate,)), endings=(), success=(), cards={})

    told = words(home_view(seen, Eyes(groups=frozenset(NAMES))))

    assert "▲ *Approval of 2 more needed, before: Drop it*, by *<!date" in told
    assert "03:07 UTC>*, then `chiefs` too" in told


@pytest.mark.parametrize(
    ("brake", "said"),
    [
        (
            {"frozen": (Freeze(scope="*", actor="local:ann", reason="", at=NOON),)},
            "Everything is frozen: nobody acts.",
        ),
        ({"windows_problem": "it is no YAML"}, "Nobody acts: the maintenance windows cannot be read."),
        (
            {"windows": (OpenWindow(name="n", scope="*", reason="r", until=NOON),)},
            "Maintenance of everything",
        ),
        ({"frozen": (Freeze(scope="target=x", actor="local:ann", reason="", at=NOON),)}, ""),
    ],
)
def test_that_nobody_acts_stands_above_everything(brake, said):
    """Who approves something then waits in vain; a brake of one target keeps nobody else."""
    status = Status(**{"frozen": (), "running": (), "gates": (), **brake})
    seen = Overview(status=status, endings=(), success=(), cards={})

    first = home_view(seen, Eyes())["blocks"][0]["text"]["text"]

    assert said in first if said else first == "Waiting for you"
