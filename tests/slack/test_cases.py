"""Everything that can go wrong at a gate in Slack, over real sockets, in both modes.

The stories are in `cases.py`; `python -m tests.slack.table` prints what comes of each.
"""

from __future__ import annotations

import re
from typing import get_args

import pytest

from bot.slack.manifest import Mode
from tests.slack.cases import CASES
from tests.slack.rig import Rig


@pytest.mark.slow
@pytest.mark.parametrize(
    ("each", "mode"),
    [
        pytest.param(each, mode, id=f"{mode}-{re.sub(r'[^a-z0-9]+', '-', each.name.lower())}")
        for each in CASES
        for mode in each.modes
    ],
)
async def test_nothing_lost_nothing_twice(tmp_path, capfd, each, mode):
    """
    The story ends as it should, and no traceback is written on the way.
    """
    async with Rig.open(tmp_path, mode) as rig:
        assert await each.story(rig)

    written = capfd.readouterr()
    assert "Traceback" not in written.out + written.err


def test_most_stories_are_told_in_both_modes():
    """
    A case that only one mode knows is one about sockets, or about requests.
    """
    assert all(
        each.modes == get_args(Mode)
        for each in CASES
        if not re.search("socket|forged|replayed|signed", each.name)
    )
