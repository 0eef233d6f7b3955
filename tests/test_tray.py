"""The tray: what was acknowledged is taken in once, in its order, whatever happens in between."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime

import httpx
import pytest
from structlog.testing import capture_logs

from activities.ledger import inbox, notifications
from activities.ledger.backlog import backlog
from activities.ledger.notifications import Kept
from activities.ledger.store import Transaction
from bot import pending
from bot import tray as tray_module
from bot.http.application import ALERTS
from runbooks.errors import LedgerRefusedError
from runbooks.model.record import RecordKind
from tests.way_in import TOKEN, WayIn, alert, notification, runbook


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """What is looked for now and then is looked for often, and a slow machine is not too late for a sender."""
    monkeypatch.setattr("bot.http.receiver.DEADLINE", 60.0)
    monkeypatch.setattr(tray_module, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(tray_module, "RETRY", 0.05)


@pytest.fixture
def way(tmp_path):
    with WayIn(tmp_path) as made:
        yield made


@asynccontextmanager
async def impatient(way):
    """A sender that does not wait until what it has said is taken in."""
    transport = httpx.ASGITransport(way.application, client=("127.0.0.1", 50000))
    headers = {"authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://p", headers=headers) as client:

        async def say(*alerts):
            answer = await client.post(ALERTS, content=json.dumps(notification(*alerts)).encode())
            assert answer.status_code == 200, answer.text

        yield say


def waiting(way):
    left = way.ledger.read_now(backlog)
    return left.entries + left.notifications


def said(way):
    return [(entry.target, entry.alert.status.value) for entry in way.woken]


async def test_what_is_acknowledged_is_durable_before_it_is_taken_in(way):
    """With the answer the body is on the disk: another connection reads it."""
    async with impatient(way) as say:
        await say(alert(instance="web-1"))

    with closing(sqlite3.connect(way.database)) as elsewhere:
        [(body,)] = elsewhere.execute("SELECT body FROM notification").fetchall()
    assert b"web-1" in body
    assert waiting(way) == 1
    assert way.records() == []


async def test_it_is_taken_in_without_being_looked_for(way, monkeypatch):
    """The answer wakes whoever takes in; nobody waits for the next look."""
    monkeypatch.setattr(tray_module, "LOOK_EVERY", 3600.0)
    async with impatient(way) as say, way.taking_in():
        await asyncio.sleep(0)
        await say(alert(instance="web-1"))
        async with asyncio.timeout(20):
            await way.intake.taken_in()

    assert said(way) == [("web-1", "firing")]
    assert waiting(way) == 1  # for Temporal, now
    [received] = way.records(RecordKind.ALERT_RECEIVED)
    with closing(sqlite3.connect(way.database)) as elsewhere:
        assert elsewhere.execute("SELECT count(*) FROM notification").fetchone() == (0,)
    assert received.data["raw"]


async def test_a_process_that_comes_back_takes_in_what_the_dead_one_acknowledged(way, tmp_path):
    """Killed right after its answers: the next process has everything, in its order, with the time of its arrival."""
    async with impatient(way) as say:
        begun = datetime.now(UTC)
        await say(alert(instance="web-1"))
        await say(alert(instance="web-1", status="resolved"))
        await say(alert(instance="web-2"), alert(instance="web-3"))
        answered = datetime.now(UTC)
    with WayIn(tmp_path / "next", database=way.database) as after:
        await until_taken_in(after, 4)

        assert said(after) == [
            ("web-1", "firing"),
            ("web-1", "resolved"),
            ("web-2", "firing"),
            ("web-3", "firing"),
        ]
        assert all(begun <= entry.received_at <= answered for entry in after.woken)
        assert all(entry.sender == "bearer-1@127.0.0.1" for entry in after.woken)
    assert way.woken == []


async def until(holds):
    """Wait until something holds that nobody tells of."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what is asked are databases and logs
            await asyncio.sleep(0.01)


async def until_taken_in(way, number):
    """Take in until so many alerts are on record."""
    async with way.taking_in():
        await until(lambda: len(way.records(RecordKind.ALERT_RECEIVED)) >= number)


