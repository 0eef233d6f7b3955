"""The fault suite itself: its matrix is complete, its chances can be repeated, and it can fail."""

from __future__ import annotations

import pytest

from chaos.__main__ import LEAST_KILLS, objections_to
from chaos.bare_house import FAULTS, count
from chaos.crash_points import POINTS, Fuse
from chaos.crashes import CRASHES
from chaos.judge import Effect, Findings
from chaos.people import PEOPLE
from chaos.report import Row, as_json
from chaos.run import Plan
from chaos.surroundings import SURROUNDINGS
from tests.chaos.test_judge import BEGUN

MATRIX = (*CRASHES, *SURROUNDINGS, *PEOPLE)


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
    kills = sum(
        fault.long // 3 if fault.name == "killed-at-random" else fault.long
        for fault in CRASHES
        if fault.name.startswith("killed-")
    )

    assert kills >= LEAST_KILLS


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
