"""Meaning: a story by the rules is accepted, and each rule, broken, is named with its record."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from activities.ledger.findings import TamperedError
from activities.ledger.meaning import Meaning
from activities.signatures import key_id
from runbooks.model.base import as_body, canonical
from runbooks.model.decision import SIGNED_PREFIX, UNSIGNED
from tests.records import NOON, PLAN, Telling

Content = dict[str, Any]
Change = Callable[[list[Content]], None]
NAME = "R-7F3K2Q"


def story() -> list[Content]:
    """Admitted, asked, approved, done, ended; the records as bodies hold them."""
    told = Telling(NAME)
    told.admitted().check("before", "passed").planned().asked()
    told.wait(minutes=2).answered("approved").gate_closed("approved")
    told.intent().wait(seconds=3).receipt().ended("mitigated")
    records = [copy.deepcopy(as_body(each.model_dump(mode="json"))) for each in told.records]
    decision = of(records, "decision")["data"]["decision"]
    of(records, "action.intent")["data"]["decisions"] = [decision["id"]]
    return records


def of(records: list[Content], kind: str) -> Content:
    return next(each for each in records if each["kind"] == kind)


LISTENER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(2, 34)))


def raw(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def on_record(listener: Ed25519PrivateKey = LISTENER, **changes: str) -> Content:
    key = raw(listener)
    data = {"key_id": key_id(key), "key": base64.b64encode(key).decode(), **changes}
    return {"kind": "listener.key", "stream": "system", "seq": 0, "data": data}


def sealed(records: list[Content], key: Ed25519PrivateKey = LISTENER) -> list[Content]:
    """Let a listener sign what the decisions say now."""
    for each in records:
        if each["kind"] == "decision":
            said = {name: value for name, value in each["data"]["decision"].items() if name not in UNSIGNED}
            signature = key.sign(SIGNED_PREFIX + canonical(said))
            each["data"] |= {
                "key_id": key_id(raw(key)),
                "signature": base64.b64encode(signature).decode(),
            }
    return records


def judge(records: list[Content]) -> str:
    """Return what is wrong with these, under a listener's seal; or an empty text."""
    return read([on_record()], sealed(records))


def read(before: list[Content], records: list[Content], listeners: Sequence[bytes] = ()) -> str:
    """Return what is wrong, or an empty text."""
    meaning = Meaning(listeners)
    for each in before:
        meaning.read(each, 0)
    for seq, each in enumerate(records):
        try:
            meaning.read(each, seq)
        except TamperedError as found:
            return str(found) if found.seq == seq else "the wrong record was named"
    return ""


def test_a_story_by_the_rules_is_accepted() -> None:
    """Nothing in it is suspicious."""
    assert judge(story()) == ""


def decided(**changes: Any) -> Change:
    return lambda records: of(records, "decision")["data"]["decision"].update(changes)


def intended(**changes: Any) -> Change:
    return lambda records: of(records, "action.intent")["data"].update(changes)


def without(kind: str) -> Change:
    return lambda records: records.remove(of(records, kind))


def again(kind: str, **changes: Any) -> Change:
    """Return a change that lets a record come twice."""

    def change(records: list[Content]) -> None:
        place = records.index(of(records, kind))
        records.insert(place + 1, {**copy.deepcopy(records[place]), **changes})

    return change


def frozen(scope: str, *, thawed: bool = False) -> Change:
    def change(records: list[Content]) -> None:
        brakes = [system("freeze", scope)] + ([system("thaw", scope)] if thawed else [])
        records[3:3] = brakes

    return change


def system(kind: str, scope: str) -> Content:
    return {"kind": kind, "stream": "system", "seq": 3, "data": {"scope": scope, "reason": "fire"}}


def person(key: str = "slack:T1/U1", *groups: str) -> Content:
    return {"key": key, "name": "", "groups": list(groups or ("sre-oncall",))}


def asked_for_by(who: str) -> Change:
    return lambda records: of(records, "admission")["data"].update(requested_by=who)


def needs_two(records: list[Content]) -> None:
    of(records, "plan")["data"]["plan"]["gate"]["need"] = 2


def refused(records: list[Content]) -> None:
    of(records, "decision")["outcome"] = "refused"


def withheld(records: list[Content]) -> None:
    of(records, "admission")["outcome"] = "withheld"


def stopped(records: list[Content]) -> None:
    records.insert(3, {"kind": "stop.asked", "stream": NAME, "seq": 3, "data": {"reason": "by hand"}})


LATE = (NOON + timedelta(days=1)).isoformat()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (without("action.intent"), "there was no intent before it"),
        (without("admission"), "it was never admitted"),
        (withheld, "it was never admitted"),
        (without("plan"), "its plan is not on record"),
        (without("gate.asked"), "answers another question"),
        (without("decision"), "is not on record as accepted"),
        (refused, "is not on record as accepted"),
        (without("action.receipt"), "an attempt has no end"),
        (again("action.intent"), "attempt 1 at the same action has no end"),
        (again("action.receipt"), "was done already"),
        (again("decision"), "was accepted twice"),
        (intended(decisions=[]), "1 people must approve, 0 did"),
        (needs_two, "2 people must approve, 1 did"),
        (intended(plan_digest="cd" * 32), "its plan is not on record"),
        (intended(arguments={"supervisor": "web-1", "process": "database"}), "holds no action"),
        (intended(uses="ssh.run"), "holds no action"),
        (decided(answer="denied"), "is no approval"),
        (decided(plan_digest="cd" * 32), "was about another plan"),
        (decided(remediation="R-AAAAAA"), "answers another question"),
        (decided(decided_at=LATE), "came too late"),
        (decided(principal=person("slack:T1/U1", "marketing")), "somebody who was not asked"),
        (frozen("*"), "* was frozen"),
        (frozen(f"runbook={PLAN.runbook}"), "was frozen"),
        (frozen(f"target={PLAN.target}"), "was frozen"),
        (frozen("label:env=prod"), "was frozen"),
        (stopped, "a person had stopped it"),
        (intended(arguments=None), "holds no action"),
        (decided(decided_at="yesterday"), "does not hold what its kind must"),
        (decided(principal="slack:T1/U1"), "does not hold what its kind must"),
        (lambda records: of(records, "plan").update(data=[]), "does not hold what its kind must"),
    ],
)
def test_a_broken_rule_is_named(change: Change, problem: str) -> None:
    """Each of these could only stand there if somebody wrote it who is not the product."""
    records = story()
    change(records)

    assert problem in (judge(records) or "nothing was found")


