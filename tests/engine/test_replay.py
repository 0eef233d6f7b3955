"""Recorded histories, replayed: the engine of today goes on with what the engine of then began."""

from __future__ import annotations

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from bot.sandbox import workflow_runner
from bot.temporal_client import DATA_CONVERTER
from runbooks.engine.remediation import Remediation
from tests.engine.recording import HISTORIES, SCENES


async def replay(name: str) -> None:
    """Let the engine decide what this history says that was decided."""
    text = (HISTORIES / f"{name}.json").read_text(encoding="utf-8")
    replayer = Replayer(
        workflows=[Remediation], data_converter=DATA_CONVERTER, workflow_runner=workflow_runner()
    )
    await replayer.replay_workflow(WorkflowHistory.from_json(f"remediation/test/{name}", text))


@pytest.mark.parametrize("name", SCENES)
async def test_a_remediation_under_way_outlives_a_deploy(name):
    """The code of today makes the same decisions as the code that made this history."""
    await replay(name)


def test_every_history_is_one_that_can_be_recorded_anew():
    """No file is left behind that nobody knows how to make."""
    assert {file.stem for file in HISTORIES.glob("*.json")} == set(SCENES)


async def test_a_change_that_would_strand_it_is_seen(monkeypatch):
    """Without this, the test above could not fail: an engine that does not look again after people answered."""

    async def skip(*_):
        return None

    monkeypatch.setattr(Remediation, "_look_again", skip)

    with pytest.raises(NondeterminismError):
        await replay("gated")