async def test_two_processes_take_each_notification_in_once(way, tmp_path):
    """One is slow, and another helps itself to what it has left; what both would take in, one does."""
    async with impatient(way) as say:
        for number in range(50):
            await say(alert(instance=f"web-{number}"))
        with WayIn(tmp_path / "next", database=way.database) as other:
            async with way.taking_in(), other.taking_in():
                await until(lambda: len(way.woken) + len(other.woken) == 50)
                await way.intake.taken_in()

            assert len(way.records(RecordKind.ALERT_RECEIVED)) == 50
            assert len({entry.target for entry in (*way.woken, *other.woken)}) == 50


@pytest.mark.parametrize("received", ["2026-01-01T00:00:00.000000Z", "2126-01-01T00:00:00.000000Z"])
async def test_what_another_process_has_just_received_is_left_to_it(way, tmp_path, received):
    """It is old before anybody else touches it, or the clock went back since."""
    with WayIn(tmp_path / "other", database=way.database) as other:
        async with way.sender() as ours, impatient(other) as say_there:
            await ours.post(notification(alert(instance="web-0")))
            await say_there(alert(instance="web-1"))
            await ours.post(notification(alert(instance="web-2")))
            assert said(way) == [("web-0", "firing"), ("web-2", "firing")]

            way.ledger.write_now(
                lambda t: t.tables.exec_driver_sql("UPDATE notification SET received_at = ?", (received,))
            )
            await ours.post(notification(alert(instance="web-3")))
            await until(lambda: len(way.woken) == 4)

    assert said(way)[-2:] in (
        [("web-1", "firing"), ("web-3", "firing")],
        [("web-3", "firing"), ("web-1", "firing")],
    )


async def test_a_repetition_of_what_only_waits_is_no_repetition(way):
    """Fires; resolved waits to be taken in; fires again: the last word is not the one that was taken in last."""
    fires, resolved = (alert(instance="web-1", status=status) for status in ("firing", "resolved"))
    async with way.sender() as sender:
        await sender.post(notification(fires))
    async with impatient(way) as say:
        await say(resolved)
        await say(fires)
        await say(fires)
        assert waiting(way) == 3  # two of these, and the first for Temporal
        await until_taken_in(way, 3)
        async with way.taking_in():
            await way.intake.taken_in()

    assert [status for _, status in said(way)] == ["firing", "resolved", "firing"]


async def test_a_repetition_of_what_waits_elsewhere_is_none_either(way, tmp_path):
    """Another process has acknowledged that it is resolved, and did not take that in yet."""
    fires, resolved = (alert(instance="web-1", status=status) for status in ("firing", "resolved"))
    with WayIn(tmp_path / "other", database=way.database) as other:
        async with way.sender() as sender, impatient(other) as say_there:
            await sender.post(notification(fires))
            await say_there(resolved)
            await sender.post(notification(fires))

            assert way.counted("paramedic_duplicates_suppressed_total", by="body") == 0
            assert way.counted("paramedic_duplicates_suppressed_total", by="delivery") == 1  # asked the inbox


async def test_one_that_cannot_be_taken_in_does_not_keep_the_others_waiting(way, monkeypatch):
    """It is kept and told in the log, and tried again."""
    monkeypatch.setattr(tray_module, "ASIDE", 0.2)
    accept, broken = inbox.accept, True

    def sometimes(transaction, deliveries, **more):
        if broken and any(each.target == "web-1" for each in deliveries):
            raise KeyError("a fault of ours")
        return accept(transaction, deliveries, **more)

    monkeypatch.setattr(inbox, "accept", sometimes)
    with capture_logs() as logs:
        async with impatient(way) as say, way.taking_in():
            for number in range(3):
                await say(alert(instance=f"web-{number}"))
            await until(lambda: len(way.woken) == 2)
            assert said(way) == [("web-0", "firing"), ("web-2", "firing")]
            await way.intake.taken_in()  # does not wait for what cannot be
            broken = False
            await until(lambda: len(way.woken) == 3)

    assert "a notification cannot be taken in; it is kept" in [each["event"] for each in logs]


@pytest.mark.parametrize("fault", [KeyError("a fault of ours"), LedgerRefusedError("it is there already")])
async def test_one_whose_records_are_refused_is_found_out(way, monkeypatch, fault):
    """They are written together, so nobody knows whose fault it is: then one at a time is tried."""
    flush = Transaction.flush

    def sometimes(transaction):
        if any("web-3" in staged["object"] for staged in transaction._staged):
            raise fault
        flush(transaction)

    monkeypatch.setattr(Transaction, "flush", sometimes)
    with capture_logs():
        await _say_six(way)

    assert "web-3" not in [target for target, _ in said(way)]


