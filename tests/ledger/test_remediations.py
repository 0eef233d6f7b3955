"""Remediations: admitted once, joined, explained and ended, each alert with exactly one outcome."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from activities.ledger import admission as door
from activities.ledger import freezes, leases, records, remediations, schema
from activities.ledger.store import Ledger
from activities.ledger.verification import verify
from runbooks.errors import RefusedError
from runbooks.model.alert import AlertStatus
from runbooks.model.freeze import Freeze
from runbooks.model.record import SYSTEM, Record, RecordKind
from runbooks.model.remediation import Ending
from runbooks.policy.admission import Outside
from tests.ledger.material import BOTH, NIGHT, admitted, alert, call, closing, delivery, received

pytestmark = BOTH

MINUTE = timedelta(minutes=1)
FIRE = Freeze(scope="*", actor="alice", reason="fire", at=NIGHT)
RESOLVED = alert(instance="web-1", status=AlertStatus.RESOLVED)


def close(ledger: Ledger, remediation: str, after: timedelta = MINUTE, **more: object) -> Record:
    said = closing(remediation, **more)
    return ledger.write_now(lambda t: remediations.close(t, said, at=NIGHT + after))


def join(ledger: Ledger, remediation: str, *entries: str) -> None:
    ledger.write_now(lambda t: remediations.join(t, remediation, entries, at=NIGHT))


def stream(ledger: Ledger, remediation: str) -> list[Record]:
    return ledger.read_now(lambda c: records.stream_of(c, remediation))


def told(ledger: Ledger, name: str) -> list[tuple[str, str, str]]:
    """Return kind, outcome and entry of the records in a stream."""
    return [(each.kind.value, each.outcome, each.data.get("entry", "")) for each in stream(ledger, name)]


def freeze_all(ledger: Ledger) -> None:
    ledger.write_now(
        lambda t: freezes.freeze(t, "*", actor="local:alice", source="cli", reason="migration", at=NIGHT)
    )


# --- admission --------------------------------------------------------------------------------


def test_an_admitted_remediation_has_lease_row_and_record(ledger: Ledger) -> None:
    """All in one transaction, and all that later readers need is in the record."""
    first, second = received(ledger, delivery(alert=RESOLVED), delivery())

    admission = admitted(ledger, call(first, second))

    name = admission.remediation
    assert re.fullmatch(r"R-[0-9A-HJKMNP-TV-Z]{6}", name)
    assert (admission.fencing, admission.withheld) == (1, None)
    assert (admission.alert.status, admission.target) == (AlertStatus.FIRING, "web-1")
    record, *joined = stream(ledger, name)
    assert (record.event_id, record.outcome, record.object) == (f"{name}/admission", "admitted", "web-1")
    assert record.data == {
        "runbook": "disk-full",
        "runbook_digest": "d1",
        "target": "web-1",
        "summary": "Free space on a host whose disk is nearly full.",
        "workflow_id": "remediation/disk-full/web-1",
        "first_run": "run-1",
        "entries": [first, second],
        "alert": admission.alert.model_dump(mode="json"),
        "requested_by": "",
        "fencing": 1,
        "reason": "",
        "sentence": "",
    }
    assert [(each.event_id, each.data["status"]) for each in joined] == [
        (f"joined/{first}", "resolved"),
        (f"joined/{second}", "firing"),
    ]
    assert ledger.read_now(lambda c: leases.holds_lease(c, name, 1))
    (row,) = ledger.read_now(remediations.open_remediations)
    assert (row.id, row.admitted, row.opened_at, row.ended_at, row.ending) == (name, True, NIGHT, None, None)


def test_calling_in_again_finds_the_same_remediation(ledger: Ledger) -> None:
    """After a crash or a reset nothing is opened twice, whatever became of freeze and cooldown."""
    entries = received(ledger, delivery())
    first = admitted(ledger, call(*entries))
    freeze_all(ledger)

    assert admitted(ledger, call(*entries), at=NIGHT + MINUTE) == first
    assert len(stream(ledger, first.remediation)) == 2


def test_what_has_ended_is_not_carried_out_again(ledger: Ledger) -> None:
    """A workflow that is reset after its end asks again, and is told so."""
    entries = received(ledger, delivery())
    name = admitted(ledger, call(*entries)).remediation
    close(ledger, name)

    again = admitted(ledger, call(*entries))

    assert again.remediation == name
    assert again.withheld.reason == "ended_already"
    assert again.withheld.sentence == f"{name} ended mitigated; what has ended is not carried out again."


def test_an_alert_that_came_between_two_calls_is_not_lost(ledger: Ledger) -> None:
    """The first answer was lost, the remediation was withheld, and what came since needs one of its own."""
    (first,) = received(ledger, delivery())
    freeze_all(ledger)
    withheld = admitted(ledger, call(first))
    (second,) = received(ledger, delivery(alert=alert(instance="web-1", job="b")))
    (third,) = received(ledger, delivery(alert=alert(instance="web-1", job="c", status=AlertStatus.RESOLVED)))

    again = admitted(ledger, call(first, second, third))

    assert (again.remediation, again.withheld.reason) == (withheld.remediation, "ended_already")
    assert admitted(ledger, call(second, third, run="run-2")).remediation not in {"", withheld.remediation}
    explained = ledger.read_now(lambda c: records.after(c, -1, 99, {RecordKind.ALERT_EXPLAINED}))
    assert [each.data["entry"] for each in explained] == [third]


def test_two_runs_have_two_ids_even_where_their_hashes_agree(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id that is taken is not given again."""
    monkeypatch.setattr(door, "_ids", lambda _: iter(["R-000000", "R-000001"]))
    entries = received(ledger, delivery(), delivery("web-2"))

    names = [
        admitted(ledger, call(entries[0])).remediation,
        admitted(ledger, call(entries[1], target="web-2", run="run-2")).remediation,
    ]

    assert names == ["R-000000", "R-000001"]


