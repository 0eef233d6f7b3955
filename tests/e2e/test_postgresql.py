"""The main job with the ledger in PostgreSQL: the real process, as a user who owns nothing, and a server that restarts."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from activities.ledger.roles import WRITER, render_roles
from activities.ledger.store import Ledger
from runbooks.model.record import RecordKind
from runbooks.model.remediation import Ending
from tests.e2e.installation import alert, installation, runbook
from tests.postgres import driver_url, postgres

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


async def test_an_alert_is_carried_through_and_the_bot_outlives_a_restart_of_its_database(
    tmp_path: Path,
) -> None:
    """Checks, gate, action, verification and ending stand in PostgreSQL; after the restart the next alert as well."""
    with postgres() as server:
        owner = server.database("incidents")
        Ledger.open(owner).close()
        with psycopg.connect(driver_url(owner), autocommit=True) as connection:
            connection.execute(render_roles())
            connection.execute(f"create user bot password 'pw' in role {WRITER}")
        bot = server.url("incidents", user="bot", password="pw")

        runbooks = {"mend": runbook("mend", gate=True)}
        async with installation(tmp_path, runbooks=runbooks, ledger_url=bot) as home:
            assert (await home.post(alert(service="web-1"))).status_code == 200
            await home.press()
            first = await home.ended("web-1")

            server.stop_at_once()
            assert (await home.post(alert(service="web-2"))).status_code == 503
            server.start()

            async def taken() -> bool:
                return (await home.post(alert(service="web-2"))).status_code == 200

            await home.until(taken, 30, "alerts to be taken again")
            await home.recorded(RecordKind.GATE_ASKED, number=2)
            await home.press()
            second = await home.ended("web-2")

            assert {first.ending, second.ending} == {Ending.MITIGATED}
            assert dict(home.sink.mended) == {"web-1": 1, "web-2": 1}
            await home.verify()
            assert await home.stop() == 0
        assert not (tmp_path / "data" / "ledger.db").exists()
