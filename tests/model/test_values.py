"""What values say of themselves: names, ids, bytes."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest

from runbooks.errors import MeasureError, RefusedError
from runbooks.model.alert import Alert, AlertStatus
from runbooks.model.decision import Answer, Decision, Principal, SignedDecision
from runbooks.model.plan import Part
from runbooks.model.remediation import workflow_id
from tests.engine.house import action, plan
from tests.ledger.material import NIGHT

DECISION = Decision(
    remediation="R-7F3K2Q",
    gate="R-7F3K2Q/gate-1",
    plan_digest="0" * 64,
    id="click-1",
    answer=Answer.APPROVED,
    principal=Principal(key="slack:T1/U1", name="Alice"),
    via="slack",
    decided_at=NIGHT,
    expires_at=NIGHT + timedelta(minutes=5),
)


def test_an_alert_without_a_name_has_an_empty_one():
    """Alertmanager does not demand `alertname`."""
    assert Alert(status=AlertStatus.FIRING, labels={"alertname": "HostDown"}).name == "HostDown"
    assert Alert(status=AlertStatus.FIRING, labels={}).name == ""


def test_an_alert_is_known_by_its_labels_and_a_delivery_by_what_it_says():
    """The order of labels is nothing; another status is another delivery of the same alert."""
    firing = Alert(status=AlertStatus.FIRING, labels={"a": "1", "b": "2"})
    turned = Alert(status=AlertStatus.FIRING, labels={"b": "2", "a": "1"})
    resolved = Alert(status=AlertStatus.RESOLVED, labels=firing.labels)
    assert firing.fingerprint == turned.fingerprint == resolved.fingerprint
    assert firing.delivery == turned.delivery != resolved.delivery


def test_what_a_signature_covers_says_what_it_is_for():
    """So that it can never be taken for a signature over something else."""
    assert DECISION.signed_bytes().startswith(b"paramedic-decision-v1\n{")
    assert DECISION.signed_bytes() != DECISION.model_copy(update={"answer": Answer.DENIED}).signed_bytes()


def test_a_signature_that_is_not_base64_is_an_error():
    """And never an empty one."""
    signed = SignedDecision(
        decision=DECISION, key_id="0" * 16, signature=base64.b64encode(b"x" * 64).decode()
    )
    assert signed.signature_bytes() == b"x" * 64
    with pytest.raises(ValueError, match="base64"):
        signed.model_copy(update={"signature": "%%"}).signature_bytes()


@pytest.mark.parametrize(
    ("target", "name"),
    [("web-1.example:9100", "web-1.example:9100"), ("web 1", "sha256-"), ("x" * 101, "sha256-")],
)
def test_the_id_of_a_workflow_is_short_and_plain(target, name):
    """Whatever a label holds: it stands in logs."""
    assert workflow_id("host-slow", target).startswith(f"remediation/host-slow/{name}")
    assert len(workflow_id("host-slow", target)) < 130


def test_a_plan_knows_an_action_by_part_and_step():
    """The same step id may stand in several parts."""
    back = action("restart", uses="test.back")
    made = plan(action("restart", undo=back), otherwise=(action("tell"),))
    assert made.action(Part.DO, "restart") == action("restart", undo=back)
    assert made.action(Part.UNDO, "restart") == back
    assert made.action(Part.OTHERWISE, "tell") == action("tell")
    assert made.action(Part.OTHERWISE, "restart") is None


def test_whether_to_measure_again_stands_with_the_error():
    """No answer may come later; a wrong question stays wrong."""
    assert MeasureError("no answer", retryable=True).retryable
    assert not MeasureError("wrong question").retryable


def test_a_refusal_names_the_rule_by_a_stable_word():
    """Programs look at the word, people at the sentence."""
    refused = RefusedError("frozen", "Alice froze web-1.")
    assert (refused.reason, str(refused)) == ("frozen", "Alice froze web-1.")


def test_a_plans_longest_pause_is_its_longest_attempt_and_its_verification():
    """An approval must not grow old while what it allows takes its time."""
    longest = action("a").model_copy(update={"timeout": timedelta(minutes=1)})
    undone = action("b").model_copy(
        update={"undo": action("c").model_copy(update={"timeout": timedelta(hours=2)})}
    )

    looks = plan().longest_pause - action().timeout

    assert plan(longest, action("b")).longest_pause == timedelta(minutes=1) + looks
    assert plan(longest, undone).longest_pause == timedelta(hours=2) + looks
    assert looks >= timedelta(minutes=5)