def test_the_id_is_derived_from_the_run(ledger: Ledger) -> None:
    """The same run has the same id; it never runs out of further ones."""
    ids = door._ids(call("e"))
    again = door._ids(call("other"))
    other = door._ids(call("e", run="run-2"))

    first = [next(ids) for _ in range(3)]
    assert first == [next(again) for _ in range(3)]
    assert len({*first, next(other)}) == 4


def test_a_freeze_withholds_and_everything_is_on_record(ledger: Ledger) -> None:
    """A remediation that may not begin has begun and ended: row, admission, alerts, ending."""
    freeze_all(ledger)
    (entry,) = received(ledger, delivery())

    admission = admitted(ledger, call(entry))

    assert (admission.withheld.reason, admission.fencing) == ("frozen", 0)
    assert told(ledger, admission.remediation) == [
        ("admission", "withheld", ""),
        ("alert.joined", "-", entry),
        ("ending", "withheld", ""),
    ]
    record, _, ending = stream(ledger, admission.remediation)
    assert record.data["sentence"] == ending.data["sentence"] == admission.withheld.sentence
    assert ending.data["count"] == 3
    assert ledger.read_now(remediations.open_remediations) == []
    row = ledger.read_now(lambda c: remediations.row(c, admission.remediation))
    assert (row.admitted, row.ended_at, row.ending) == (False, NIGHT, Ending.WITHHELD)
    assert admitted(ledger, call(entry)) == admission


def test_the_freeze_file_withholds(ledger: Ledger) -> None:
    """What the caller read outside the database is judged with the rest."""
    (entry,) = received(ledger, delivery())

    admission = admitted(ledger, call(entry), outside=Outside(freezes=(FIRE,)))

    assert admission.withheld.reason == "frozen"
    assert "alice froze everything at 03:07 UTC: fire" in admission.withheld.sentence


