"""The story of a remediation is worked out from its records and nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runbooks.model.alert import AlertStatus
from runbooks.model.record import RecordKind
from runbooks.model.remediation import Ending
from runbooks.model.verdict import Verdict
from runbooks.policy.story import StoryError, read_story
from tests.records import ALERT, NOON, PLAN, Telling, a_good_night


def phases(told: Telling) -> list[str]:
    """The phase after each record, without repetitions."""
    seen = [read_story(told.records[: count + 1]).phase for count in range(len(told.records))]
    return [phase for before, phase in zip(["", *seen], seen, strict=False) if phase != before]


def test_tells_who_what_and_how_it_ended():
    """A whole remediation is read from its records: facts, gate, action, verification, ending."""
    story = read_story(a_good_night().records)

    assert (story.remediation, story.runbook, story.target) == ("R-7F3K2Q", "service-errors", "checkout")
    assert (story.admitted, story.opened_at, story.alert) == (True, NOON, ALERT)
    assert story.workflow_id == "remediation/service-errors/checkout"
    assert (story.plan, story.plan_digest) == (PLAN, PLAN.digest)
    assert (story.ending, story.ending_reason, story.ending_sentence) == (
        Ending.MITIGATED,
        "verified",
        "it helped",
    )
    assert (story.withheld_reason, story.observe, story.requested_by) == ("", False, "")
    assert story.ended_at is not None
    assert story.last_seq == 52


def test_the_plan_read_back_has_the_digest_that_was_approved():
    """Numbers become text on record, and still the plan's digest is the same."""
    told = Telling(
        plan=PLAN.model_copy(
            update={"actions": (PLAN.actions[0].model_copy(update={"arguments": {"n": 1.0}}),)}
        )
    )

    story = read_story(told.admitted().planned().records)

    assert story.plan is not None
    assert story.plan.digest == story.plan_digest == told.plan.digest


def test_goes_through_the_phases_in_order():
    """The phase follows the records: checking, asking, acting, verifying, ended."""
    assert phases(a_good_night()) == ["checking", "asking", "acting", "verifying", "ended"]


def test_verifying_begins_when_the_last_action_is_done():
    """Nobody is told that it still acts while it only waits for the first look."""
    standing_orders = PLAN.model_copy(update={"gate": None})
    told = Telling(plan=standing_orders).admitted().planned().intent().receipt()

    assert phases(told) == ["checking", "acting", "verifying"]


def test_an_action_during_verification_is_acting():
    """An undo after the verification is an action again."""
    told = Telling().admitted().planned().intent().receipt().verified("failed")
    told.intent(key="R-7F3K2Q/undo", step="undo")

    assert read_story(told.records).phase == "acting"


def test_a_denied_gate_is_not_acting():
    """Between the no and the ending, nothing looks as if something were done."""
    told = Telling().admitted().planned().asked().answered("denied").gate_closed("denied")

    assert read_story(told.records).phase == "asking"


def test_observing_never_looks_like_acting():
    """A runbook that only says what it would do has no acting phase."""
    story = read_story(Telling().admitted().planned(observe=True).records)

    assert (story.observe, story.phase) == (True, "checking")


def test_a_withheld_admission_is_not_admitted_and_says_why():
    """The decision not to act is told with its reason."""
    told = Telling().admitted("withheld", reason="cooldown", sentence="ended 4 minutes ago")

    story = read_story(told.ended("withheld").records)

    assert (story.admitted, story.withheld_reason, story.withheld_sentence) == (
        False,
        "cooldown",
        "ended 4 minutes ago",
    )
    assert story.phase == "ended"


def test_a_second_admission_can_only_withhold():
    """What was asked again before acting does not change who and what was admitted first."""
    told = Telling().admitted().planned().wait(minutes=3)
    told.admitted(runbook="other").admitted("withheld", runbook="other", reason="frozen", sentence="brake")

    story = read_story(told.records)

    assert (story.runbook, story.admitted, story.withheld_reason) == ("service-errors", True, "frozen")
    assert story.opened_at == NOON


