"""Metrics: a projection of the ledger with closed sets of labels."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bot.metrics import Metrics
from runbooks.model.decision import Refusal
from runbooks.model.record import SYSTEM, Entry, Record, RecordKind
from tests.components import wait_until
from tests.records import NOON, Telling, a_good_night
from tests.way_in import WayIn, alert, notification


@pytest.fixture
def way(tmp_path):
    with WayIn(tmp_path) as made:
        yield made


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    """A slow machine is not taken for a ledger that does not answer."""
    monkeypatch.setattr("bot.metrics.READ_DEADLINE", 20.0)


@pytest.fixture
def metrics(way):
    return Metrics(way.ledger, actions=["supervisor.restart"], freeze_file=way.freeze_file)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def catalog(*names: str, seq: int = 0) -> Record:
    """A catalog on record with runbooks of these names."""
    return record(RecordKind.CATALOG, seq=seq, runbooks=dict.fromkeys(names, "ab" * 32), refused=[])


def received(entry: str, *, seq: int = 1, outcome: str = "matched") -> Record:
    """An alert on record, three seconds before the stories of `Telling` begin."""
    return record(RecordKind.ALERT_RECEIVED, outcome, seq=seq, entry=entry)


def record(kind: RecordKind, outcome: str = "-", *, seq: int, **data: object) -> Record:
    return Record(
        seq=seq,
        event_id=f"system/{seq}",
        stream=SYSTEM,
        stream_seq=seq,
        kind=kind,
        actor="bot",
        source="test",
        object="-",
        outcome=outcome,
        at=NOON - timedelta(seconds=3),
        data=data,
    )


def test_counts_a_remediation_that_helped(metrics):
    """Its ending, the time from its first alert, the wait at its gate, its action."""
    metrics.take([catalog("service-errors"), received("entry-1"), *a_good_night().records])

    assert value(metrics, "paramedic_remediations_total", runbook="service-errors", ending="mitigated") == 1
    assert value(metrics, "paramedic_alert_to_ending_seconds_sum", ending="mitigated") == pytest.approx(162.1)
    assert value(metrics, "paramedic_gate_wait_seconds_sum", outcome="approved") == pytest.approx(95)
    assert value(metrics, "paramedic_actions_total", action="supervisor.restart", outcome="ok") == 1
    assert value(metrics, "paramedic_action_retries_total", action="supervisor.restart") is None
    assert value(metrics, "paramedic_remediations_running") == 0
    assert value(metrics, "paramedic_gates_open") == 0


def test_shows_what_is_open(metrics):
    """A remediation at its gate is running, and its gate is open."""
    metrics.take(Telling().admitted().check("before", "passed").planned().asked().records)

    assert value(metrics, "paramedic_remediations_running") == 1
    assert value(metrics, "paramedic_gates_open") == 1


def test_counts_gates_that_went_on_to_the_next_who_are_asked(metrics):
    """Each link of a chain that is asked, by the runbook whose people did not answer."""
    told = Telling().admitted().planned().asked()
    for link, group in enumerate(("chiefs", "board"), 1):
        told.escalated(group, until=told.now.isoformat(), link=link)
    metrics.take([catalog("service-errors"), *told.records])

    assert value(metrics, "paramedic_gate_escalations_total", runbook="service-errors") == 2


def test_counts_answers_that_did_not_count_by_why_not(metrics):
    """Those that count are in the gate's outcome; a word that nobody declared is other."""
    told = Telling().admitted().planned().asked()
    told.answered("approved", "refused", refusal="not_a_member").answered(
        "approved", "refused", refusal="evil"
    )
    told.answered("approved", refusal="").gate_closed("approved")
    metrics.take(told.records)

    counted = {
        sample.labels["reason"]: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "paramedic_answers_refused_total" and sample.value
    }
    assert counted == {"not_a_member": 1, "other": 1}


def test_what_an_alert_waits_for_stands_at_nought_before_it_happens(metrics):
    """Prometheus sees no increase in a series that begins with one."""
    for action in ("supervisor.restart", "other"):
        assert value(metrics, "paramedic_actions_total", action=action, outcome="unknown") == 0
    for refusal in Refusal:
        assert value(metrics, "paramedic_answers_refused_total", reason=refusal.value) == 0


def test_a_gate_does_not_outlive_its_remediation(metrics):
    """An ending closes what was left open."""
    metrics.take(Telling().admitted().planned().asked().ended("stopped").records)

    assert value(metrics, "paramedic_gates_open") == 0


def test_counts_retries_and_what_was_recovered(metrics):
    """A lost attempt, then one that found out that it had been done."""
    told = Telling().admitted().planned().intent().unknown().intent(2).receipt(attempt=2, recovered=True)
    metrics.take(told.records)

    restart = {"action": "supervisor.restart"}
    assert value(metrics, "paramedic_actions_total", **restart, outcome="unknown") == 1
    assert value(metrics, "paramedic_actions_total", **restart, outcome="ok") == 1
    assert value(metrics, "paramedic_action_retries_total", **restart) == 1
    assert value(metrics, "paramedic_actions_recovered_total", **restart) == 1