def test_a_target_that_another_runbook_holds_is_withheld(ledger: Ledger) -> None:
    """One target, one remediation at a time; the next one gets a larger number."""
    entries = received(ledger, delivery(), delivery(runbook="reboot"), delivery(runbook="third"))
    first = admitted(ledger, call(entries[0]))

    second = admitted(ledger, call(entries[1], name="reboot", run="run-2"))
    assert second.withheld.reason == "leased"
    assert f"{first.remediation} (disk-full) is at work on web-1" in second.withheld.sentence

    close(ledger, first.remediation)
    third = admitted(ledger, call(entries[2], name="third", run="run-3"), at=NIGHT + 2 * MINUTE)
    assert (third.withheld, third.fencing) == (None, 2)


def test_a_lease_that_nobody_renewed_is_taken_over(ledger: Ledger) -> None:
    """And its former holder is told, when it wakes up."""
    entries = received(ledger, delivery(), delivery(runbook="reboot"))
    first = admitted(ledger, call(entries[0]))
    later = NIGHT + timedelta(hours=1)

    second = admitted(ledger, call(entries[1], name="reboot", run="run-2"), at=later)

    assert (second.withheld, second.fencing) == (None, 2)
    assert not ledger.read_now(lambda c: leases.holds_lease(c, first.remediation, 1))
    again = ledger.write_now(lambda t: door.admit_again(t, first.remediation, 1, at=later))
    assert again.withheld.reason == "lease_lost"


def test_a_runbook_rests_after_an_ending_but_not_after_being_withheld(ledger: Ledger) -> None:
    """Withheld remediations would otherwise keep each other withheld for ever."""
    entries = received(ledger, *(delivery(alert=alert(f"n{number}")) for number in range(4)))
    rest = 10 * MINUTE
    close(ledger, admitted(ledger, call(entries[0])).remediation, after=MINUTE)

    outcomes = [
        admitted(ledger, call(entry, run=f"run-{entry}"), at=NIGHT + minutes * MINUTE, cooldown=rest).withheld
        for entry, minutes in zip(entries[1:], (5, 10, 11), strict=True)
    ]

    assert [each.reason if each else "" for each in outcomes] == ["cooldown", "cooldown", ""]


def test_a_request_without_an_alert_is_admitted_for_its_person(ledger: Ledger) -> None:
    """Who asked is known to whoever judges approvals."""
    (entry,) = received(ledger, delivery(alert=None, requested_by="local:alice"))

    admission = admitted(ledger, call(entry))

    assert (admission.requested_by, dict(admission.alert.labels)) == ("local:alice", {})
    name = admission.remediation
    assert ledger.read_now(lambda c: door.requested_by(c, name)) == "local:alice"
    assert ledger.read_now(lambda c: door.standing(c, name)) == admission


# --- entries ----------------------------------------------------------------------------------


def test_nothing_is_opened_where_every_alert_was_taken_care_of(ledger: Ledger) -> None:
    """A workflow that starts late for an alert that another one took in goes home."""
    (entry,) = received(ledger, delivery())
    close(ledger, admitted(ledger, call(entry)).remediation)
    before = ledger.read_now(records.size)

    admission = admitted(ledger, call(entry, run="run-2"))

    assert (admission.remediation, ledger.read_now(records.size)) == ("", before)


def test_an_alert_that_nobody_received_opens_nothing(ledger: Ledger) -> None:
    """A message sent straight to Temporal cannot invent an alert."""
    assert admitted(ledger, call("forged")).remediation == ""
    assert ledger.read_now(records.size) == 0


def test_only_new_alerts_are_taken_in(ledger: Ledger) -> None:
    """Each alert has one outcome, so the one that joined before does not join again."""
    old, new = received(ledger, delivery(), delivery(alert=alert("Other", instance="web-1")))
    close(ledger, admitted(ledger, call(old)).remediation)

    admission = admitted(ledger, call(old, new, run="run-2"), at=NIGHT + MINUTE)

    assert told(ledger, admission.remediation) == [("admission", "admitted", ""), ("alert.joined", "-", new)]


def test_alerts_that_have_resolved_open_nothing_and_are_explained(ledger: Ledger) -> None:
    """There is nobody to help; the outcome is on record, once."""
    (entry,) = received(ledger, delivery(alert=RESOLVED))

    for run in ("run-1", "run-2"):
        assert admitted(ledger, call(entry, run=run)).remediation == ""

    explained = [each for each in stream(ledger, "system") if each.kind is RecordKind.ALERT_EXPLAINED]
    assert [each.data["reason"] for each in explained] == ["resolved"]


