"""Performing: checks that were planned before this installation changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from activities.actions import Registry
from activities.connections import Connections
from activities.performing import Performer
from runbooks.language.facts import Facts
from runbooks.model.plan import PlannedCheck
from runbooks.model.verdict import Verdict


@pytest.fixture
async def performer() -> AsyncIterator[Performer]:
    performer = Performer(Registry.installed(), Connections())
    yield performer
    await performer.aclose()


def check(uses: str, **arguments: Any) -> PlannedCheck:
    return PlannedCheck(
        id="check-0", name="It is slow", uses=uses, arguments=arguments, timeout=timedelta(seconds=5)
    )


@pytest.mark.parametrize(
    ("planned", "sentence"),
    [
        (check("gone.check"), "gone.check is not a check of this installation"),
        (check("http.request"), "http.request is not a check of this installation"),
        (check("prometheus.query"), "prometheus.query does not take these parameters: query: "),
    ],
)
async def test_a_check_that_is_no_longer_there_or_takes_others_stops_with_one_sentence(
    performer: Performer, planned: PlannedCheck, sentence: str
) -> None:
    """A remediation may wait for people while the package of its actions is replaced."""
    measured = await performer.measure(planned, Facts(labels={}, target="web-1"))

    assert measured.verdict is Verdict.ERROR
    assert measured.sentence.startswith(sentence)
    assert "\n" not in measured.sentence
