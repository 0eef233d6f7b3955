"""The brake of an installation with two webs, each with a data folder, and so a freeze file, of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from activities.freeze_file import read_freezes
from activities.ledger import freezes, records
from activities.ledger.store import Ledger
from bot.brake import Brake
from runbooks.model.record import RecordKind
from tests.ledgers import new_ledger

ALICE = {"actor": "local:alice", "source": "test"}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = new_ledger(tmp_path / "ledger.db")
    yield opened
    opened.close()


@pytest.fixture
def brakes(ledger, tmp_path):
    """The brakes of the two webs."""
    return [Brake(ledger, freeze_file=tmp_path / name / "FREEZE") for name in ("one", "other")]


def changes(ledger):
    """What was frozen and thawed, as it is on record."""
    kinds = {RecordKind.FREEZE, RecordKind.THAW}
    return [each.kind for each in ledger.read_now(lambda c: records.after(c, -1, 100, kinds))]


async def test_what_one_web_froze_the_other_can_thaw_for_good(ledger, brakes, tmp_path):
    """The file of the first is not a second pull of the brake: it learns of the thaw, and lets go."""
    one, other = brakes
    await one.freeze("*", "migration", **ALICE)
    await other.thaw("*", "done", **ALICE)

    await one.settle()

    assert ledger.read_now(freezes.current) == []
    assert not (tmp_path / "one" / "FREEZE").exists()
    assert changes(ledger) == [RecordKind.FREEZE, RecordKind.THAW]


async def test_what_was_frozen_again_since_stays_frozen(ledger, brakes, tmp_path):
    """Only what was lifted after it was pulled is let go of."""
    one, other = brakes
    await one.freeze("*", "migration", **ALICE)
    await other.thaw("*", "done", **ALICE)
    await one.freeze("*", "not done after all", **ALICE)

    await one.settle()

    assert [each.reason for each in ledger.read_now(freezes.current)] == ["not done after all"]
    assert [each.reason for each in read_freezes(tmp_path / "one" / "FREEZE")] == ["not done after all"]


async def test_an_old_file_that_somebody_puts_back_freezes_again_and_is_on_record(ledger, brakes, tmp_path):
    """Whoever writes the file now pulls the brake now, whatever time stands in it."""
    one, _ = brakes
    file = tmp_path / "one" / "FREEZE"
    await one.freeze("*", "migration", **ALICE)
    text = file.read_text()
    await one.thaw("*", "done", **ALICE)
    file.write_text(text)
    later = time.time() + 60
    os.utime(file, (later, later))

    await one.settle()

    assert [each.scope for each in ledger.read_now(freezes.current)] == ["*"]
    assert changes(ledger) == [RecordKind.FREEZE, RecordKind.THAW, RecordKind.FREEZE]
    assert file.exists()