def test_alerts_join_a_remediation_in_progress_once(ledger: Ledger) -> None:
    """Delivered twice, recorded once; what was explained before stays explained."""
    first, second, third = received(
        ledger, delivery(), delivery(alert=RESOLVED), delivery(alert=alert("C", instance="web-1"))
    )
    name = admitted(ledger, call(first)).remediation
    (entry,) = [each for each in ledger.read_now(lambda c: remediations.inbox.entries(c, [third])) if each]
    ledger.write_now(lambda t: remediations.explain(t, entry, "silenced", "Somebody silenced it."))

    join(ledger, name, second)
    join(ledger, name, first, second, third, "forged")

    assert told(ledger, name)[1:] == [("alert.joined", "-", first), ("alert.joined", "-", second)]


def test_an_alert_that_comes_too_late_is_explained(ledger: Ledger) -> None:
    """Nothing stands in a stream after its ending."""
    first, second = received(ledger, delivery(), delivery(alert=RESOLVED))
    name = admitted(ledger, call(first)).remediation
    close(ledger, name)

    join(ledger, name, second)

    assert told(ledger, name)[-1][0] == "ending"
    last = stream(ledger, "system")[-1]
    assert (last.event_id, last.data["reason"], last.data["remediation"]) == (
        f"explained/{second}",
        "too_late",
        name,
    )


def test_an_alert_that_joined_is_not_explained_as_well(ledger: Ledger) -> None:
    """Asked to, the ledger answers with what became of it."""
    (first,) = received(ledger, delivery())
    name = admitted(ledger, call(first)).remediation
    (entry,) = ledger.read_now(lambda c: remediations.inbox.entries(c, [first]))

    record = ledger.write_now(lambda t: remediations.explain(t, entry, "resolved", "..."))

    assert (record.kind, record.stream) == (RecordKind.ALERT_JOINED, name)


# --- going on and ending ----------------------------------------------------------------------


def test_asked_again_it_may_go_on_and_its_lease_is_renewed(ledger: Ledger) -> None:
    """People take their time; neither its own lease nor an earlier ending is an objection."""
    old, new = received(ledger, delivery(), delivery(alert=alert("Other", instance="web-1")))
    close(ledger, admitted(ledger, call(old)).remediation)
    admission = admitted(ledger, call(new, run="run-2"), at=NIGHT + MINUTE)
    later = NIGHT + timedelta(minutes=50)

    again = ledger.write_now(
        lambda t: door.admit_again(t, admission.remediation, admission.fencing, at=later)
    )

    assert again == admission
    expires_at = ledger.read_now(lambda c: c.execute(schema.lease.select()).one().expires_at)
    assert expires_at == later + timedelta(hours=1)


def test_asked_again_it_is_withheld_by_a_freeze(ledger: Ledger) -> None:
    """The brake reaches those in flight, be it in the ledger or beside it."""
    (entry,) = received(ledger, delivery())
    name = admitted(ledger, call(entry)).remediation

    def ask(**more: str) -> str:
        return ledger.write_now(lambda t: door.admit_again(t, name, 1, at=NIGHT, **more)).withheld.reason

    assert ask(outside=Outside(freezes=(FIRE,))) == "frozen"
    freeze_all(ledger)
    assert ask() == "frozen"


def test_asked_again_what_has_ended_stays_ended(ledger: Ledger) -> None:
    """Whoever asks was reset or is late."""
    (entry,) = received(ledger, delivery())
    name = admitted(ledger, call(entry)).remediation
    close(ledger, name, ending=Ending.NOT_NEEDED)

    again = ledger.write_now(lambda t: door.admit_again(t, name, 1, at=NIGHT))

    assert again.withheld.sentence == f"{name} ended not needed; what has ended is not carried out again."