def test_who_asked_for_it_does_not_approve_it() -> None:
    """Whatever the gate was told."""
    records = story()
    who = of(records, "decision")["data"]["decision"]["principal"]["key"]
    asked_for_by(who)(records)

    assert f"{who} approved what they had asked for" in judge(records)


def test_a_freeze_that_was_lifted_or_is_about_others_stops_nothing() -> None:
    """Only one that covers it at that moment."""
    for change in (frozen("*", thawed=True), frozen("target=other"), frozen("label:env=test")):
        records = story()
        change(records)

        assert judge(records) == ""


def test_an_attempt_that_was_not_sent_needs_no_intent() -> None:
    """It says that nothing was done."""
    records = story()
    records.remove(of(records, "action.intent"))
    of(records, "action.receipt")["outcome"] = "not_sent"

    assert judge(records) == ""


def test_a_late_receipt_is_accepted_in_the_systems_stream_once() -> None:
    """An attempt that was given up may still be heard of, and then it is done."""
    records = story()
    receipt = of(records, "action.receipt")
    records.remove(receipt)
    of(records, "ending")["outcome"] = "failed"
    late = {**receipt, "stream": "system"}

    assert judge([*records, late]) == ""
    assert "was done already" in judge([*records, late, late])
    assert "no intent" in judge([late])


def test_what_is_redacted_is_not_compared() -> None:
    """A commitment says that there was something, not what."""
    records = story()
    of(records, "action.intent")["data"]["arguments"]["process"] = {"$c": "ab" * 32}

    assert judge(records) == ""


def approved_by_somebody_else(records: list[Content]) -> None:
    of(records, "decision")["data"]["decision"]["principal"]["key"] = "slack:T1/U9"


def approved_with_other_words(records: list[Content]) -> None:
    of(records, "decision")["data"]["decision"]["reason_digest"] = "ab" * 32


def without_a_seal(records: list[Content]) -> None:
    of(records, "decision")["data"] |= {"key_id": "", "signature": ""}


def under_garbage(records: list[Content]) -> None:
    of(records, "decision")["data"]["signature"] = ["\ud800"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (approved_by_somebody_else, "has not signed this decision"),
        (approved_with_other_words, "has not signed this decision"),
        (under_garbage, "has not signed this decision"),
        (without_a_seal, "which is no listener that is believed"),
        (lambda records: sealed(records, STRANGER), "which is no listener that is believed"),
    ],
)
def test_a_decision_that_no_listener_signed_is_found(change: Change, problem: str) -> None:
    """Whoever owns the bot's database can write that somebody approved, but not sign it."""
    records = sealed(story())
    change(records)

    assert problem in (read([on_record()], records) or "nothing was found")


def test_a_listener_that_is_not_on_record_before_is_not_believed() -> None:
    """Its key comes first, and under its own id."""
    records = sealed(story())

    assert "no listener that is believed" in read([], records)
    assert "no listener that is believed" in read([], [*records, on_record()])
    assert "has another id" in read([], [on_record(key_id="ab" * 8)])
    assert "does not hold what its kind must" in read([], [on_record(key="!")])


def test_listeners_that_are_named_are_the_only_ones_that_are_believed() -> None:
    """So a key that somebody else has put on record proves nothing."""
    own, others = sealed(story()), sealed(story(), STRANGER)

    assert read([], own, [raw(LISTENER)]) == ""
    assert "no listener that is believed" in read([on_record(STRANGER)], others, [raw(LISTENER)])


def test_a_reason_may_be_redacted_under_its_seal() -> None:
    """The signature covers its digest, and the words and their salt are gone."""
    records = story()
    decision = of(records, "decision")["data"]["decision"]
    decision |= {"reason": "known leak", "reason_salt": "cafe", "reason_digest": "ab" * 32}
    sealed(records)
    decision |= {"reason": {"$c": "00" * 32}, "reason_salt": {"$c": "11" * 32}}

    assert read([on_record()], records) == ""


def test_the_seals_that_were_verified_are_counted() -> None:
    """For people to compare with what they know of their listeners."""
    meaning = Meaning()
    for each in [on_record(), *sealed(story())]:
        meaning.read(each, 0)

    assert (meaning.signatures, meaning.signers) == (1, {key_id(raw(LISTENER))})


def test_a_late_receipt_of_a_pruned_remediation_needs_no_intent_here() -> None:
    """Its intent stands in an export."""
    late = {**of(story(), "action.receipt"), "stream": "system"}
    meaning = Meaning()
    meaning.skip(NAME)

    meaning.read(late, 0)
    with pytest.raises(TamperedError, match="done already"):
        meaning.read(late, 1)