def test_a_run_that_a_person_asked_for_has_no_alert():
    """A remediation that was started by hand names the person instead of an alert."""
    story = read_story(Telling().admitted(alert=None, requested_by="local:alice").records)

    assert (story.alert, story.requested_by) == (None, "local:alice")


def test_looks_at_the_same_check_are_counted():
    """Each look at a check in a round has its number; a number on record is taken as it is."""
    told = Telling().admitted().check("before", "passed").verified("failed")
    told.verified("passed").verified("passed", look=9)

    checks = read_story(told.records).checks

    assert [(check.round, check.look) for check in checks] == [
        ("before", 1),
        ("verify", 1),
        ("verify", 2),
        ("verify", 9),
    ]
    assert (checks[1].verdict, checks[1].took_ms) == (Verdict.FAILED, 12)


def test_every_answer_is_told_with_its_person_and_objection():
    """Answers that did not count are told as well as the one that did."""
    bob = {"key": "slack:T1/U2"}
    told = Telling().admitted().planned().asked()
    told.answered("approved", "refused", objection="you are not in sre-oncall", principal=bob)
    told.wait(minutes=1).answered("denied", reason="we are failing over")
    told.gate_closed("denied", "Alice said no")

    gate = read_story(told.records).gate

    assert gate is not None
    assert (gate.outcome, gate.sentence, gate.closed_at) == ("denied", "Alice said no", told.now)
    refused, accepted = gate.decisions
    assert (refused.key, refused.accepted, refused.objection) == (
        "slack:T1/U2",
        False,
        "you are not in sre-oncall",
    )
    assert (accepted.name, accepted.reason, accepted.objection) == ("Alice", "we are failing over", "")
    assert accepted.at == NOON + timedelta(minutes=1)


def test_an_answer_to_another_gate_is_not_an_answer_to_this_one():
    """A decision counts for the gate that it names, and without a gate for none."""
    told = Telling().admitted().answered("approved").planned().asked()
    told.answered("approved", gate="R-7F3K2Q/gate-0")

    gate = read_story(told.records).gate

    assert gate is not None
    assert gate.decisions == ()


def test_attempts_of_one_action_are_one_action():
    """All attempts have one key, begin with the first and end with the last."""
    told = Telling().admitted().planned().intent().wait(seconds=1)
    told.receipt("not_sent", sentence="connection refused", output={})
    told.wait(seconds=4).intent(attempt=2)

    running = read_story(told.records).actions
    ended = read_story(told.wait(seconds=2).receipt(attempt=2).records).actions

    assert [(each.state, each.attempts, each.ended_at) for each in running] == [("running", 2, None)]
    (action,) = ended
    assert (action.state, action.attempts, action.effect) == ("ok", 2, "destructive")
    assert (action.begun_at, action.ended_at) == (NOON, NOON + timedelta(seconds=7))
    assert (action.output, action.recovered) == ({"pid": 4723}, False)


@pytest.mark.parametrize("state", ["failed", "not_sent"])
def test_a_receipt_that_is_not_ok_says_so(state):
    """The state of an action is the outcome of its last receipt."""
    (action,) = read_story(Telling().admitted().intent().receipt(state).records).actions

    assert action.state == state


def test_an_unknown_outcome_is_unknown():
    """An action without an answer is neither done nor not done."""
    (action,) = read_story(Telling().admitted().intent().unknown().records).actions

    assert (action.state, action.reason, action.sentence) == ("unknown", "timeout", "no answer within 30 s")


def test_what_still_ran_at_the_end_is_unknown():
    """A worker that was lost leaves an intent without an outcome: nobody knows what came of it."""
    told = Telling().admitted().planned().intent().ended("failed", "the worker was lost", "lost")

    (action,) = read_story(told.records).actions

    assert (action.state, action.sentence, action.ended_at) == ("unknown", "no outcome is on record", None)


