"""Whose answer counts, and when a gate is decided: pure rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from runbooks.model.decision import Answer, Decision, Objection, Principal, Refusal, SignedDecision
from runbooks.model.plan import GateTerms, Link
from runbooks.policy.gate import APPROVAL_HOLDS, Gate, GateState, Question, holds_until, objection_to_acting

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLAN = "ab" * 32
ASKER = Principal(key="slack:T/asker", groups=("oncall",))
OWN_REQUEST = "you cannot approve what you asked for yourself: somebody else of oncall or storage must"
TERMS = GateTerms(approvers=("oncall", "storage"), need=2, within=timedelta(minutes=15))


def gate(need: int = 2) -> Gate:
    return Gate("R-1/gate-1", question(need=need), opens_at=NOW)


def question(*, need: int = 2, about: str = "") -> Question:
    terms = TERMS.model_copy(update={"need": need})
    return Question(
        terms=terms, plan_digest=PLAN, requested_by="slack:T/asker", about=about, in_doubt=bool(about)
    )


def doubt_gate(need: int = 2) -> Gate:
    return Gate("R-1/gate-1", question(need=need, about="key-1"), opens_at=NOW)


def decision(person: str = "alice", **changes) -> Decision:
    return Decision(
        id=f"click-{person}", gate="R-1/gate-1", remediation="R-1", plan_digest=PLAN, answer=Answer.APPROVED,
        principal=Principal(key=f"slack:T/{person}", name=person.title(), groups=("oncall",)), reason="because", via="slack",
        decided_at=NOW, expires_at=NOW + TERMS.within,
    ).model_copy(update=changes)  # fmt: skip


def signed(person: str = "alice", **changes) -> SignedDecision:
    return SignedDecision(decision=decision(person, **changes), key_id="k", signature="c2ln")


def sentence_of(objection: Objection | None) -> str | None:
    """Return what people are told; None where nobody objects."""
    return objection.sentence if objection else None


def test_is_approved_by_as_many_people_as_it_needs():
    """The first of two approvals leaves it open, the second one decides."""
    asked = gate()
    asked.record(signed("alice"))
    assert asked.state is GateState.OPEN
    asked.record(signed("bob"))

    assert (asked.state, asked.sentence) == (GateState.APPROVED, "approved by Alice, Bob")


def test_one_no_is_enough():
    """A denial decides at once; the words that came with it stay in the decision, where they can be redacted."""
    asked = gate()
    asked.record(signed("bob", answer=Answer.DENIED, reason="not now"))

    assert (asked.state, asked.sentence) == (GateState.DENIED, "Bob said no")


@pytest.mark.parametrize("end", ["expire", "withdraw"])
def test_what_is_decided_stays_decided(end):
    """Neither time nor a resolved alert changes an answer that was given."""
    asked = gate(need=1)
    asked.record(signed())

    asked.expire() if end == "expire" else asked.withdraw("it healed")

    assert asked.state is GateState.APPROVED


@pytest.mark.parametrize(
    ("changes", "refusal", "sentence"),
    [
        ({"gate": "R-2/gate-1"}, Refusal.OTHER_QUESTION, "another request"),
        ({"plan_digest": "00"}, Refusal.OTHER_PLAN, "the plan has changed"),
        ({"principal": Principal(key="slack:T/eve", groups=("sales",))}, Refusal.NOT_A_MEMBER, "not in oncall or storage"),
        ({"principal": ASKER}, Refusal.OWN_REQUEST, "asked for yourself"),
        ({"answer": Answer.DENIED, "reason": " "}, Refusal.NO_REASON, "say why"),
    ],
)  # fmt: skip
def test_objects_to_answers_that_cannot_count(changes, refusal, sentence):
    """The person reads why in a sentence, and who counts refusals has one word for it."""
    said = gate().objection(decision(**changes), NOW)

    assert said is not None
    assert said.refusal is refusal
    assert sentence in said.sentence


@pytest.mark.parametrize("changes", [{}, {"answer": Answer.DENIED, "principal": ASKER}])
def test_objects_to_no_answer_that_counts(changes):
    """Who asked may say no, but not yes."""
    assert gate().objection(decision(**changes), NOW) is None


def test_objects_to_answers_out_of_time_and_out_of_turn():
    """Too late, twice by one person, and after the decision."""
    asked = gate()
    assert "expired" in sentence_of(asked.objection(decision(), NOW + TERMS.within))
    asked.record(signed("alice"))
    assert "already answered" in sentence_of(asked.objection(decision("alice", id="again"), NOW))
    asked.record(signed("bob"))
    assert "already approved" in sentence_of(asked.objection(decision("carol"), NOW))


@pytest.mark.parametrize(
    ("approvals", "objection"),
    [
        ([decision("alice"), decision("bob")], None),
        ([decision("alice")], "2 people must approve, 1 did"),
        ([decision("alice"), decision("alice", id="other")], "2 people must approve, 1 did"),
        ([decision("alice", remediation="R-2")], "belongs to R-2"),
        ([decision("alice", answer=Answer.DENIED)], "not an approval"),
        ([decision("alice", plan_digest="00")], "the plan has changed"),
    ],
)
def test_objects_to_acting_without_enough_approvals(approvals, objection):
    """The guard asks the same rules again, of all approvals together."""
    said = objection_to_acting(approvals, question(), remediation="R-1")

    assert said is None if objection is None else objection in said


@pytest.mark.parametrize(
    ("answer", "state", "sentence"),
    [
        (Answer.HAPPENED, GateState.HAPPENED, "Alice says that it happened"),
        (Answer.STOP, GateState.STOPPED, "Alice said to stop here"),
    ],
)
def test_one_person_who_looked_is_enough_to_say_that_it_happened_or_to_stop(answer, state, sentence):
    """Only doing it again needs as many people as the plan did."""
    asked = doubt_gate()
    asked.record(signed(answer=answer, about="key-1"))

    assert (asked.state, asked.sentence) == (state, sentence)


def test_doing_it_again_needs_as_many_people_as_the_plan():
    """To do it again is a new approval, so the first of two leaves the question open."""
    asked = doubt_gate()
    asked.record(signed("alice", answer=Answer.AGAIN, about="key-1"))
    assert asked.state is GateState.OPEN
    asked.record(signed("bob", answer=Answer.AGAIN, about="key-1"))

    assert (asked.state, asked.sentence) == (GateState.AGAIN, "to be done again, says Alice, Bob")


@pytest.mark.parametrize("answer", [Answer.HAPPENED, Answer.AGAIN])
def test_who_asked_for_it_cannot_judge_what_became_of_it(answer):
    """A verdict lets the remediation go on, as an approval does; to stop is always allowed."""
    asker = Principal(key="slack:T/asker", groups=("oncall",))
    asked = doubt_gate()

    said = sentence_of(asked.objection(decision(answer=answer, about="key-1", principal=asker), NOW))
    assert said == OWN_REQUEST.replace("approve", "judge")
    assert asked.objection(decision(answer=Answer.STOP, about="key-1", principal=asker), NOW) is None


@pytest.mark.parametrize(
    ("asked", "changes"),
    [
        (gate(), {"answer": Answer.AGAIN, "about": "key-1"}),
        (gate(), {"answer": Answer.AGAIN}),
        (gate(), {"about": "key-1"}),
        (doubt_gate(), {}),
        (doubt_gate(), {"about": "key-1"}),
        (doubt_gate(), {"answer": Answer.AGAIN, "about": "key-2"}),
    ],
)
def test_an_answer_counts_for_its_own_question_only(asked, changes):
    """Neither does an approval judge an action, nor a verdict approve a plan, nor another action's key."""
    assert sentence_of(asked.objection(decision(**changes), NOW)) == "this is an answer to another question"


