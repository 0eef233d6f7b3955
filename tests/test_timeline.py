"""The timeline of a remediation: it must read well for a stranger, and show text from outside as text."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest
from rich.console import Console

from bot.timeline import ENDING_WORDS, timeline
from bot.timeline_page import as_markdown_page
from bot.timeline_rows import as_arguments
from bot.timeline_views import as_json, as_terminal
from runbooks.model.alert import AlertStatus
from runbooks.model.record import RecordKind
from runbooks.model.remediation import Ending
from runbooks.policy.story import StoryError
from tests.records import ALERT, PLAN, Telling, a_good_night


def terminal(told, width=80):
    """What a person sees in a terminal of this width, without colours."""
    screen = io.StringIO()
    Console(file=screen, width=width).print(as_terminal(timeline(told.records)))
    return screen.getvalue()


def page(told):
    """The Markdown page."""
    return as_markdown_page(timeline(told.records))


def test_says_who_did_what_with_what_result():
    """Each row has its person, its deed, its result and its reason."""
    rows = {row.seq: row for row in timeline(a_good_night().records).rows}

    told = [(rows[seq].who, rows[seq].what, rows[seq].result) for seq in (40, 41, 43, 44, 48, 52)]
    assert told == [
        ("Paramedic", "Opened because of alert ServiceErrors", "admitted"),
        ("Paramedic", "Checked: Errors are above 2 %", "passed"),
        ("Paramedic", "Asked sre-oncall", ""),
        ("Alice (slack:T1/U1)", "Approved", "counted"),
        ("Paramedic", "Done: Restart checkout", "ok"),
        ("Paramedic", "Ended", "mitigated"),
    ]
    assert rows[44].details == ("known leak, restart is safe", "via slack")
    assert rows[48].since == timedelta(seconds=99.1)


def test_measures_how_long_each_part_took():
    """The durations tell where the time went: until asking, people, acting, verification."""
    durations = timeline(a_good_night().records).durations

    assert durations.to_gate == timedelta(seconds=1)
    assert durations.gate_wait == timedelta(seconds=95)
    assert durations.to_act == timedelta(seconds=97)
    assert durations.to_verify == timedelta(seconds=60)
    assert durations.total == timedelta(seconds=159.1)


def test_what_did_not_happen_has_no_duration():
    """A remediation that was withheld at once has no gate and no action to measure."""
    told = Telling().admitted("withheld", reason="frozen", sentence="A freeze is in force.")

    durations = timeline(told.wait(seconds=1).ended("withheld").records).durations

    assert durations.total == timedelta(seconds=1)
    assert (durations.to_gate, durations.gate_wait, durations.to_act, durations.to_verify) == (None,) * 4


def test_the_decision_not_to_act_is_told_with_its_reason():
    """Why nothing was done stands in the timeline like everything that was done."""
    told = Telling().admitted("withheld", reason="cooldown", sentence="It ended 4 minutes ago.")

    text = page(told.ended("withheld", "It ended 4 minutes ago.", "cooldown"))

    assert "**Withheld: it was not allowed to act, or did not know enough to act.**" in text
    assert "| Opened because of alert ServiceErrors | withheld | It ended 4 minutes ago. |" in text
    assert "## The plan" not in text


def test_an_answer_that_did_not_count_is_told_with_the_objection():
    """Who tried to answer and was refused stands in the timeline."""
    told = Telling().admitted().planned().asked()
    told.answered(
        "approved", "refused", objection="you are not in sre-oncall", principal={"key": "slack:T1/U2"}
    )

    (row,) = [row for row in timeline(told.records).rows if row.who == "slack:T1/U2"]

    assert (row.what, row.result) == ("Approved", "did not count")
    assert "you are not in sre-oncall" in row.details


def test_a_click_is_told_once():
    """A click is on record when it arrives and when it is judged: the judgement is the row."""
    told = Telling().admitted().planned().asked()
    for click in ("judged", "forgotten"):
        told.tell(RecordKind.DECISION_RECEIVED, actor="slack:T1/U1", id=click, answer="approved", via="slack")
    told.answered("approved", id="judged")

    rows = [(row.what, row.result) for row in timeline(told.records).rows if "T1/U1" in row.who]

    assert rows == [("An answer came in: approved", "not judged yet"), ("Approved", "counted")]


def test_the_alert_that_opened_it_is_told_once():
    """The opening names its alert; only further notifications have rows of their own."""
    told = Telling().admitted().joined(entry="entry-1").joined(entry="entry-2")

    whats = [row.what for row in timeline(told.records).rows]

    assert whats == [
        "Opened because of alert ServiceErrors",
        "Took in a further notification of ServiceErrors",
    ]


@pytest.mark.parametrize(
    ("told", "what", "result"),
    [
        (Telling().intent().receipt("failed"), "Failed: Restart checkout", "failed"),
        (
            Telling().intent(attempt=2).receipt("not_sent", attempt=2),
            "Not done: Restart checkout (attempt 2)",
            "not sent",
        ),
        (Telling().intent().unknown(), "Not known whether done: Restart checkout", "unknown"),
        (Telling().refused(), "Not allowed: Restart checkout", "refused"),
    ],
)
def test_every_outcome_of_an_action_has_its_words(told, what, result):
    """Failed, not done, not known and not allowed are four different things."""
    whole = Telling().admitted()
    for record in told.records:
        whole.tell(record.kind, record.outcome, **record.data)

    row = timeline(whole.records).rows[-1]

    assert (row.what, row.result) == (what, result)


def test_an_action_that_a_later_attempt_found_done_says_so():
    """Recovery after a crash is told: nothing was done twice."""
    told = Telling().admitted().intent().unknown().intent(attempt=2).receipt(attempt=2, recovered=True)

    assert "found out that an earlier attempt had done it" in timeline(told.records).rows[-1].details


def test_every_ending_has_its_words():
    """No ending is left without a sentence for people."""
    assert set(ENDING_WORDS) == set(Ending)


def test_a_remediation_in_progress_says_what_is_going_on():
    """A timeline can be asked for before the end."""
    assert timeline(Telling().admitted().planned().asked().records).ending == "In progress: asking."


def test_the_evidence_names_positions_digests_and_keys():
    """A stranger finds the records, the plan and the signatures that prove it."""
    evidence = timeline(a_good_night().records).evidence

    assert (evidence.first_seq, evidence.last_seq, evidence.records) == (40, 52, 13)
    assert evidence.plan_digest == PLAN.digest
    assert [(each.person, each.key_id, each.counted) for each in evidence.signed] == [
        ("Alice (slack:T1/U1)", "0123456789abcdef", True)
    ]
    first = evidence.measured[0]
    assert first.asked == 'prometheus.query query=error_ratio{service="checkout"}'
    assert first.expected == "result.value > 0.02"


def test_markdown_from_a_label_is_shown_not_obeyed():
    """Pipes, links, tags, formulas and control characters in outside text stay text."""
    evil = "=1+1 | <img src=x> [x](http://x) \x1b[31m\u202e`"
    alert = ALERT.model_copy(update={"annotations": {"summary": evil}})
    told = Telling().admitted(alert=alert.model_dump(mode="json"))

    (line,) = [line for line in page(told).splitlines() if line.startswith("| Which says")]

    assert line == (
        "| Which says | \\=1+1 \\| \\<img src=x\\> \\[x\\](http://x) \N{REPLACEMENT CHARACTER}\\[31m"
        "\N{REPLACEMENT CHARACTER}\\` |"
    )


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_a_cell_never_begins_a_formula(start):
    """A table that is pasted into a spreadsheet calculates nothing."""
    told = Telling().admitted().check("before", "passed", f"{start}cmd")

    (line,) = [line for line in page(told).splitlines() if "Checked: " in line]

    assert f"| \\{start}cmd (took 12ms) |" in line


def test_every_row_of_the_markdown_table_has_six_cells():
    """A line break in a sentence does not tear the table."""
    told = Telling().admitted().check("before", "passed", "a\nb | c")

    rows = [line for line in page(told).splitlines() if line.startswith("| 03:")]

    assert len(rows) == 2
    assert all(line.replace("\\|", "").count("|") == 7 for line in rows)


def test_escape_sequences_do_not_reach_the_terminal():
    """A label cannot repaint the screen of the person who reads the timeline."""
    shown = terminal(Telling().admitted().check("before", "passed", "\x1b[2J\x9b31m [bold]red[/bold]"))

    assert "\x1b" not in shown
    assert "\x9b" not in shown
    assert "[bold]red[/bold]" in shown


@pytest.mark.parametrize("width", [80, 120])
def test_fits_the_terminal(width):
    """No line is longer than the terminal is wide, and nothing of the rows is cut off."""
    shown = terminal(a_good_night(), width)

    assert max(len(line.rstrip()) for line in shown.splitlines()) <= width
    assert "…" not in shown
    assert "Alice" in shown


def test_json_holds_the_same_rows_with_spans_in_seconds():
    """Programs read the same facts as people, without control characters."""
    told = a_good_night()
    told.tell(RecordKind.PROCESS, what="\x9b31m")

    text = as_json(timeline(told.records))
    data = json.loads(text)

    assert text.isascii()
    assert len(data["rows"]) == 14
    assert (data["durations"]["gate_wait"], data["rows"][4]["since"]) == (95.0, 96.0)
    assert data["story"]["ending"] == "mitigated"
    assert data["rows"][-1]["what"] == "process"


def test_the_plan_names_the_undo_or_says_that_there_is_none():
    """Whoever reads it knows how to take each action back."""
    back = PLAN.actions[0].model_copy(update={"id": "start", "name": "Start it again"})
    action = PLAN.actions[0].model_copy(update={"undo": back})
    plan = PLAN.model_copy(update={"actions": (action, PLAN.actions[0])})

    text = page(Telling(plan=plan).admitted().planned())

    assert "Undo: Start it again, `supervisor.restart supervisor=web-1, process=checkout`." in text
    assert "There is no undo." in text


def test_a_run_without_an_alert_names_the_person_who_asked():
    """A remediation that was started by hand says by whom."""
    told = timeline(Telling().admitted(alert=None, requested_by="local:alice").records)

    assert ("Asked for by", "local:alice") in told.facts
    assert "Alert" not in dict(told.facts)
    assert (told.rows[0].who, told.rows[0].what) == ("local:alice", "Opened by hand")


def test_arguments_that_are_lists_can_be_read():
    """The argument list of a command stands in the timeline item by item."""
    told = Telling().admitted().intent(arguments={"host": "web-1", "argv": ["find", "/var/log"]})

    assert timeline(told.records).rows[-1].details == (
        "supervisor.restart host=web-1, argv=[find, /var/log]",
    )


def test_half_a_story_is_no_timeline():
    """A record that is missing is reported and not papered over."""
    with pytest.raises(StoryError):
        timeline(a_good_night().records[1:])


def test_an_argument_that_is_absent_is_left_out():
    """`alert=None` says nothing that a person could use."""
    assert as_arguments({"host": "web-1", "alert": None, "attempts": 0}) == "host=web-1, attempts=0"


def test_the_all_clear_is_no_further_notification():
    """A resolved alert is told as what it is."""
    told = Telling().admitted().joined(AlertStatus.RESOLVED)

    assert [row.what for row in timeline(told.records).rows][1] == "Was told that ServiceErrors has resolved"
