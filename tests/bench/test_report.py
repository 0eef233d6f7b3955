"""A bench that judges itself kindly is worth nothing."""

from __future__ import annotations

import pytest

from bench.load import alert, notification, percentile
from bench.report import BARE, PARAMEDIC, ROWS, summarise


def judged(metric: str, own: list[float], bare: list[float] | None = None) -> bool | None:
    """Return whether `metric` is said to be met; all other metrics are 1."""
    passes = {PARAMEDIC: own} if bare is None else {PARAMEDIC: own, BARE: bare}
    others = {row.metric: 1.0 for row in ROWS}
    summary = summarise(
        {name: [others | {metric: value} for value in values] for name, values in passes.items()}
    )
    return next(row["met"] for row in summary if row["metric"] == metric)


@pytest.mark.parametrize(
    ("metric", "own", "bare", "met"),
    [
        ("idle_action_p50", [12.5, 12.5, 90.0], [10.0, 10.0, 10.0], True),
        ("idle_action_p50", [12.6, 12.6, 10.0], [10.0, 10.0, 10.0], False),
        ("idle_action_p50", [12.0, 26.0, 39.0], [10.0, 20.0, 30.0], False),
        (
            "idle_action_p50",
            [12.0, 24.0, 13.0],
            [10.0, 20.0, 10.0],
            True,
        ),  # though that of the medians is 1.3
        ("idle_action_p50", [12.0], [0.0], False),
        ("burst_rate", [84.0], [100.0], False),
        ("burst_rate", [85.0], [100.0], True),
        ("idle_ack_p50", [3.1], [4.0], False),
    ],
)
def test_targets_are_judged_by_the_medians(metric, own, bare, met):
    """
    A ratio is that of a pass, and the median of them counts; an absolute target does not care what the bare program did.
    """
    assert judged(metric, own, bare) is met


def test_acting_once_must_hold_in_every_pass():
    """
    One pass that acted twice on an alert is a failure, however good the median is.
    """
    assert judged("storm_actions", [1.0, 1.05, 1.0]) is False
    assert judged("storm_odd", [0, 0, 2]) is False


def test_ratios_need_both_contenders():
    """
    Without the bare program in the same run a ratio is neither met nor missed.
    """
    assert judged("idle_action_p50", [12.0]) is None


def test_the_payload_is_as_large_as_a_real_one():
    """
    One alert is about 2 KB and fifty about 54 KB, as Alertmanager sends them.
    """
    alerts = [alert(f"node-{number:03}") for number in range(50)]

    assert 1_900 < len(notification(alerts[:1])) < 2_300
    assert 45_000 < len(notification(alerts)) < 60_000


def test_percentiles_lie_within_the_samples():
    """
    With few samples the 95th percentile is interpolated, never invented beyond the largest.
    """
    assert percentile([1.0, 2.0, 3.0], 50) == 2.0
    assert 2.0 < percentile([1.0, 2.0, 3.0], 95) <= 3.0