def test_an_approval_of_the_plan_does_not_allow_doing_it_again():
    """The guard tells the two kinds of consent apart."""
    said = objection_to_acting([decision()], question(need=1, about="key-1"), remediation="R-1")

    assert "is not an approval" in said


# --- who is asked in turn -----------------------------------------------------------------------

QUARTER = timedelta(minutes=15)
CHAIN = (Link(approvers=("chiefs",), within=QUARTER), Link(approvers=("board",), within=4 * QUARTER))


def chain_gate(need: int = 1) -> Gate:
    terms = TERMS.model_copy(update={"need": need, "otherwise": CHAIN})
    return Gate("R-1/gate-1", question().model_copy(update={"terms": terms}), opens_at=NOW)


def of(group: str, person: str = "carol", **changes) -> Decision:
    principal = Principal(key=f"slack:T/{person}", name=person.title(), groups=(group,))
    return decision(person, principal=principal, **changes)


def test_goes_along_its_chain_link_by_link():
    """Each link has its own time; all times count from the opening."""
    asked = chain_gate()
    seen = []
    while (link := asked.next_link) is not None:
        seen.append((asked.asked_until - NOW, link.approvers))
        asked.escalate(link)

    assert seen == [(QUARTER, ("chiefs",)), (2 * QUARTER, ("board",))]
    assert asked.asked_until == asked.expires_at == NOW + 6 * QUARTER


def test_nobody_more_is_asked_once_it_is_decided():
    """A gate that was answered wakes no incident commander."""
    asked = chain_gate()
    asked.record(signed())

    assert asked.next_link is None


def test_the_next_are_due_when_the_time_of_those_before_is_over():
    """Not a moment before; and each link once, by its own time."""
    asked = chain_gate()

    assert asked.link_due(NOW + QUARTER - timedelta(seconds=1)) is None
    assert asked.link_due(NOW + QUARTER) == CHAIN[0]
    asked.escalate(CHAIN[0])
    assert asked.link_due(NOW + QUARTER) is None


