"""The parts of one running practice workspace, as its HTTP endpoints find them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from starlette.requests import HTTPConnection

from bot.practice.faults import Faults
from bot.practice.interactions import Interactions
from bot.practice.rate_limits import RateLimits
from bot.practice.sockets import Sockets
from bot.practice.workspace import Workspace


@dataclass(frozen=True)
class Tokens:
    """What the app shows: `xoxb-` for the Web API, `xapp-` to open a connection; and what each may do."""

    bot: str
    app: str
    bot_scopes: frozenset[str]
    app_scopes: frozenset[str]


@dataclass(frozen=True)
class Parts:
    """Everything that belongs to one practice workspace.

    Attributes:
        base_url: where it is, such as `http://127.0.0.1:8701`.
        stopping: set when the server is about to end, so that nobody waits any longer.
    """

    workspace: Workspace
    faults: Faults
    rate_limits: RateLimits
    sockets: Sockets
    interactions: Interactions
    tokens: Tokens
    secret: str
    port: int
    base_url: str
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


def parts_of(connection: HTTPConnection) -> Parts:
    """Return the parts of the workspace that this request came to."""
    parts: Parts = connection.app.state.parts
    return parts
