"""The freeze file: the brake that works when nothing else does."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from activities.freeze_file import add_freeze, read_freezes, remove_freeze
from runbooks.model.freeze import Freeze
from tests.braking import frozen_by_file

AT = datetime(2026, 3, 14, 3, 7, tzinfo=UTC)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "FREEZE"


def freeze(scope: str = "*", reason: str = "database migration") -> Freeze:
    return Freeze(scope=scope, actor="local:alice", reason=reason, at=AT)


def test_no_file_freezes_nothing(file):
    """Without the file everybody may act."""
    assert frozen_by_file(file, runbook="a", target="b") is None
    assert read_freezes(file) == ()


BY_HAND = {
    "empty": b"",
    "only blank lines": b"\n  \n",
    "words": b"stop! I am looking at the database\n",
    "words that are not UTF-8": b"\xff\xfe",
    "half a line of ours": b'{"scope": "runbook=a", "act',
    "an unknown scope": b'{"scope":"host=a","actor":"a","reason":"r","at":"2026-03-14T03:07:00Z"}',
    "another field": b'{"scope":"target=x","actor":"a","reason":"r","at":"2026-03-14T03:07:00Z","until":"tomorrow"}',
    "a JSON list": b"[]",
}


@pytest.mark.parametrize("content", BY_HAND.values(), ids=BY_HAND.keys())
def test_what_cannot_be_understood_freezes_everything(file, content):
    """Somebody pulled the brake and only spelt it oddly."""
    file.write_bytes(content)

    assert frozen_by_file(file, runbook="any", target="any")
    assert frozen_by_file(file)


def test_a_file_that_cannot_be_read_freezes_everything(file):
    """A folder of that name is no file, and somebody meant something by it."""
    file.mkdir()

    assert "cannot be read" in frozen_by_file(file)


def test_words_by_hand_are_the_reason(file):
    """Whoever looks later reads what was written."""
    file.write_text("I am looking at the database \x1b[31m\n")

    assert frozen_by_file(file) == "somebody froze everything: I am looking at the database [31m"


def test_a_scope_freezes_only_what_it_names(file):
    """A freeze of one runbook or target lets the others act."""
    add_freeze(file, freeze("runbook=host-slow"))
    add_freeze(file, freeze("target=web-1"))

    assert "the runbook host-slow: database migration" in frozen_by_file(
        file, runbook="host-slow", target="x"
    )
    assert "the target web-1" in frozen_by_file(file, runbook="other", target="web-1")
    assert frozen_by_file(file, runbook="other", target="web-2") is None
    assert frozen_by_file(file) is None


def test_a_freeze_by_hand_stays_beside_others(file):
    """Adding one scope does not lift the freeze of everything."""
    file.touch()
    add_freeze(file, freeze("target=web-1"))

    assert frozen_by_file(file, runbook="other", target="other")
    assert {each.scope for each in read_freezes(file)} == {"*", "target=web-1"}


def test_freezing_twice_keeps_the_newest_reason(file):
    """One line for each scope."""
    add_freeze(file, freeze(reason="first"))
    add_freeze(file, freeze(reason="second\nline"))

    assert [each.reason for each in read_freezes(file)] == ["second\nline"]


def test_the_last_thaw_takes_the_file_away(file):
    """An empty file would freeze everything."""
    add_freeze(file, freeze())
    add_freeze(file, freeze("target=web-1"))

    assert [each.scope for each in remove_freeze(file, "*")] == ["*"]
    assert frozen_by_file(file, target="web-1")
    assert remove_freeze(file, "target=web-2") == ()
    remove_freeze(file, "target=web-1")
    assert list(file.parent.iterdir()) == []


def test_a_freeze_by_hand_can_be_thawed(file):
    """Lifting everything takes a hand-made file away."""
    file.write_text("stop!")
    remove_freeze(file, "*")

    assert not file.exists()


def test_freezes_at_the_same_moment_all_stand(file):
    """Two people who pull the brake at once do not undo each other."""
    threads = [
        threading.Thread(target=add_freeze, args=(file, freeze(f"target=web-{number}")))
        for number in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(read_freezes(file)) == 20
    assert [each.name for each in file.parent.iterdir()] == ["FREEZE"]


def test_times_have_a_zone(file):
    """A time that was written by hand without a zone is UTC."""
    file.write_text('{"scope":"*","actor":"a","reason":"r","at":"2026-03-14T03:07:00"}')

    assert read_freezes(file)[0].at == AT
