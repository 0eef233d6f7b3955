"""What endings say to people: whole sentences, whatever a system answered."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from runbooks.model.action import Outcome, Receipt
from runbooks.model.record import RecordKind
from runbooks.model.remediation import Closing, Ending
from runbooks.model.verdict import CheckResult, Verdict
from runbooks.policy.endings import (
    ending_after_undo,
    ending_of_checks,
    ending_of_lost,
    ending_of_receipt,
    ending_of_verification,
    receipt_of_verdict,
    still_unknown,
    whole,
)
from runbooks.policy.gate import GateState
from runbooks.policy.story import read_story
from tests.records import Telling


@pytest.mark.parametrize(
    ("said", "ended"),
    [
        ("patient answered 500", "patient answered 500."),
        ("patient answered 500 ", "patient answered 500."),
        ("Frozen by alice: migration.", "Frozen by alice: migration."),
        ("Really?", "Really?"),
        ("", ""),
    ],
)
def test_a_sentence_has_one_end(said, ended):
    """A full stop is added only where there is no end."""
    assert whole(said) == ended


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.FAILED, Outcome.REFUSED, Outcome.NOT_SENT])
def test_what_a_system_answered_ends_before_the_next_sentence(outcome):
    """Two sentences never run into each other."""
    receipt = Receipt(key="k", outcome=outcome, sentence="patient answered 500", reason="", attempt=1)

    sentence = ending_of_receipt("R-7F3K2Q", receipt, "Restart it").sentence

    assert "patient answered 500." in sentence
    assert sentence.endswith(".")


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.ERROR, Verdict.PASSED])
def test_what_was_measured_ends_with_a_full_stop(verdict):
    """Also where a check decided."""
    at = datetime(2026, 3, 14, tzinfo=UTC)
    check = CheckResult(id="up", name="It is up", verdict=verdict, sentence="up is 1", at=at)

    closings = [ending_of_checks("R-7F3K2Q", [check], "now"), ending_of_verification("R-7F3K2Q", [check])]

    assert [each.sentence[-8:] for each in closings if each] == ["up is 1."] * (1 + (closings[0] is not None))


UNKNOWN = Receipt(key="k", outcome=Outcome.UNKNOWN, sentence="no answer within 30 s", reason="timeout")
DONE = Receipt(key="u", outcome=Outcome.OK, sentence="undone")
CLOSING = Closing(
    remediation="R-7F3K2Q", ending=Ending.UNVERIFIED, reason="verify_failed", sentence="It did not help."
)


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.NOT_SENT])
def test_an_attempt_that_was_not_made_says_nothing_of_the_one_before(outcome):
    """Unknown stays unknown, with both sentences and the newer reason."""
    later = Receipt(key="k2", outcome=outcome, sentence="frozen by alice", reason="frozen")

    known = still_unknown(UNKNOWN, later)

    assert (known.outcome, known.reason, known.key) == (Outcome.UNKNOWN, "frozen", "k2")
    assert known.sentence == "no answer within 30 s. Then it was not done: frozen by alice"
    assert still_unknown(DONE, later) == later


def test_an_attempt_that_was_made_says_all():
    """Its own outcome counts."""
    assert still_unknown(UNKNOWN, DONE) == DONE


def test_a_verdict_is_what_is_known():
    """“It happened” makes a receipt of it; anything else leaves it unknown, and says why."""
    happened = receipt_of_verdict(UNKNOWN, GateState.HAPPENED, "Alice says that it happened")
    stopped = receipt_of_verdict(UNKNOWN, GateState.STOPPED, "Alice said to stop here")

    assert (happened.outcome, happened.reason) == (Outcome.OK, "attested")
    assert (stopped.outcome, stopped.reason) == (Outcome.UNKNOWN, "verdict_stopped")
    assert stopped.sentence == "no answer within 30 s. Alice said to stop here."


@pytest.mark.parametrize(
    ("taken_back", "ending", "keep_lease"),
    [
        ([], Ending.UNVERIFIED, False),
        ([("a", DONE)], Ending.ROLLED_BACK, False),
        ([("a", DONE), ("b", None)], Ending.UNVERIFIED, False),
        ([("a", DONE), ("b", DONE.model_copy(update={"outcome": Outcome.FAILED}))], Ending.UNVERIFIED, False),
        ([("a", DONE), ("b", UNKNOWN)], Ending.FAILED, True),
    ],
)
def test_rolled_back_is_only_what_was_taken_back_for_certain(taken_back, ending, keep_lease):
    """An undo of which nobody knows keeps the target; one that failed or is missing is not an undo."""
    closing = ending_after_undo(CLOSING, taken_back)

    assert (closing.ending, closing.keep_lease) == (ending, keep_lease)


def test_a_failure_whose_beginnings_are_undone_is_still_a_failure():
    """The sentence says that what was done before it is undone."""
    failed = CLOSING.model_copy(update={"ending": Ending.FAILED})

    closing = ending_after_undo(failed, [("a", DONE)])

    assert (closing.ending, closing.sentence[-35:]) == (Ending.FAILED, " What was done before it is undone.")


@pytest.mark.parametrize(
    ("told", "ending", "reason", "keep_lease"),
    [
        (Telling().admitted(), Ending.WITHHELD, "interrupted", False),
        (Telling().admitted("withheld", reason="frozen", sentence="by alice"), Ending.WITHHELD, "frozen", False),
        (Telling().admitted().planned().intent(), Ending.FAILED, "lost", True),
        (Telling().admitted().planned().intent().unknown(), Ending.FAILED, "lost", True),
        (Telling().admitted().planned().intent(effect="tell").unknown(effect="tell"), Ending.FAILED, "interrupted", False),
        (Telling().admitted().planned().intent().receipt(), Ending.FAILED, "interrupted", False),
        (Telling().admitted().planned().tell(RecordKind.STOP_ASKED), Ending.STOPPED, "stopped_by_person", False),
        (Telling().admitted().planned().tell(RecordKind.STOP_ASKED).intent(), Ending.FAILED, "lost", True),
        (Telling().admitted().planned().asked().answered("denied").gate_closed("denied"), Ending.DENIED, "denied", False),
    ],
)  # fmt: skip
def test_what_lost_its_workflow_has_an_ending_that_explains_it(told, ending, reason, keep_lease):
    """The target is kept only where nobody knows what an action did to it."""
    closing = ending_of_lost(read_story(told.records))

    assert (closing.ending, closing.reason, closing.keep_lease) == (ending, reason, keep_lease)
    assert closing.sentence
