"""What people can look at: inputs, plans, reasons, the overview; and the stop, which changes something."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from activities.ledger import stops
from activities.ledger.overview import Success, success
from activities.ledger.remediations import close
from bot.insight import Insight
from bot.operations import RequestError
from bot.policy.doorkeeper import NotPermittedError
from bot.run_inputs import inputs_of, mistakes_in, with_target
from runbooks.language.document import parse_runbook
from runbooks.model.record import RecordKind
from runbooks.model.remediation import Ending
from tests.language.declarations import VOCABULARY
from tests.ledger.material import admitted, call, closing, delivery, received
from tests.records import Telling
from tests.waiting import as_entry
from tests.way_in import WayIn, runbook

ALICE = {"actor": "local:alice", "source": "cli"}


@pytest.fixture
def way(tmp_path):
    with WayIn(tmp_path) as made:
        yield made


def book(matchers: str = "", target: str = "{{ labels.instance }}", extra: str = ""):
    text = runbook("host-slow", "HostSlow", target)
    if matchers:
        text = text.replace("  - alert: HostSlow", f"  - alert: HostSlow\n    matchers: [{matchers}]")
    if extra:
        text = text.replace("begin: 1, end: 2", f"begin: 1, end: 2, words: {extra}")
    return parse_runbook(text, file="host-slow.yaml", vocabulary=VOCABULARY)


# --- inputs ----------------------------------------------------------------------------------------


def test_inputs_are_the_labels_that_a_runbook_reads():
    """Its target's first, then those of templates and matchers; a choice where a matcher leaves one."""
    found = inputs_of(book("'env=~\"prod|staging\"', 'tier=\"web\"', 'zone!=\"x\"'"))

    assert [(each.name, each.choices, each.is_target) for each in found] == [
        ("instance", (), True),
        ("env", ("prod", "staging"), False),
        ("tier", ("web",), False),
        ("zone", (), False),
    ]


def test_a_person_may_say_target_for_the_label_that_it_is_made_of():
    """But a label that is called target stays one, and a target made of two has no such name."""
    assert with_target(book(), {"target": "web-1"}) == {"instance": "web-1"}
    assert with_target(book(target="{{ labels.target }}"), {"target": "web-1"}) == {"target": "web-1"}
    two = book(target="{{ labels.a }}/{{ labels.b }}")
    assert with_target(two, {"target": "web-1"}) == {"target": "web-1"}


@pytest.mark.parametrize(
    ("labels", "label", "said"),
    [
        ({}, "instance", "needs the label instance"),
        ({"instance": "web-1", "env": "dev", "zone": "a"}, "env", "must be one of: prod, staging"),
        ({"instance": "web-1", "env": "prod", "zone": "x"}, "zone", 'is for alerts with zone!="x"'),
        ({"instance": "web-1", "env": "prod", "zone": "a", "a b": "c"}, "a b", "is not the name of a label"),
    ],
)
def test_each_mistake_is_named_by_its_label(labels, label, said):
    """So a form can say it beside the input."""
    wrong = mistakes_in(book("'env=~\"prod|staging\"', 'zone!=\"x\"'"), labels)

    assert said in wrong[label]


def test_what_is_right_has_no_mistakes():
    """Labels beyond those that are read do no harm."""
    assert mistakes_in(book(), {"instance": "web-1", "team": "red"}) == {}


# --- looking ---------------------------------------------------------------------------------------


def test_a_plan_is_rendered_and_nothing_happens(way):
    """Every parameter is filled in; where a check's result is needed, that is said instead."""
    insight = Insight(way.ledger, way.operations)

    preview = insight.plan("host-slow", {"target": "web-1"})

    assert preview.plan is not None
    assert (preview.target, preview.plan.actions[0].uses) == ("web-1", "window.set")
    assert way.records() == []
    with pytest.raises(RequestError, match="needs the label instance"):
        insight.plan("host-slow", {})


async def test_why_about_a_target_tells_what_was_done_and_not_done(way):
    """Remediations, alerts that nobody took in, and what keeps everybody from acting now."""
    insight = Insight(way.ledger, way.operations)
    (entry,) = received(way.ledger, delivery("web-1", "host-slow"))
    remediation = admitted(way.ledger, call(entry, name="host-slow")).remediation
    way.ledger.write_now(lambda t: close(t, closing(remediation), at=datetime.now(UTC)))
    await way.operations.freeze("target=web-1", "migration", **ALICE)

    told = "\n".join((await insight.explain("web-1")).sentences)

    assert remediation in told
    assert "Right now nobody acts on it: local:alice froze the target web-1: migration" in told
    with pytest.raises(RequestError, match="nothing is on record"):
        await insight.explain("web-2")


async def test_the_overview_counts_what_helped(way):
    """Of those that acted; a remediation that was withheld is no failure and no success."""
    for number, ending in enumerate((Ending.MITIGATED, Ending.FAILED, Ending.WITHHELD)):
        (entry,) = received(way.ledger, delivery(f"web-{number}", "host-slow"))
        said = call(entry, run=f"run-{number}", target=f"web-{number}", name="host-slow")
        remediation = admitted(way.ledger, said).remediation
        now = datetime.now(UTC)
        way.ledger.write_now(lambda t, r=remediation, e=ending: close(t, closing(r, e), at=now))  # noqa: B023

    seen = await Insight(way.ledger, way.operations).overview()

    assert seen.success == (Success(runbook="host-slow", acted=2, helped=1),)
    assert len(seen.endings) == 3
    later = datetime.now(UTC) + timedelta(days=1)
    assert way.ledger.read_now(lambda c: success(c, later)) == []


# --- the stop --------------------------------------------------------------------------------------


async def test_who_may_not_stop_is_told_whom_to_ask(way):
    """Stopping is the approvers' to do, whatever way somebody comes; the refusal is on record."""
    (entry,) = received(way.ledger, delivery("web-1", "host-slow"))
    remediation = admitted(way.ledger, call(entry, name="host-slow")).remediation
    told = Telling(remediation).admitted().planned().asked().records[1:]
    await way.ledger.append(*(as_entry(each) for each in told))

    with pytest.raises(NotPermittedError, match="ask somebody of sre-oncall"):
        await way.operations.stop(remediation.lower(), "by hand", **ALICE)

    assert way.ledger.read_now(lambda c: stops.stopper_of(c, remediation)) is None
    assert [each.outcome for each in way.records(RecordKind.RULING)] == ["refused"]
    with pytest.raises(RequestError, match="there is no remediation R-NONE"):
        await way.operations.stop("R-NONE", "x", **ALICE)
