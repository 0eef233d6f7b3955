"""The judge of the fault suite finds what it is there to find: each promise, broken on purpose."""

from __future__ import annotations

import dataclasses
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chaos.judge import NEWS, Delivery, Effect, Findings, judge
from runbooks.model.record import SYSTEM, Record, RecordKind

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
WEB = Delivery(news="web-0/1", target="web-0")
KEY = "key-1"


class Ledger:
    """Records in order, one second apart; a good story by default."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._lengths: dict[str, itertools.count[int]] = {}

    def add(
        self,
        kind: RecordKind,
        stream: str = "R-1",
        *,
        object_: str = "web-0",
        outcome: str = "-",
        **data: Any,
    ) -> Record:
        seq = len(self.records)
        stream_seq = next(self._lengths.setdefault(stream, itertools.count()))
        record = Record(
            seq=seq, event_id=f"event-{seq}", stream=stream, stream_seq=stream_seq, kind=kind, actor="test", source="test",
            object=object_, outcome=outcome, at=BEGUN + timedelta(seconds=seq), data=data,
        )  # fmt: skip
        self.records.append(record)
        return record

    def received(self) -> None:
        alert = {"labels": {"service": "web-0", NEWS: WEB.news}, "status": "firing"}
        self.add(RecordKind.ALERT_RECEIVED, SYSTEM, entry="E-1", alert=alert)

    def admitted(self, *, verdict: str = "passed", gated: bool = False, requested_by: str = "") -> None:
        self.received()
        self.add(RecordKind.ADMISSION, entries=["E-1"], runbook="mend", requested_by=requested_by)
        self.add(RecordKind.CHECK, outcome=verdict, id="broken", round="before")
        gate = {"approvers": ["sre-oncall"], "need": 1} if gated else None
        self.add(RecordKind.PLAN, plan={"gate": gate})

    def approved(self, person: str, *, groups: tuple[str, ...] = ("sre-oncall",), digest: str = "D") -> None:
        said = {"principal": {"key": person, "groups": groups}, "answer": "approved", "plan_digest": digest}
        self.add(RecordKind.DECISION, outcome="accepted", decision=said)

    def acted(self, *, attempt: int = 1) -> Effect:
        intent = self.add(RecordKind.ACTION_INTENT, key=KEY, attempt=attempt, plan_digest="D")
        return Effect("web-0", intent.at + timedelta(milliseconds=1), KEY)

    def ended(self, *, kind: RecordKind = RecordKind.ACTION_RECEIPT, outcome: str = "ok") -> None:
        self.add(kind, key=KEY, attempt=1, outcome=outcome)
        self.add(RecordKind.ENDING, outcome="mitigated")

    def judged(self, *effects: Effect, most: int = 1) -> Findings:
        return judge([WEB], effects, self.records, most=most)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def test_a_good_story_has_nothing_against_it(ledger):
    """
    An alert that was admitted, acted on once and ended is in order.
    """
    ledger.admitted()
    effect = ledger.acted()
    ledger.ended()

    found = ledger.judged(effect)

    assert not found.broken
    assert (found.delivered, found.explained, found.effects, found.problems) == (1, 1, 1, ())


@pytest.mark.parametrize("how_far", ["nothing", "received", "admitted"])
def test_finds_an_alert_that_was_acknowledged_and_has_no_outcome(ledger, how_far):
    """
    Lost is lost, whether it never came on record or its remediation never ended.
    """
    if how_far != "nothing":
        getattr(ledger, how_far)()

    found = ledger.judged()

    assert found.lost == 1
    assert found.broken


def test_says_how_long_the_longest_alert_waited_for_its_outcome(ledger):
    """
    From the answer to the sender to the ending; one that has none is lost, and not late.
    """
    ledger.admitted()
    ledger.ended()
    late = dataclasses.replace(WEB, at=ledger.records[-1].at - timedelta(seconds=40))
    lost = Delivery(news="web-1/1", target="web-1", at=BEGUN)

    found = judge([WEB, late, lost], [], ledger.records)

    assert (found.longest, found.lost) == (40, 1)


def test_an_alert_that_no_remediation_took_in_is_explained_by_its_reason(ledger):
    """
    The decision not to act is an outcome.
    """
    ledger.received()
    ledger.add(RecordKind.ALERT_EXPLAINED, SYSTEM, entry="E-1")

    assert ledger.judged().lost == 0


@pytest.mark.parametrize("key", [KEY, "key-2"])
def test_finds_a_second_effect_under_the_same_key_and_under_another(ledger, key):
    """
    One episode is one effect: a fresh key is no excuse.
    """
    ledger.admitted()
    effect = ledger.acted()
    ledger.add(RecordKind.ACTION_INTENT, key="key-2", attempt=1, plan_digest="D")
    ledger.add(RecordKind.ACTION_RECEIPT, key="key-2", attempt=1, outcome="ok")
    ledger.ended()

    found = ledger.judged(effect, Effect("web-0", effect.at + timedelta(seconds=2), key))

    assert found.duplicates == 1
    assert found.broken


def test_finds_an_effect_before_its_intent(ledger):
    """
    A record that was written afterwards is no intent.
    """
    ledger.admitted()
    effect = ledger.acted()
    ledger.ended()

    assert ledger.judged(Effect("web-0", effect.at - timedelta(seconds=1), KEY)).without_intent == 1


def test_finds_an_intent_that_the_record_is_silent_about(ledger):
    """
    After an intent the record says what came of it, were it only that nobody knows.
    """
    ledger.admitted()
    effect = ledger.acted()
    ledger.add(RecordKind.ENDING)

    assert ledger.judged(effect).without_end == 1


def test_an_unknown_outcome_is_an_end_and_is_counted_for_a_person(ledger):
    """
    What is handed to a person breaks no promise, and is not hidden either.
    """
    ledger.admitted()
    effect = ledger.acted()
    ledger.ended(kind=RecordKind.ACTION_UNKNOWN, outcome="unknown")

    found = ledger.judged(effect)

    assert (found.without_end, found.to_person, found.broken) == (0, 1, False)


def test_finds_an_action_on_a_check_that_did_not_pass(ledger):
    """
    Only a clear yes lets anything be done.
    """
    ledger.admitted(verdict="inconclusive")
    effect = ledger.acted()
    ledger.ended()

    assert ledger.judged(effect).against_policy == 1


@pytest.mark.parametrize(
    "approval",
    [
        None,
        {"person": "mallory", "groups": ()},
        {"person": "alice", "digest": "of an older plan"},
        {"person": "carol"},
    ],
    ids=["nobody", "stranger", "older plan", "whoever asked for it"],
)
def test_finds_a_gated_action_without_the_right_approval(ledger, approval):
    """
    An approval counts from somebody else than the asker, in the group, for this very plan.
    """
    ledger.admitted(gated=True, requested_by="carol")
    if approval is not None:
        ledger.approved(**approval)
    effect = ledger.acted()
    ledger.ended()

    assert ledger.judged(effect).against_policy == 1


def test_an_approved_action_is_in_order(ledger):
    """
    The same gate, answered by one who may.
    """
    ledger.admitted(gated=True, requested_by="carol")
    ledger.approved("alice")
    effect = ledger.acted()
    ledger.ended()

    assert not ledger.judged(effect).broken


@pytest.mark.parametrize(("seconds", "against"), [(1, 0), (3, 1)])
@pytest.mark.parametrize("scope", ["*", "target=web-0", "runbook=mend"])
def test_finds_an_action_that_began_in_a_freeze(ledger, scope, seconds, against):
    """
    A freeze has two seconds to reach everything, in each scope, and not more.
    """
    ledger.admitted()
    ledger.add(RecordKind.FREEZE, SYSTEM, scope=scope)
    for _ in range(seconds - 1):
        ledger.add(RecordKind.PROCESS, SYSTEM)
    effect = ledger.acted()
    ledger.ended()

    assert ledger.judged(effect).against_policy == against


def test_a_freeze_that_was_lifted_is_over(ledger):
    """
    After the thaw everything may be done again.
    """
    ledger.admitted()
    ledger.add(RecordKind.FREEZE, SYSTEM, scope="*")
    for _ in range(3):
        ledger.add(RecordKind.PROCESS, SYSTEM)
    ledger.add(RecordKind.THAW, SYSTEM, scope="*")
    effect = ledger.acted()
    ledger.ended()

    assert not ledger.judged(effect).broken


def test_finds_any_effect_where_nothing_was_allowed(ledger):
    """
    Where a fault must lead to no action at all, one is one too many, however well it is recorded.
    """
    ledger.admitted()
    effect = ledger.acted()
    ledger.ended()

    assert ledger.judged(effect, most=0).against_policy == 1
