"""What endings say to people: whole sentences, whatever a system answered."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from runbooks.model.action import Outcome, Receipt
from runbooks.model.verdict import CheckResult, Verdict
from runbooks.policy.endings import ending_of_checks, ending_of_receipt, ending_of_verification, whole


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
