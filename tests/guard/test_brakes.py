"""Brakes with a label's scope, and maintenance windows: they reach what is admitted and what is under way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from activities.freeze_file import add_freeze
from activities.ledger import freezes
from activities.surroundings import Surroundings
from activities.windows import WindowsFile
from runbooks.model.action import Outcome
from runbooks.model.freeze import Freeze
from runbooks.model.plan import Part
from runbooks.model.remediation import Ending
from runbooks.policy.endings import ending_of_receipt
from runbooks.ports.case import SecondLook
from tests.guard.surgery import Surgery

PAYMENTS = {"team": "payments"}


class Maintained(Surgery):
    """A surgery with a file of windows, which has none at first."""

    def __init__(self, folder):
        super().__init__(folder)
        self.windows = folder / "windows.yaml"
        self.windows.write_text(window("target=elsewhere"))
        for each in (self.case, self.guard):
            each._surroundings = Surroundings(self.freeze_file, windows=WindowsFile(self.windows))


def window(scope: str) -> str:
    now = datetime.now(UTC)
    begins, ends = (now - timedelta(hours=1)).isoformat(), (now + timedelta(hours=1)).isoformat()
    return f"windows: [{{name: w, scope: '{scope}', from: '{begins}', until: '{ends}', reason: The network moves.}}]\n"


@pytest.fixture
def maintained(tmp_path):
    """A surgery with windows."""
    with_windows = Maintained(tmp_path)
    yield with_windows
    with_windows.ledger.close()


@pytest.mark.parametrize(("scope", "stops"), [("label:team=payments", True), ("label:team=search", False)])
@pytest.mark.parametrize("by_file", [True, False])
async def test_a_freeze_of_a_label_stops_the_next_action(surgery, scope, stops, by_file):
    """By the labels that the remediation was admitted with, in the ledger and in the file."""
    await surgery.examine(labels=PAYMENTS)
    pulled = Freeze(scope=scope, actor="bob", reason="careful", at=datetime.now(UTC))
    if by_file:
        add_freeze(surgery.freeze_file, pulled)
    else:
        await surgery.ledger.write(
            lambda t: freezes.freeze(t, scope, actor="bob", source="test", reason="careful")
        )

    receipt = await surgery.attend(surgery.order())

    assert receipt.outcome is (Outcome.REFUSED if stops else Outcome.OK)
    assert receipt.reason == ("frozen" if stops else "")
    assert len(surgery.world.calls) == (not stops)


@pytest.mark.parametrize(("scope", "stops"), [("label:team=payments", True), ("target=web-2", False)])
async def test_a_window_that_is_added_stops_what_is_under_way(maintained, scope, stops):
    """Nobody restarts anything: the file is read again."""
    await maintained.examine(labels=PAYMENTS)
    maintained.windows.write_text(window(scope))

    again = await maintained.case.examine_again(
        SecondLook(remediation=maintained.found.remediation, fencing=maintained.found.fencing)
    )
    receipt = await maintained.attend(maintained.order())

    assert (again.withheld.reason if again.withheld else "") == ("maintenance" if stops else "")
    assert receipt.reason == ("maintenance" if stops else "")
    assert ending_of_receipt("R-1", receipt, "Mend it").ending is (Ending.STOPPED if stops else Ending.FAILED)
    assert len(maintained.world.calls) == (not stops)


async def test_a_window_withholds_a_new_remediation(maintained):
    """Nothing is measured, and the sentence says why."""
    maintained.windows.write_text(window("*"))

    found = await maintained.examine()

    assert (found.withheld.reason, found.checks) == ("maintenance", ())
    assert "The network moves" in found.withheld.sentence


async def test_a_broken_file_of_windows_stops_everything_and_says_where(maintained):
    """Somebody meant to stop something: it fails closed, with the place of the mistake."""
    await maintained.examine()
    maintained.windows.write_text("windows: [{name: w}]\n")

    receipt = await maintained.attend(maintained.order())

    assert receipt.reason == "windows_unreadable"
    assert "windows.yaml:1:11: a window needs `reason`" in receipt.sentence


async def test_people_are_told_also_in_a_window(maintained):
    """A brake stops acting, not talking."""
    await maintained.examine()
    maintained.windows.write_text(window("*"))

    assert (await maintained.attend(maintained.order(Part.OTHERWISE))).outcome is Outcome.OK
