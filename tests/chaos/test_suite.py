"""The fault suite itself: its matrix is complete, its chances can be repeated, and it can fail."""

from __future__ import annotations

import io
import socket
from datetime import UTC, datetime, timedelta
from types import ModuleType

import pytest
from rich.console import Console

from chaos.__main__ import LEAST_KILLS, objections_to
from chaos.bare_house import FAULTS, count
from chaos.changes import CHANGES
from chaos.clock import MovedClock, install
from chaos.crash_points import POINTS, Fuse
from chaos.crashes import CRASHES
from chaos.judge import Effect, Findings
from chaos.people import BRAKES, PEOPLE
from chaos.ports import HIGHEST, LOWEST, lasting_port
from chaos.report import Row, as_json, render
from chaos.run import Plan
from chaos.surroundings import SURROUNDINGS
from runbooks.model.record import RecordKind
from tests.chaos.test_judge import BEGUN, Ledger

MATRIX = (*CRASHES, *SURROUNDINGS, *CHANGES, *PEOPLE, *BRAKES)


def _fault_at(point: str) -> str:
    """Return the name of the fault that kills at a point; those of people have names of their own."""
    others = {
        "after_gate": "gate-killed",
        "after_click": "click-killed",
        "after_judgement": "judgement-killed",
    }
    return others.get(point, f"killed-{point.replace('_', '-')}")


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def test_the_matrix_has_at_least_twenty_five_faults_with_names_of_their_own():
    """
    Names are prefixes of targets: two equal ones would be judged together.
    """
    names = [fault.name for fault in MATRIX]

    assert len(names) == len(set(names)) >= 25


def test_the_long_version_kills_at_least_a_thousand_times():
    """
    The number that the guarantees name is the number that is planned.
    """
    planned = sum(fault.kills * fault.long for fault in MATRIX)
    at_points = {fault.name for fault in MATRIX if fault.kills and fault.long >= 10}

    assert planned >= LEAST_KILLS
    assert {_fault_at(point) for point in POINTS} <= at_points


def test_each_fault_has_its_own_chances_and_the_same_ones_for_the_same_seed():
    """
    A run can be repeated from its seed, also with some faults left out.
    """
    first, again, other = (Plan(seed).random("storm").random() for seed in (7, 7, 8))

    assert first == again != other


def test_a_fuse_burns_down_at_its_own_point_only(monkeypatch):
    """
    A process dies when it comes to the named point for the n-th time, and nowhere else.
    """
    deaths = []
    monkeypatch.setattr("chaos.crash_points.os.kill", lambda _pid, number: deaths.append(number))
    fuse = Fuse("after_effect:2")

    for point in (*POINTS, *POINTS):
        fuse.reach(point)

    assert len(deaths) == 1


def test_a_misspelt_point_is_refused():
    """
    A fault that silently does nothing would pass for ever.
    """
    with pytest.raises(ValueError, match="after_effect"):
        Fuse("after_efect")


def test_a_broken_promise_and_a_baseline_without_duplicates_are_both_objected_to():
    """
    The suite fails where the product breaks a promise, and where it proves nothing.
    """
    broken = Row("storm", "", 1, 0, Findings(delivered=1, problems=("lost: storm-0",)), 0.0)
    harmless = Row("reset", "", 1, 0, Findings(delivered=1, explained=1, effects=1), 0.0, safe=False)

    said = objections_to([broken, harmless], Plan(1), complete=True)

    assert said == [
        "storm: lost: storm-0",
        "the program without safety did nothing twice: this run proves nothing",
    ]


def test_the_bare_program_s_duplicates_are_counted_by_the_same_rule():
    """
    One target, one effect: what is more is a duplicate.
    """
    effects = [Effect("reset-0", BEGUN), Effect("reset-0", BEGUN), Effect("reset-1", BEGUN)]

    found = count("reset", {"reset-0", "reset-1", "reset-2"}, effects)

    assert (found.delivered, found.lost, found.effects, found.duplicates) == (3, 1, 3, 1)
    assert {fault.name for fault in FAULTS} <= {fault.name for fault in MATRIX}


def test_the_file_holds_what_the_table_shows():
    """
    Whoever reads the JSON needs no second source: the losses and the seed stand in it.
    """
    row = Row("storm", "many at once", 2, 0, Findings(delivered=2, explained=1), 0.1)

    written = as_json([row], seed=7, seconds=1.0, resumed=[0.2])

    assert written["seed"] == 7
    assert written["rows"][0]["findings"]["lost"] == 1
    assert written["rows"][0]["holds"] is False


def test_the_table_says_how_long_the_longest_alert_waited():
    """
    What is late is seen, and not only what is lost.
    """
    rows = [
        Row(name, "", 1, 0, Findings(delivered=1, explained=1, longest=longest), 0.0)
        for name, longest in (("storm", 3.25), ("reset", 41.0))
    ]
    console = Console(width=150, file=io.StringIO(), record=True)

    console.print(render(rows))

    last = [line.split() for line in console.export_text().splitlines() if " all 2 " in line]
    assert last[0][-2:] == ["41.0", "s"]


def test_a_moved_clock_is_wrong_for_the_product_only(tmp_path):
    """
    The modules that it is given ask for the time in vain; everybody else gets the right one.
    """
    clock, product = MovedClock(tmp_path / "clock"), ModuleType("product")
    vars(product)["datetime"] = datetime
    install(clock.file, [product, ModuleType("another")])

    right = product.datetime.now(UTC)
    clock.move(timedelta(hours=-3))
    wrong = product.datetime.now(UTC)

    assert abs(right - datetime.now(UTC)) < timedelta(hours=1)
    assert abs(wrong - datetime.now(UTC) + timedelta(hours=3)) < timedelta(hours=1)
    assert isinstance(BEGUN, product.datetime)
    assert (
        product.datetime(2026, 1, 1, tzinfo=UTC)
        == product.datetime.fromisoformat("2026-01-01T00:00:00Z")
        == BEGUN
    )


@pytest.mark.parametrize("wrong_by", [timedelta(), timedelta(hours=3), timedelta(hours=-24)])
def test_the_judge_goes_by_the_right_clock(tmp_path, ledger, wrong_by):
    """
    A record of a clock that was wrong is judged by the time at which it was written.
    """
    clock = MovedClock(tmp_path / "clock")
    for offset in (timedelta(hours=1), wrong_by):
        clock.move(offset)
    now = datetime.now(UTC)

    record = clock.corrected(ledger.add(RecordKind.PROCESS).model_copy(update={"at": now + wrong_by}))

    assert record.at == now


def test_a_port_that_has_to_last_is_none_that_the_kernel_gives_away():
    """
    Else a server that is killed a thousand times finds its port taken one day.
    """
    one, another = lasting_port(), lasting_port()

    assert LOWEST <= one != another <= HIGHEST
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", one))