async def _say_six(way):
    async with impatient(way) as say:
        for number in range(6):
            await say(alert(instance=f"web-{number}"))
        async with way.taking_in():
            await until(lambda: len(way.woken) == 5)


async def test_what_was_set_aside_takes_no_room_and_is_not_forgotten(way, monkeypatch):
    """Others find room; and nothing about the same alert passes for a repetition meanwhile."""
    monkeypatch.setattr(pending, "ROOM", 2)
    accept = inbox.accept

    def refuse(transaction, deliveries, **more):
        if any(each.target == "odd" and each.alert.status.value == "resolved" for each in deliveries):
            raise KeyError("a fault of ours")
        return accept(transaction, deliveries, **more)

    monkeypatch.setattr(inbox, "accept", refuse)
    fires, resolved = (alert(instance="odd", status=status) for status in ("firing", "resolved"))
    with capture_logs():
        async with way.sender() as sender:
            for body in (fires, resolved, alert(instance="web-1"), alert(instance="web-2"), fires):
                assert (await sender.post(notification(body))).status_code == 200

    assert said(way) == [("odd", "firing"), ("web-1", "firing"), ("web-2", "firing")]
    assert way.counted("paramedic_duplicates_suppressed_total", by="body") == 0


async def test_the_ledger_fails_in_a_way_that_nobody_foresaw(way):
    """It is told in the log, and tried again; the process goes on."""
    writing, fails = way.ledger.write, 3

    async def sometimes(work, **more):
        nonlocal fails
        fails -= 1
        if fails >= 0:
            raise ValueError("a tree of 5 leaves has another frontier")
        return await writing(work, **more)

    way.ledger.write = sometimes
    with capture_logs() as logs:
        async with way.sender() as sender:
            await sender.post(notification(alert(instance="web-1")))

    assert said(way) == [("web-1", "firing")]
    assert [each["error"] for each in logs if "cannot be taken in yet" in each["event"]] == [
        "ValueError: a tree of 5 leaves has another frontier"
    ] * 3


async def test_what_others_took_in_makes_what_waits_doubtful(way, tmp_path):
    """One is slow; another takes in what it has left, and hears the opposite: to repeat the first word is news."""
    fires, resolved = (alert(instance="web-1", status=status) for status in ("firing", "resolved"))
    async with impatient(way) as say, way.taking_in():
        await way.intake.taken_in()
        looking, gate = tray_module.Tray._take_some, asyncio.Event()

        async def slowly(tray, old):
            await gate.wait()
            return await looking(tray, old)

        way.intake._tray._take_some = lambda old: slowly(way.intake._tray, old)
        await say(fires)
        with WayIn(tmp_path / "other", database=way.database) as other:
            async with other.sender() as there:
                await until(lambda: len(other.woken) == 1)
                await there.post(notification(resolved))
        gate.set()
        await say(alert(instance="web-2"))
        await say(fires)
        await until(lambda: len(way.records(RecordKind.ALERT_RECEIVED)) == 4)

    assert [status for target, status in said(way) if target == "web-1"] == ["firing"]


async def test_one_that_cannot_be_read_any_more_does_not_keep_the_others_waiting(way, tmp_path):
    """A later version may refuse what an earlier one has acknowledged: it is kept, and told in the log."""
    await way.ledger.write_beside(
        lambda c: notifications.keep(c, Kept("odd", "an earlier process", "am", datetime.now(UTC), b"{"))
    )
    async with impatient(way) as say:
        await say(alert(instance="web-1"))
        with WayIn(tmp_path / "next", database=way.database) as after, capture_logs() as logs:
            await until_taken_in(after, 1)

    assert "a notification cannot be read; it is kept" in [each["event"] for each in logs]
    assert waiting(way) == 2  # the odd one, and an entry that waits for Temporal


async def test_what_waits_is_read_with_the_runbooks_of_now(way, tmp_path):
    """A runbook that was written while nobody ran gets the alert that was acknowledged before."""
    async with impatient(way) as say:
        await say(alert("Other", instance="web-1"))
    with WayIn(tmp_path / "next", database=way.database) as after:
        after.write_runbook("other", runbook("other", "Other"))
        after.intake.catalog = after.catalog.reloaded()
        await until_taken_in(after, 1)

        assert [entry.runbook for entry in after.woken] == ["other"]


