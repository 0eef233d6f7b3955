"""The home tab, the run form and the pages: whatever stands in the data, Slack takes them."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from activities.ledger.leases import KeptTarget
from activities.ledger.overview import PastRemediation, Success
from bot.explaining import explain_story
from bot.insight import Overview
from bot.operations import GateLine, OpenWindow, Status, StatusLine
from bot.slack.block_kit import problems_of_view
from bot.slack.home import Eyes, home_view
from bot.slack.run_form import errors_in, filled_in, run_view
from bot.timeline import timeline
from runbooks.language.document import parse_runbook
from runbooks.model.freeze import Freeze
from runbooks.model.record import RecordKind
from runbooks.model.remediation import Ending
from runbooks.policy.story import read_story
from tests.language.declarations import VOCABULARY
from tests.records import NOON, Telling
from tests.way_in import runbook as runbook_text

NAMES = ("sre-oncall",)
FEW = settings(max_examples=40)


def overview(text: str = "web-1", many: int = 1) -> Overview:
    """Everything that a tab can show, with `text` wherever foreign text stands."""
    place = {"remediation": "R-7F3K2Q", "runbook": text, "target": text}
    past = {"id": "R-7F3K2Q", "runbook": text, "target": text, "opened_at": NOON, "ended_at": NOON}
    status = Status(
        frozen=(Freeze(scope="target=" + text, actor="slack:T1/U1", reason=text, at=NOON),) * many,
        running=(StatusLine(**place, phase="asking", since=NOON),) * many,
        gates=(
            GateLine(**place, approvers=NAMES, expires_at=NOON),
            GateLine(**place, approvers=NAMES, expires_at=NOON, doubt=text),
        )
        * many,
        kept=(KeptTarget(target=text, remediation="R-1", runbook=text, since=NOON, fencing=1),) * many,
        windows=(OpenWindow(name=text, scope="*", reason=text, until=NOON),) * many,
        windows_problem=text,
    )
    endings = tuple(PastRemediation(**past, ending=ending) for ending in Ending) * many
    success = (Success(runbook=text, acted=3, helped=2),) * many
    return Overview(status=status, endings=endings, success=success, cards={})


def book(name: str = "service-errors", text: str = "", matchers: str = ""):
    """A small runbook that reads a label, and its form."""
    said = text or runbook_text(name, "ServiceErrors", "{{ labels.service }}")
    if matchers:
        said = said.replace(
            "  - alert: ServiceErrors", f"  - alert: ServiceErrors\n    matchers: [{matchers}]"
        )
    return parse_runbook(said, file=f"{name}.yaml", vocabulary=VOCABULARY)


def words(view) -> str:
    return str(view["blocks"])


def test_what_waits_for_me_stands_first_and_leads_to_its_card():
    """A gate has one place where it is answered, and the tab shows the way."""
    link = "https://example.org/archives/C1/p1"
    view = home_view(overview(), Eyes(groups=frozenset(NAMES), links={"R-7F3K2Q": link}))

    assert words(view).index("Waiting for you") < words(view).index("Running now")
    assert words(view).count(f"'url': '{link}'") == 2
    assert "2 of 3 (67 %)" in words(view)


def test_what_waits_for_others_is_only_counted():
    """Nobody is shown a question that they cannot answer as if it were theirs."""
    view = home_view(overview(), Eyes())

    assert "2 questions wait for others." in words(view)
    assert "Approval needed" not in words(view)


@FEW
@given(st.dictionaries(st.text(max_size=60), st.text(max_size=400), max_size=12))
def test_slack_takes_the_run_form_with_any_labels(labels):
    """No combination of names and values breaks it."""
    each = book()

    assert problems_of_view(run_view([each], each.name, labels)) == []


def test_the_form_offers_the_values_that_a_matcher_names():
    """What can be chosen need not be typed; what has one value has it already."""
    view = run_view(
        [book(matchers="'env=~\"prod|staging\"', 'tier=\"web\"'")], "service-errors", {"env": "prod"}
    )
    env, tier = (
        block for block in view["blocks"] if block.get("block_id", "")[:9] in {"label:env", "label:tie"}
    )

    assert [option["value"] for option in env["element"]["options"]] == ["prod", "staging"]
    assert env["element"]["initial_option"]["value"] == "prod"
    assert tier["element"]["initial_option"]["value"] == "web"


def test_a_form_without_a_choice_cannot_be_submitted():
    """First a runbook is chosen; where there is none, that is said."""
    assert "submit" not in run_view([book()], "", {})
    assert "no runbooks" in words(run_view([], "", {}))


def test_an_error_stands_beside_its_input_or_at_the_last_one():
    """Slack shows an error only beside an input of the form."""
    view = run_view([book()], "service-errors", {})
    state = {
        "values": {"more": {"value": {"value": "env\nteam=red"}}, "runbook": {"x": {"selected_option": None}}}
    }
    filled = filled_in(state)

    errors = errors_in(view, filled, {"service": "needed", "odd": "unknown"})

    assert filled.labels == {"team": "red"}
    assert errors["label:service@service-errors"] == "needed."
    assert "env" in errors["more"]


@FEW
@given(
    st.recursive(
        st.none() | st.text(max_size=5) | st.booleans(),
        lambda each: st.dictionaries(st.text(max_size=8), each, max_size=3),
        max_leaves=12,
    )
)
def test_any_state_of_a_form_can_be_read(state):
    """Whatever somebody with our token sends as a state, nothing fails."""
    if isinstance(state, dict):
        filled_in(state)


def test_a_stop_is_told_by_its_person_and_reason():
    """Who stopped it, and in which words, stands in the timeline and in the answer to why."""
    told = Telling().admitted().check("before", "passed").planned().asked()
    told.tell(RecordKind.STOP_ASKED, actor="slack:T1/U2", reason="we fail over by hand")
    told.gate_closed("withdrawn", "stopped").ended("stopped", "stopped")

    assert "slack:T1/U2 stopped it" in str(explain_story(read_story(told.records)).sentences)
    assert ("Stopped it", ("we fail over by hand",)) in [
        (row.what, row.details) for row in timeline(told.records).rows
    ]


def test_why_tells_what_was_measured_asked_and_refused():
    """Each sentence comes from a record."""
    told = Telling().admitted().check("before", "passed", "error_ratio is 0.05").planned().asked()
    told.wait(seconds=5).answered("approved", "refused", objection="guests may not answer")
    explained = explain_story(read_story(told.records))

    assert (
        "Checked “Errors are above 2 %”, as the runbook expects: error_ratio is 0.05." in explained.sentences
    )
    assert any("which did not count: guests may not answer" in each for each in explained.sentences)
    assert explained.sentences[-1] == "It has not ended: asking."


def test_open_for_a_long_time_is_sorted_by_who_must_be_quick():
    """The question that closes first stands first."""
    late, soon = (
        GateLine(remediation=name, runbook="x", target="y", approvers=NAMES, expires_at=at)
        for name, at in (("R-LATE", NOON + timedelta(hours=1)), ("R-SOON", NOON))
    )
    seen = Overview(
        status=Status(frozen=(), running=(), gates=(late, soon)), endings=(), success=(), cards={}
    )

    shown = words(home_view(seen, Eyes(groups=frozenset(NAMES))))

    assert shown.index("R-SOON") < shown.index("R-LATE")