def test_the_first_ending_wins(ledger: Ledger) -> None:
    """A second word on it changes neither record nor row."""
    (entry,) = received(ledger, delivery())
    name = admitted(ledger, call(entry)).remediation

    first = close(ledger, name)
    second = close(ledger, name, after=2 * MINUTE, ending=Ending.FAILED)

    assert first == second
    assert (first.outcome, first.data["count"], first.data["sentence"]) == ("mitigated", 3, "It helped.")
    row = ledger.read_now(lambda c: remediations.row(c, name))
    assert (row.ending, row.ended_at) == (Ending.MITIGATED, NIGHT + MINUTE)


def test_an_ending_gives_the_lease_back(ledger: Ledger) -> None:
    """The target is free at once."""
    (entry,) = received(ledger, delivery())
    name = admitted(ledger, call(entry)).remediation

    close(ledger, name)

    assert not ledger.read_now(lambda c: leases.holds_lease(c, name, 1))


def test_a_lease_that_is_kept_lasts_until_a_person_gives_it_back(ledger: Ledger) -> None:
    """Where nobody knows what was done, time alone does not free the target."""
    entries = received(ledger, delivery(), delivery(runbook="reboot"), delivery(runbook="third"))
    name = admitted(ledger, call(entries[0])).remediation
    close(ledger, name, ending=Ending.FAILED, keep_lease=True)
    much_later = NIGHT + timedelta(days=2)

    second = admitted(ledger, call(entries[1], name="reboot", run="run-2"), at=much_later)
    assert second.withheld.reason == "leased"
    assert "whose outcome is not known" in second.withheld.sentence

    assert ledger.write_now(lambda t: leases.release_lease(t, name))
    assert not ledger.write_now(lambda t: leases.release_lease(t, name))
    assert admitted(ledger, call(entries[2], name="third", run="run-3"), at=much_later).fencing == 2


def test_who_gives_a_kept_target_back_is_on_record_and_the_ledger_stays_good(ledger: Ledger) -> None:
    """The record stands beside the remediation, whose last record is its ending."""
    name = admitted(ledger, call(*received(ledger, delivery()))).remediation
    close(ledger, name, ending=Ending.FAILED, keep_lease=True)
    said = {"actor": "local:alice", "source": "cli", "reason": "it had restarted"}

    (kept,) = ledger.read_now(leases.kept_targets)
    assert (kept.target, kept.remediation, kept.runbook) == ("web-1", name, "disk-full")
    assert ledger.write_now(lambda t: leases.give_back(t, "web-1", **said)) == kept
    assert ledger.write_now(lambda t: leases.give_back(t, "web-1", **said)) is None

    (record,) = ledger.read_now(lambda c: records.after(c, -1, 99, {RecordKind.LEASE_RELEASED}))
    assert (record.stream, record.actor, record.object) == (SYSTEM, "local:alice", "web-1")
    assert record.data == {"target": "web-1", "remediation": name, "reason": "it had restarted"}
    assert ledger.read_now(leases.kept_targets) == []
    assert ledger.read_now(verify).exit_code == 0


def test_a_target_that_is_at_work_is_not_given_back(ledger: Ledger) -> None:
    """A person in a hurry does not take a lease away under somebody who acts."""
    name = admitted(ledger, call(*received(ledger, delivery()))).remediation

    given = ledger.write_now(lambda t: leases.give_back(t, "web-1", actor="a", source="cli", reason="r"))

    assert given is None
    assert ledger.read_now(lambda c: leases.holds_lease(c, name, 1))


def test_a_remediation_that_never_was_is_refused(ledger: Ledger) -> None:
    """Nothing is joined to, closed or said of it."""
    works = [
        lambda t: remediations.join(t, "R-000000", ["e"], at=NIGHT),
        lambda t: remediations.close(t, closing("R-000000"), at=NIGHT),
        lambda t: door.admit_again(t, "R-000000", 1, at=NIGHT),
        lambda t: door.standing(t.connection, "R-000000"),
        lambda t: door.requested_by(t.connection, "R-000000"),
    ]

    for work in works:
        with pytest.raises(RefusedError, match="no remediation 'R-000000'"):
            ledger.write_now(work)
    assert ledger.read_now(lambda c: remediations.row(c, "R-000000")) is None
