"""The receiver: what is taken in, what is refused, and what the answer says."""

from __future__ import annotations

import asyncio
import gzip
import json
import sqlite3
import time

import pytest
from structlog.testing import capture_logs

from activities.ledger import blobs
from activities.ledger.sqlite import LOCK_TIMEOUT_MS
from bot.http import receiver as receiver_module
from bot.http.application import ALERTS
from bot.http.payload import ALERTS_LIMIT, BODY_LIMIT, TEXT_LIMIT, TRUNCATED
from bot.http.receiver import DEADLINE
from runbooks.model.record import RecordKind
from tests.way_in import WayIn, alert, notification, runbook


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    """Senders wait for a slow machine; a test of the deadline sets its own."""
    monkeypatch.setattr(receiver_module, "DEADLINE", 60.0)


def bodies(*, version: str = '"4"', alerts: str = "[]", more: str = "") -> bytes:
    return f'{{"version": {version}, "alerts": {alerts}{more}}}'.encode()


LABELS = '[{"status": "firing", "labels": %s}]'

NOT_UNDERSTOOD = {
    "nothing": b"",
    "not JSON": b"{",
    "two values": b"{}{}",
    "not UTF-8": b'{"version": "4", "alerts": [{"status": "firing", "labels": {"a": "\xff"}}]}',
    "a list": b"[]",
    "a word": b"null",
    "NaN": bodies(more=', "truncatedAlerts": NaN'),
    "minus infinity": bodies(more=', "x": -Infinity'),
    "an integer of 5,000 digits": bodies(more=f', "x": {"9" * 5000}'),
    "a key twice at the top": bodies(more=', "version": "4"'),
    "a key twice in labels": bodies(alerts=LABELS % '{"a": "1", "a": "2"}'),
    "a key twice by its escape": bodies(alerts=LABELS % r'{"a": "1", "\u0061": "2"}'),
    "nine deep": bodies(more=', "x": ' + "[" * 8 + "]" * 8),
    "100,000 lists deep": bodies(more=', "x": ' + "[" * 100_000 + "]" * 100_000),
    "100,000 objects deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "100,000 opened and never closed": b"[" * 100_000,
    "no version": b'{"alerts": []}',
    "version 3": bodies(version='"3"'),
    "version 4 as a number": bodies(version="4"),
    "no alerts": b'{"version": "4"}',
    "alerts as an object": bodies(alerts="{}"),
    "an alert that is a string": bodies(alerts='["x"]'),
    "an alert without a status": bodies(alerts='[{"labels": {}}]'),
    "an alert with a foreign status": bodies(alerts='[{"status": "pending", "labels": {}}]'),
    "a status that is a list": bodies(alerts='[{"status": ["firing"], "labels": {}}]'),
    "an alert without labels": bodies(alerts='[{"status": "firing"}]'),
    "labels as a list": bodies(alerts=LABELS % "[]"),
    "labels as null": bodies(alerts=LABELS % "null"),
    "a label that is a number": bodies(alerts=LABELS % '{"a": 1}'),
    "a label that is null": bodies(alerts=LABELS % '{"a": null}'),
    "a label that is an object": bodies(alerts=LABELS % '{"a": {}}'),
    "truncatedAlerts as a string": bodies(more=', "truncatedAlerts": "9"'),
    "compressed, and nobody says so": gzip.compress(bodies()),
}


@pytest.mark.parametrize("body", NOT_UNDERSTOOD.values(), ids=NOT_UNDERSTOOD.keys())
async def test_refuses_what_can_never_be_understood(way, body):
    """What is not JSON, or not payload version 4, is a 400 with a reason, quickly, and leaves nothing behind."""
    async with way.sender() as sender:
        begun = time.monotonic()
        answer = await sender.post(body)
        took = time.monotonic() - begun

    assert answer.status_code == 400, answer.text
    assert len(answer.json()["error"]) > 10
    assert took < 5
    assert way.records() == []
    assert way.counted("paramedic_receiver_answers_total", code="400") == 1


async def test_nesting_of_eight_is_fine(way):
    """Unknown fields are accepted, as deep as the limit allows."""
    body = bodies(alerts=LABELS % '{"alertname": "X"}', more=', "new": ' + "[" * 7 + "]" * 7)
    async with way.sender() as sender:
        assert (await sender.post(body)).status_code == 200


ODD = {
    "half a surrogate pair": "\ud800",
    "control characters": "a\0b\x1b[31m\r\nc",
    "an emoji": "\N{FIRE}",
    "right to left": "\u202egnp.exe",
    "a template": "{{ 7*7 }}",
    "empty": "",
}


@pytest.mark.parametrize("value", ODD.values(), ids=ODD.keys())
async def test_takes_in_an_alert_with_an_odd_label(way, value):
    """Behind an odd label there is still an alert: it is recorded, and told apart from others."""
    async with way.sender() as sender:
        first = await sender.post(notification(alert(instance="web-1", note=value)))
        other = await sender.post(notification(alert(instance="web-1", note=value + "x")))

    assert (first.json()["accepted"], other.json()["accepted"]) == (1, 1)
    [kept, _] = way.records(RecordKind.ALERT_RECEIVED)
    note = kept.data["alert"]["labels"]["note"]
    assert note == value or "\\" in note


async def test_cuts_and_marks_a_value_of_a_megabyte(way):
    """A huge value is cut and marked, and two that differ only behind the cut stay two alerts."""
    huge = "x" * 1_000_000
    async with way.sender() as sender:
        answers = [await sender.post(notification(alert(instance="web-1", note=huge + end))) for end in "ab"]

    assert [answer.json()["accepted"] for answer in answers] == [1, 1]
    notes = {each.data["alert"]["labels"]["note"] for each in way.records(RecordKind.ALERT_RECEIVED)}
    assert len(notes) == 2
    assert all(len(note) == TEXT_LIMIT and "[cut: 1000001 characters" in note for note in notes)


TIMES = [
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+01:00",
    "9999-12-31T23:59:59-14:00",
    "yesterday",
    17,
    None,
]


@pytest.mark.parametrize("time_", TIMES, ids=str)
async def test_takes_in_an_alert_whose_times_are_none(way, time_):
    """Times are hints: an alert is not refused for one that cannot be understood."""
    odd = {**alert(instance="web-1", status="resolved"), "startsAt": time_, "endsAt": time_}
    async with way.sender() as sender:
        assert (await sender.post(notification(odd))).status_code == 200

    [kept] = way.records(RecordKind.ALERT_RECEIVED)
    assert kept.data["alert"]["starts_at"] is None


async def test_decides_by_each_alerts_own_status(way):
    """A group counts as firing while any alert fires; each alert is taken in with its own status."""
    said = notification(alert(instance="web-1"), alert(instance="web-2", status="resolved"), status="firing")
    async with way.sender() as sender:
        await sender.post(said)

    assert {entry.target: entry.alert.status.value for entry in way.woken} == {
        "web-1": "firing",
        "web-2": "resolved",
    }


async def test_identifies_an_alert_by_its_labels_alone(way):
    """The sender's fingerprint is not believed: it may be forged, or missing."""
    first, second = alert(instance="web-1"), alert(instance="web-1")
    second["fingerprint"] = "forged"
    async with way.sender() as sender:
        await sender.post(notification(first))
        again = await sender.post(notification(second))

    assert again.json() == {"accepted": 0, "duplicates": 1, "unmatched": 0}


async def test_answers_200_for_an_alert_without_a_runbook(way):
    """An alert that no runbook is for is on record as unmatched, and acknowledged."""
    async with way.sender() as sender:
        answer = await sender.post(notification(alert("SomethingElse")))

    assert (answer.status_code, answer.json()) == (200, {"accepted": 0, "duplicates": 0, "unmatched": 1})
    assert [record.outcome for record in way.records(RecordKind.ALERT_RECEIVED)] == ["unmatched"]
    assert way.woken == []


async def test_explains_an_alert_whose_target_cannot_be_rendered(way):
    """A runbook matched and nobody knows what to act on: explained in the same transaction, handed to nobody."""
    async with way.sender() as sender:
        answer = await sender.post(notification(alert()))

    assert answer.json()["accepted"] == 1
    [explained] = way.records(RecordKind.ALERT_EXPLAINED)
    assert explained.data["reason"] == "target_not_rendered"
    assert "instance" in explained.data["sentence"]
    assert way.woken == []


async def test_sends_one_alert_to_every_runbook_that_is_for_it(way):
    """Two runbooks for one alert are two entries."""
    way.write_runbook("host-slow-too", runbook("host-slow-too", "HostSlow", "{{ labels.cluster }}"))
    way.intake.catalog = way.catalog.reloaded()
    async with way.sender() as sender:
        answer = await sender.post(notification(alert(instance="web-1", cluster="eu")))

    assert answer.json()["accepted"] == 2
    assert {(entry.runbook, entry.target) for entry in way.woken} == {
        ("host-slow", "web-1"),
        ("host-slow-too", "eu"),
    }


async def test_treats_cut_off_alerts_as_an_incident(way):
    """Alerts that the sender cut off may never come, so that is an alert of its own, and a metric."""
    async with way.sender() as sender:
        answer = await sender.post(notification(alert(instance="web-1"), truncatedAlerts=900))

    assert answer.json() == {"accepted": 1, "duplicates": 0, "unmatched": 1}
    [incident] = [each for each in way.records(RecordKind.ALERT_RECEIVED) if each.outcome == "unmatched"]
    assert incident.data["alert"]["labels"]["alertname"] == TRUNCATED
    assert "900" in incident.data["alert"]["annotations"]["summary"]
    assert way.counted("paramedic_alerts_truncated_total") == 900


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_only_post_delivers(way, method):
    """After a redirect Alertmanager's POST is a GET: answered 200, an alert would be lost with success."""
    async with way.sender() as sender:
        answer = await sender.request(method, ALERTS)

    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("path", [ALERTS + "/", "/alerts", "/", "//alerts/alertmanager"])
async def test_never_redirects(way, path):
    """No path near the right one redirects to it."""
    async with way.sender() as sender:
        answer = await sender.request("POST", path, content=b"{}")

    assert answer.status_code == 404
    assert way.counted("paramedic_receiver_answers_total", code="404") == path.startswith("/alerts")
    assert "location" not in answer.headers
    assert ALERTS in answer.json()["error"]


async def test_refuses_a_body_over_the_limit_by_its_header(way):
    """A length that says too much is refused before the body is read."""
    async with way.sender() as sender:
        answer = await sender.post(b"", **{"content-length": str(BODY_LIMIT + 1)})

    assert answer.status_code == 413


async def test_cuts_off_a_body_that_lies_about_its_length(way):
    """A body without a length is read up to the limit and not further."""
    sent = 0

    async def pieces():
        nonlocal sent
        for _ in range(100):
            sent += 2**20
            yield b"x" * 2**20

    async with way.sender() as sender:
        answer = await sender.request("POST", ALERTS, content=pieces())

    assert answer.status_code == 413
    assert way.counted("paramedic_receiver_answers_total", code="413") == 1


async def test_refuses_more_alerts_than_the_limit(way):
    """20,001 alerts are too many at once."""
    body = bodies(alerts="[" + ",".join(['{"status":"firing","labels":{}}'] * (ALERTS_LIMIT + 1)) + "]")
    async with way.sender() as sender:
        assert (await sender.post(body)).status_code == 413


async def test_refuses_an_alert_with_thousands_of_labels(way):
    """A thousand labels are enough for any alert."""
    async with way.sender() as sender:
        answer = await sender.post(notification(alert(**{f"label_{n}": "x" for n in range(1001)})))

    assert answer.status_code == 413


async def test_refuses_a_compressed_body(way):
    """Alertmanager sends none, and unpacking one could fill the memory."""
    async with way.sender() as sender:
        answer = await sender.post(gzip.compress(b"x" * 10_000_000), **{"content-encoding": "gzip"})

    assert answer.status_code == 415


async def test_sheds_an_equal_body_before_it_is_parsed(way):
    """A byte-equal repetition costs a hash, and is counted."""
    async with way.sender() as sender:
        await sender.post(notification(alert(instance="web-1"), alert(instance="web-2")))
        again = await sender.post(notification(alert(instance="web-1"), alert(instance="web-2")))

    assert again.json() == {"accepted": 0, "duplicates": 2, "unmatched": 0}
    assert way.counted("paramedic_duplicates_suppressed_total", by="body") == 2
    assert way.counted("paramedic_duplicates_suppressed_total", by="delivery") == 0
    assert len(way.records()) == 2


async def test_a_changed_catalog_reads_an_equal_body_again(way):
    """A runbook that was written a moment ago gets the alert that is sent again, equal byte for byte."""
    async with way.sender() as sender:
        await sender.post(notification(alert("Other", instance="web-1")))
        way.write_runbook("other", runbook("other", "Other"))
        way.intake.catalog = way.catalog.reloaded()
        again = await sender.post(notification(alert("Other", instance="web-1")))

    assert again.json() == {"accepted": 1, "duplicates": 0, "unmatched": 0}


async def test_sheds_known_alerts_without_asking_the_inbox(way):
    """In a storm the same alerts come in ever new groups: nothing is written, and each is counted."""
    first, second, third = (alert(instance=f"web-{n}") for n in range(3))
    async with way.sender() as sender:
        await sender.post(notification(first, second))
        writes = count_writes(way)
        again = await sender.post(notification(second, first, second))
        both = await sender.post(notification(second, third))

    assert again.json() == {"accepted": 0, "duplicates": 3, "unmatched": 0}
    assert both.json() == {"accepted": 1, "duplicates": 1, "unmatched": 0}
    assert len(writes) == 1
    assert way.counted("paramedic_duplicates_suppressed_total", by="delivery") == 4


def count_writes(way):
    """Note from now on what is handed to the ledger to be written."""
    writes, write = [], way.ledger.write
    way.ledger.write = lambda work, **more: (writes.append(work), write(work, **more))[1]
    return writes


@pytest.mark.parametrize("words", [{}, {"note": "Straße"}, {"note": "\ud800"}, {"note": "a\0b"}], ids=str)
async def test_an_equal_body_is_news_after_something_else_was_said(way, words):
    """Firing, resolved, firing: the third body equals the first, whatever the labels are written in."""
    fires, resolved = (
        notification(alert(instance="web-1", status=status, **words)) for status in ("firing", "resolved")
    )
    async with way.sender() as sender:
        for body in (fires, resolved, fires, fires):
            await sender.post(body)

    assert [entry.alert.status.value for entry in way.woken] == ["firing", "resolved", "firing"]
    assert (
        way.counted("paramedic_duplicates_suppressed_total", by="body")
        + way.counted("paramedic_duplicates_suppressed_total", by="delivery")
        == 1
    )


async def test_another_writer_of_the_inbox_is_noticed(way, tmp_path):
    """Two receivers on one ledger: what the other was told counts as said."""
    with WayIn(tmp_path / "other", database=way.database) as other:
        fires, resolved = (
            notification(alert(instance="web-1", status=status)) for status in ("firing", "resolved")
        )
        numbers = []
        async with way.sender() as here, other.sender() as there:
            for sender, said in (
                (here, fires),
                (here, fires),
                (there, resolved),
                (here, fires),
                (there, fires),
            ):
                await sender.post(said)
                numbers.append(len(way.records(RecordKind.ALERT_RECEIVED)))

    assert numbers == [1, 1, 2, 3, 3]


async def test_the_body_of_what_is_new_is_kept(way):
    """Its record names the bytes that were sent."""
    body = json.dumps(notification(alert(instance="web-1"))).encode()
    async with way.sender() as sender:
        await sender.post(body)

    [received] = way.records(RecordKind.ALERT_RECEIVED)
    kept = way.ledger.read_now(lambda connection: blobs.find(connection, received.data["raw"]))
    assert kept is not None
    assert (kept.value, kept.media) == (body, "application/json")


async def test_one_hundred_equal_posts_at_the_same_time_are_one_entry(way):
    """Senders race; the inbox does not."""
    async with way.sender() as sender:
        said = notification(alert(instance="web-1"))
        answers = await asyncio.gather(*(sender.post(said) for _ in range(100)))

    assert {answer.status_code for answer in answers} == {200}
    assert way.counted("paramedic_duplicates_suppressed_total", by="delivery") == 99
    assert len(way.records(RecordKind.ALERT_RECEIVED)) == len(way.woken) == 1


@pytest.mark.slow
async def test_answers_503_within_its_deadline_while_the_ledger_is_locked(way):
    """Another process holds the lock: 503 in time, and the same again is taken in once it is free."""
    said = notification(alert(instance="web-1"))
    lock = sqlite3.connect(way.database, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    async with way.sender() as sender:
        begun = time.monotonic()
        refused = await sender.post(said)
        took = time.monotonic() - begun
        lock.execute("ROLLBACK")
        taken = await sender.post(said)
    lock.close()

    assert refused.status_code == 503
    assert LOCK_TIMEOUT_MS / 1000 < DEADLINE / 2
    assert took < 5
    assert "locked" in refused.json()["error"]
    assert taken.json()["accepted"] == 1
    assert way.counted("paramedic_receiver_answers_total", code="503") == 1


async def test_answers_503_when_the_ledger_is_closed(way):
    """What cannot be written down is not acknowledged."""
    way.ledger.close()
    async with way.sender() as sender:
        answer = await sender.post(notification(alert(instance="web-1")))

    assert answer.status_code == 503
    assert way.woken == []


async def test_answers_503_when_a_sender_dawdles(way, monkeypatch):
    """A body whose end does not come is given up at the deadline."""
    monkeypatch.setattr(receiver_module, "DEADLINE", 0.05)

    async def endless():
        yield b"{"
        await asyncio.Event().wait()
        yield b"}"

    async with way.sender() as sender:
        answer = await sender.request("POST", ALERTS, content=endless())

    assert answer.status_code == 503


@pytest.mark.slow
async def test_takes_in_a_group_of_ten_thousand(way):
    """A storm in one notification is taken in whole, and others are answered meanwhile."""
    storm = notification(*(alert(instance=f"web-{n}") for n in range(10_000)))
    body = json.dumps(storm).encode()
    async with way.sender() as sender:
        coming = asyncio.create_task(sender.post(body))
        await asyncio.sleep(0.05)
        page = await sender.post(notification(alert(instance="page")))
        assert not coming.done()
        answer = await coming
        again = await sender.post(body)

    assert page.json()["accepted"] == 1
    assert answer.json()["accepted"] == 10_000
    assert again.json()["duplicates"] == 10_000


async def test_works_with_unknown_and_missing_fields(way):
    """Only labels and status are required; fields of later versions are passed over."""
    said = {
        "version": "4",
        "alerts": [{"status": "firing", "labels": {"alertname": "HostSlow", "instance": "x"}, "new": 1}],
    }
    async with way.sender() as sender:
        assert (await sender.post(said)).json()["accepted"] == 1


def test_says_at_start_that_nobody_needs_a_token(tmp_path, capsys):
    """Who starts it without tokens is told so."""
    with WayIn(tmp_path, tokens=()):
        assert "PARAMEDIC_WEBHOOK_TOKENS" in "".join(capsys.readouterr())


async def test_a_wrong_path_is_logged_with_the_right_one(way):
    """Whoever set up the sender finds out in the log why no alert arrives."""
    with capture_logs() as logs:
        async with way.sender() as sender:
            await sender.request("POST", f"{ALERTS}/", content=b"{}")

    (said,) = [each for each in logs if each["log_level"] == "warning"]
    assert (said["path"], said["right"]) == (f"{ALERTS}/", ALERTS)


async def test_an_alert_without_a_target_is_logged(way):
    """It is answered 200 and explained on record; the log says which alert, which runbook and why."""
    with capture_logs() as logs:
        async with way.sender() as sender:
            await sender.post(notification(alert(env="prod")))

    (said,) = [each for each in logs if "names no target" in each["event"]]
    assert said["problem"].startswith("HostSlow for host-slow: ")
    assert "instance" in said["problem"]