def test_who_is_asked_later_cannot_answer_before():
    """Their turn comes when those before them had their time; and then those before may still answer."""
    asked = chain_gate(need=2)
    early = asked.objection(of("chiefs"), NOW)
    assert early == Objection(
        refusal=Refusal.NOT_ASKED_YET,
        sentence="you are asked only when oncall or storage did not answer in time",
    )
    asked.escalate(CHAIN[0])

    assert asked.objection(of("chiefs"), NOW) is None
    assert asked.objection(of("oncall"), NOW) is None
    assert sentence_of(asked.objection(of("sales"), NOW)) == "you are not in oncall or storage or chiefs"


def test_approvals_of_earlier_links_keep_counting():
    """One of the first and one of the next are two people."""
    asked = chain_gate(need=2)
    asked.record(signed("alice"))
    asked.escalate(CHAIN[0])
    asked.record(SignedDecision(decision=of("chiefs"), key_id="k", signature="c2ln"))

    assert (asked.state, asked.sentence) == (GateState.APPROVED, "approved by Alice, Carol")


@pytest.mark.parametrize(
    ("approved", "sentence"),
    [
        (False, "nobody of oncall or storage answered in time"),
        (True, "only Alice approved in time, and 2 of oncall or storage must"),
    ],
)
def test_an_expired_gate_says_what_was_missing(approved, sentence):
    """Half of the approvals are no approval, and it does not say that nobody answered."""
    asked = gate()
    if approved:
        asked.record(signed("alice"))
    asked.expire()

    assert (asked.state, asked.sentence) == (GateState.EXPIRED, sentence)


# --- one person ---------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [Answer.DENIED, Answer.STOP])
def test_nobody_is_held_to_a_yes(answer):
    """Who approved and then sees the danger may still say no, as long as it is open."""
    about = "key-1" if answer is Answer.STOP else ""
    asked = doubt_gate() if about else gate()
    yes = Answer.AGAIN if about else Answer.APPROVED
    asked.record(signed("alice", answer=yes, about=about))

    assert (
        sentence_of(asked.objection(decision("alice", answer=yes, about=about), NOW))
        == "you have already answered"
    )
    assert asked.objection(decision("alice", answer=answer, about=about), NOW) is None


@pytest.mark.parametrize(
    ("key", "also", "objection"),
    [
        ("slack:T/asker", (), OWN_REQUEST),
        ("slack:T/boss", ("slack:T/asker",), OWN_REQUEST),
        ("slack:T/boss", ("local:boss",), None),
    ],
)
def test_nobody_approves_under_one_name_what_they_asked_for_under_another(key, also, objection):
    """A person is one person, in Slack and at a terminal."""
    principal = Principal(key=key, also=also, groups=("oncall",))

    assert sentence_of(gate().objection(decision(principal=principal), NOW)) == objection


def test_an_alert_is_nobody_who_asked():
    """Where nobody asked for it, nobody is kept from answering."""
    asked = question().model_copy(update={"requested_by": ""})
    nobody = Principal(key="slack:T/alice", also=("",), groups=("oncall",))

    assert Gate("R-1/gate-1", asked, opens_at=NOW).objection(decision(principal=nobody), NOW) is None


# --- one step -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("about", "asked_about", "objection"),
    [
        ("step-key", "step-key", None),
        ("", "step-key", "this is an answer to another question"),
        ("step-key", "", "this is an answer to another question"),
        ("other-key", "step-key", "this is an answer to another question"),
    ],
)
def test_the_approval_of_a_step_is_for_that_step(about, asked_about, objection):
    """Neither does the plan's approval open a step's gate, nor a step's the plan's, nor another step's."""
    asked = question().model_copy(update={"about": asked_about})

    assert (
        sentence_of(Gate("R-1/gate-1", asked, opens_at=NOW).objection(decision(about=about), NOW))
        == objection
    )


def test_approvals_come_from_one_request():
    """Two people who each answered another question have not agreed."""
    approvals = [decision("alice"), decision("bob", gate="R-1/gate-2")]

    said = objection_to_acting(approvals, question(), remediation="R-1")

    assert said == "the approvals are answers to different requests"


@pytest.mark.parametrize(
    ("answers", "acted", "until"),
    [
        ([], None, None),  # nobody had to be asked
        ([0], None, 0),
        ([3, 0], None, 3),  # the last answer counts
        ([0], 3, 3),  # it went on since
        ([3], 0, 3),  # what was done before the last question
    ],
)
def test_what_people_agreed_to_grows_old(answers, acted, until):
    """It holds for an hour from the last answer, or from the last thing that was done because of it."""
    hour, pause = timedelta(hours=1), timedelta(minutes=5)
    consents = [decision(f"person-{after}", decided_at=NOW + after * hour) for after in answers]

    found = holds_until(consents, acted_at=None if acted is None else NOW + acted * hour, pause=pause)

    assert found == (None if until is None else NOW + until * hour + pause + APPROVAL_HOLDS)