@pytest.mark.slow
async def test_the_ledger_comes_back(way):
    """While it refuses, what was acknowledged waits; then it is taken in."""
    lock = sqlite3.connect(way.database, isolation_level=None)
    with capture_logs() as logs:
        async with impatient(way) as say:
            await say(alert(instance="web-1"))
            lock.execute("BEGIN IMMEDIATE")
            async with way.taking_in():
                await until(lambda: any("cannot be taken in yet" in each["event"] for each in logs))
                lock.execute("ROLLBACK")
                await way.intake.taken_in()
    lock.close()

    assert said(way) == [("web-1", "firing")]


async def test_what_came_too_late_for_its_sender_is_taken_in_once(way, monkeypatch):
    """503 at the deadline, and the ledger writes it all the same; nothing is a repetition of it until that is known."""
    monkeypatch.setattr("bot.http.receiver.DEADLINE", 0.2)
    writing, gate = way.ledger.write_beside, asyncio.Event()

    async def slowly(work):
        running = asyncio.ensure_future(held(work))
        return await asyncio.shield(running)

    async def held(work):
        await gate.wait()
        return await writing(work)

    way.ledger.write_beside = slowly
    async with way.sender() as sender:
        late = await sender.post(notification(alert(instance="web-1")))
        assert late.status_code == 503
        monkeypatch.setattr("bot.http.receiver.DEADLINE", 60.0)
        gate.set()
        await until(lambda: len(way.woken) == 1)
        again = await sender.post(notification(alert(instance="web-1")))

    assert again.status_code == 200
    assert said(way) == [("web-1", "firing")]


async def test_what_was_refused_leaves_nothing_behind(way):
    """An alert that was answered 503 is forgotten, and taken in when it comes again."""
    writing, fails = way.ledger.write_beside, True

    async def sometimes(work):
        if fails:
            raise tray_module.LedgerError("the disk is full")
        return await writing(work)

    way.ledger.write_beside = sometimes
    async with way.sender() as sender:
        assert (await sender.post(notification(alert(instance="web-1")))).status_code == 503
        fails = False
        async with asyncio.timeout(20):
            await way.intake.taken_in()
        assert (await sender.post(notification(alert(instance="web-1")))).status_code == 200

    assert said(way) == [("web-1", "firing")]


@pytest.mark.parametrize(("name", "room"), [("ROOM", 3), ("ROOM_BYTES", 500)])
async def test_who_brings_too_much_waits_until_there_is_room(way, monkeypatch, name, room):
    """What waits has its limit: the answer says 200 when there was room, and never because there was none."""
    monkeypatch.setattr(pending, name, room)
    async with impatient(way) as say:
        await say(*(alert(instance=f"web-{number}") for number in range(3)))
        late = asyncio.create_task(say(alert(instance="late")))
        done, _ = await asyncio.wait({late}, timeout=0.3)
        assert not done
        assert waiting(way) == 1
        async with way.taking_in(), asyncio.timeout(20):
            await late
            await way.intake.taken_in()

    assert said(way)[-1] == ("late", "firing")
    assert len(way.woken) == 4


@pytest.mark.slow
async def test_a_large_notification_comes_after_what_was_acknowledged_before(way):
    """Fires, acknowledged; then resolved, in a notification that is taken in at once because of its size."""
    others = [alert(instance=f"web-{number}") for number in range(600)]
    async with impatient(way) as say:
        await say(alert(instance="page"))
        large = asyncio.create_task(say(alert(instance="page", status="resolved"), *others))
        done, _ = await asyncio.wait({large}, timeout=1)
        assert not done
        async with way.taking_in():
            await large

    assert [status for target, status in said(way) if target == "page"] == ["firing", "resolved"]
    assert len(way.woken) == 602


async def test_a_large_body_is_taken_in_before_its_answer(way, monkeypatch):
    """However few alerts it holds."""
    monkeypatch.setattr("bot.intake.KEPT_LIMIT", 100)
    async with impatient(way) as say:
        await say(alert(instance="web-1"))

    assert said(way) == [("web-1", "firing")]


async def test_stopping_takes_in_what_was_acknowledged(way):
    """A process that stops in order leaves nothing for the next."""
    async with impatient(way) as say:
        taking = asyncio.create_task(way.intake.run())
        await asyncio.sleep(0)
        for number in range(20):
            await say(alert(instance=f"web-{number}"))
        way.intake.stop()
        await taking

    assert len(way.woken) == 20