def test_counts_a_record_once(metrics):
    """A batch that overlaps with the one before changes nothing."""
    records = [catalog("service-errors"), received("entry-1"), *a_good_night().records]
    metrics.take(records)
    metrics.take(records[3:])

    assert value(metrics, "paramedic_remediations_total", runbook="service-errors", ending="mitigated") == 1
    assert value(metrics, "paramedic_alerts_total", outcome="matched") == 1


def test_names_that_nobody_declared_are_other(metrics):
    """Neither an unknown runbook nor an unknown action becomes a label."""
    told = (
        Telling().admitted(runbook="evil").planned().intent(uses="evil").receipt(uses="evil").ended("weird")
    )
    metrics.take([catalog("service-errors"), *told.records])

    assert value(metrics, "paramedic_remediations_total", runbook="other", ending="other") == 1
    assert value(metrics, "paramedic_actions_total", action="other", outcome="ok") == 1
    assert b"evil" not in b"".join(sorted(str(family).encode() for family in metrics.registry.collect()))


@pytest.mark.slow
async def test_hostile_alerts_add_no_series(way):
    """1,000 alerts with labels of all kinds: as many series as after one."""
    following = asyncio.create_task(way.metrics.follow())
    await wait_until(lambda: way.metrics.caught_up)
    async with way.sender() as sender:
        await sender.post(notification(alert(instance="x"), alert("Unmatched"), alert()))
        await wait_until(lambda: way.counted("paramedic_alerts_explained_total") == 1)
        before = await series(sender)
        for batch in range(10):
            hostile = [
                alert(
                    f'Name{batch}-{number}"}}\n# HELP evil',
                    status="firing" if number % 2 else "resolved",
                    instance=f"web-{batch}-{number}",
                    **{f"label_{number}": "\x1b[31m" * number},
                )
                for number in range(50)
            ]
            targets = [alert(instance=f"web-{batch}-{number}") for number in range(50)]
            await sender.post(notification(*hostile, *targets))
            await sender.post(b"not JSON %d" % batch)
        await wait_until(lambda: way.counted("paramedic_alerts_total", outcome="matched") == 502)
        after = await series(sender)
    following.cancel()

    assert after - before == {("paramedic_receiver_answers_total", (("code", "400"),))}
    assert before - after == set()


async def series(sender) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    """Return the name and labels of everything that a scrape shows."""
    page = (await sender.request("GET", "/metrics")).text
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


async def test_a_restart_resets_nothing_that_is_on_record(way, metrics):
    """The counters of a new process are those of the old one."""
    told = a_good_night()
    entries = [
        Entry(**each.model_dump(exclude={"seq", "stream_seq"}))
        for each in (catalog("service-errors"), *told.records)
    ]
    await way.ledger.append(*entries)
    pages = []
    for each in (metrics, Metrics(way.ledger, actions=["supervisor.restart"], freeze_file=way.freeze_file)):
        assert not each.caught_up
        following = asyncio.create_task(each.follow())
        await wait_until(lambda each=each: each.caught_up)
        pages.append(await each.page())
        following.cancel()

    assert pages[0] == pages[1]
    assert b'paramedic_remediations_total{ending="mitigated",runbook="service-errors"} 1.0' in pages[0]
    assert b"_created" not in pages[0]


async def test_follows_what_comes(way, metrics):
    """A record that is written later is counted soon."""
    following = asyncio.create_task(metrics.follow())
    await wait_until(lambda: metrics.caught_up)
    async with way.sender() as sender:
        await sender.post(notification(alert(instance="web-1")))
    await wait_until(lambda: value(metrics, "paramedic_alerts_total", outcome="matched") == 1)
    following.cancel()


async def test_shows_no_page_before_it_has_caught_up(way):
    """Half-read counters would look like a rise when the rest is read."""
    async with way.sender(token=None) as visitor:
        assert (await visitor.request("GET", "/metrics")).status_code == 503


async def test_shows_the_moment(way, metrics):
    """Backlog, its age, the ledger's size and the brake are those of the scrape."""
    async with way.sender() as sender:
        await sender.post(notification(alert(instance="web-1"), alert("Unmatched")))
    way.freeze_file.touch()
    await metrics.page()

    assert value(metrics, "paramedic_inbox_backlog") == 1
    assert 0 <= value(metrics, "paramedic_inbox_oldest_seconds") < 60
    assert value(metrics, "paramedic_ledger_size") == 2
    assert value(metrics, "paramedic_frozen") == 1
    assert value(metrics, "paramedic_ledger_readable") == 1


async def test_shows_a_page_when_the_ledger_cannot_be_read(way, metrics):
    """Without the ledger there is a page all the same, and it says so."""
    way.ledger.close()

    assert b"paramedic_ledger_readable 0.0" in await metrics.page()


def test_alerts_that_nobody_admits_do_not_fill_the_memory(metrics, monkeypatch):
    """What waits for its admission is remembered up to a limit."""
    monkeypatch.setattr("bot.metrics.ENTRIES_REMEMBERED", 10)
    metrics.take([received(f"entry-{seq}", seq=seq) for seq in range(100)])

    assert len(metrics._received) == 10


def test_every_rebuilt_counter_says_so(metrics):
    """A reader of HELP learns which counters a restart resets."""
    for family in metrics.registry.collect():
        if family.type in {"counter", "histogram"}:
            assert (
                "from the ledger at start" in family.documentation
                or "Of this process" in family.documentation
            )
