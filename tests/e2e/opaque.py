"""A package with one opaque action, as a user would install one: nobody can know whether it happened."""

from __future__ import annotations

from pathlib import Path

_MODULE = '''
"""Mends at the sink, and then takes its time: whoever dies meanwhile leaves nobody who knows."""

import asyncio
from datetime import timedelta

import httpx
from pydantic import BaseModel

from activities.actions import action
from runbooks.model.action import ActionClass, ActionResult, Effect


class Mend(BaseModel):
    url: str
    linger_s: float = 0


@action("opaque.mend", "Mend", effect=Effect.WRITE, kind=ActionClass.OPAQUE, timeout=timedelta(seconds=8), attempts=1)
async def mend(parameters: Mend, scene) -> ActionResult:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(parameters.url, headers={"idempotency-key": scene.key})
    done = answer.json()
    await asyncio.sleep(parameters.linger_s if done["times"] == 1 else 0)
    return ActionResult(sentence="mended")


ACTIONS = [mend]
'''


def install_opaque(folder: Path) -> Path:
    """Put the package into `folder`, which must be on PYTHONPATH; return the folder."""
    information = folder / "opaque_mend-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: opaque-mend\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[paramedic.actions]\nopaque = opaque_mend:ACTIONS\n")
    (folder / "opaque_mend.py").write_text(_MODULE)
    return folder