@pytest.mark.parametrize(
    ("told", "state", "reason"),
    [
        (Telling().admitted().wait(minutes=1).refused(), "refused", "frozen"),
        (
            Telling().admitted().wait(minutes=1).receipt("not_sent", reason="unreachable"),
            "not_sent",
            "unreachable",
        ),
    ],
    ids=["refused", "not sent"],
)
def test_what_certainly_did_not_happen_needs_no_intent(told, state, reason):
    """What a rule forbade, or could not even be prepared, has no intent and is told all the same."""
    (action,) = read_story(told.records).actions

    assert (action.state, action.reason, action.begun_at) == (state, reason, told.now)


def test_resolved_means_that_the_last_word_was_resolved():
    """An alert that fires again after it was reported resolved is not resolved."""
    told = Telling().admitted().wait(minutes=1).joined(AlertStatus.RESOLVED)
    resolved = read_story(told.records)
    again = read_story(told.wait(minutes=1).joined().records)

    assert (resolved.joined, resolved.resolved_at) == (0, NOON + timedelta(minutes=1))
    assert (again.joined, again.resolved_at) == (1, None)


def test_the_alert_that_opened_it_is_not_a_further_one():
    """The entries that it was opened for are on record as joined, and are not counted again."""
    story = read_story(Telling().admitted().joined(entry="entry-1").joined(entry="entry-2").records)

    assert (story.entries, story.joined) == (("entry-1",), 1)


def test_what_a_newer_version_wrote_is_passed_over():
    """Kinds that no story needs and names that are unknown do not stop the reading."""
    told = Telling().admitted(colour="red", alert=ALERT.model_dump(mode="json") | {"mood": "bad"})
    told.check("before", "passed", unit="ratio").intent(host="a").tell(RecordKind.DECISION_RECEIVED, id="c")

    story = read_story(told.records)

    assert (story.alert, len(story.checks), len(story.actions)) == (ALERT, 1, 1)
    assert story.last_seq == told.records[-1].seq


def test_a_gap_is_not_told():
    """Records with one missing are no story: what is missing could change it."""
    records = a_good_night().records

    with pytest.raises(StoryError, match="record 43 is number 3 of its stream, not 2"):
        read_story([*records[:2], *records[3:]])


def test_another_order_is_not_told():
    """Records out of order are no story."""
    first, second, *rest = a_good_night().records

    with pytest.raises(StoryError, match="number 1 of its stream, not 0"):
        read_story([second, first, *rest])


def test_records_of_two_remediations_are_not_told():
    """Records of two streams are no story."""
    with pytest.raises(StoryError, match="is of R-OTHER1, not of R-7F3K2Q"):
        read_story([*Telling().admitted().records, *Telling("R-OTHER1").admitted().records])


@pytest.mark.parametrize("records", [[], Telling("system").tell(RecordKind.PROCESS).records])
def test_records_without_an_admission_are_not_told(records):
    """The system's own records, or none at all, are not a remediation."""
    with pytest.raises(StoryError, match="no admission among them"):
        read_story(records)


def test_an_outcome_without_an_intent_is_not_told():
    """No action without a record: a receipt alone means that the records are wrong."""
    with pytest.raises(StoryError, match="has no intent"):
        read_story(Telling().admitted().receipt().records)


def test_a_gate_that_was_not_asked_cannot_close():
    """A gate closes only after it was opened."""
    with pytest.raises(StoryError, match="never asked"):
        read_story(Telling().admitted().gate_closed("approved").records)


@pytest.mark.parametrize(
    "told",
    [Telling().admitted().check("before", "excellent"), Telling().admitted().tell(RecordKind.PLAN)],
    ids=["a word that does not exist", "a name that is missing"],
)
def test_a_record_without_what_its_kind_holds_is_named(told):
    """A record that cannot be understood is named by its position in the ledger."""
    with pytest.raises(StoryError, match=r"record 41 \((check|plan)\) cannot be understood"):
        read_story(told.records)
