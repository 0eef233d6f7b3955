"""Two `serve` and one `worker` on one PostgreSQL and one Temporal: they share the work, and nothing is done twice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path

import pytest
from temporalio.client import Client

from activities.ledger.duties import find_duty
from bot.keys import ListenerKey
from bot.practice.hands import Button, Sight
from bot.slack.card import APPROVE
from bot.temporal_client import DATA_CONVERTER
from bot.temporal_server import TemporalServer
from chaos.house import reset_to_beginning
from runbooks.model.remediation import Ending, workflow_id
from tests.components import free_port
from tests.e2e.installation import Installation, alert, installation, runbook
from tests.postgres import postgres

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

NAMESPACE = "paramedic"
TARGETS = [f"web-{number}" for number in range(4)]
WITHIN = 60.0  # seconds that anything may take at most


@contextlib.asynccontextmanager
async def temporal(folder: Path) -> AsyncIterator[str]:
    """Run a Temporal that is nobody's child; yield its address."""
    server = TemporalServer(folder, port=free_port(), namespace=NAMESPACE)
    await server.start()
    try:
        yield server.address
    finally:
        await server.stop()


@contextlib.asynccontextmanager
async def stacks(folder: Path, url: str, address: str) -> AsyncIterator[tuple[Installation, Installation]]:
    """Run two webs, with data folders and keys of their own, and a worker that trusts both."""
    async with installation(
        folder / "one", runbooks={"mend": runbook("mend", gate=True)}, ledger_url=url, start=False
    ) as one:
        parts = [one, *(Installation(folder / name, one.practice, one.sink, ledger_url=url) for name in ("other", "worker"))]  # fmt: skip
        webs, worker = parts[:2], parts[2]
        for part in parts:
            part.folder.mkdir(exist_ok=True)
            part.command = "worker" if part is worker else "serve"
            part.further = {
                "PARAMEDIC_TEMPORAL_ADDRESS": address,
                "PARAMEDIC_RUNBOOKS": str(one.folder / "runbooks"),
                "PARAMEDIC_CONNECTIONS": str(one.folder / "connections.yaml"),
            }
        worker.further["PARAMEDIC_DECISION_KEYS"] = ",".join(key_of(web).public_text for web in webs)
        try:
            await asyncio.gather(*(part.start() for part in parts))
            yield one, webs[1]
        finally:
            await asyncio.gather(*(part.close() for part in parts[1:]))


def key_of(web: Installation) -> ListenerKey:
    """Return the key of a web's listener."""
    return ListenerKey.load_or_create(web.folder / "data" / "keys")


async def on_duty(webs: Sequence[Installation]) -> Installation:
    """Return the web that keeps the cards."""
    found = await webs[0].ledger.read(lambda c: find_duty(c, "presenter"))
    assert found is not None
    return next(web for web in webs if found.holder.endswith(key_of(web).key_id))


async def approve(home: Installation, number: int, known: Collection[str] = ()) -> dict[str, Button]:
    """Let Alice approve this many, as soon as there is a button for each; return the buttons by what they are about.

    She does not wait until Slack shows what came of it: it takes about one message a second.
    """

    def seen(sight: Sight) -> dict[str, Button] | None:
        found = {each.value: each for each in sight.buttons() if each.action_id == APPROVE}
        new = {value: each for value, each in found.items() if value not in known}
        return new if len(new) == number else None

    buttons = await home.hands.wait_for(seen, WITHIN)
    for button in buttons.values():
        await home.approve_until_acknowledged(button)
    return buttons


async def test_two_webs_share_the_work_and_do_nothing_twice(tmp_path):
    """
    Each alert comes to both: one remediation, one question, one effect each; the second web goes on with the cards.
    """
    with postgres(fsync=False) as server:
        async with (
            temporal(tmp_path / "temporal") as address,
            stacks(tmp_path, server.database(), address) as webs,
        ):
            one, _ = webs
            for_both = [alert(service=target) for target in TARGETS]
            answers = await asyncio.gather(*(web.post(each) for each in for_both for web in webs))
            assert {each.status_code for each in answers} == {200}

            pressed = await approve(one, len(TARGETS))
            for target in TARGETS:
                await one.ended(target)
            first = await on_duty(webs)
            [second] = [web for web in webs if web is not first]
            assert await first.stop() == 0

            assert (await second.post(alert(service="late"))).status_code == 200
            await approve(second, 1, pressed)
            stories = [await second.ended(target) for target in (*TARGETS, "late")]

            assert {story.ending for story in stories} == {Ending.MITIGATED}
            assert dict(second.sink.mended) == dict.fromkeys((*TARGETS, "late"), 1)
            # One that was posted for others first, and then updated, is in no post of its own.
            posts = [str(each.arguments) for each in one.practice.workspace.calls if each.method == "chat.postMessage"]  # fmt: skip
            assert {sum(question in post for post in posts) for question in pressed} <= {0, 1}

            client = await Client.connect(address, namespace=NAMESPACE, data_converter=DATA_CONVERTER)
            name = workflow_id("mend", "late")
            await client.get_workflow_handle(name).result()
            await reset_to_beginning(client, name)
            await client.get_workflow_handle(name).result()
            assert second.sink.mended["late"] == 1
            await second.verify()
