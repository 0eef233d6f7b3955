"""A practice workspace on a free port, the SDK's own client, and a person's hands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.practice.hands import Hands
from bot.practice.methods.scopes import EVERY_SCOPE
from bot.practice.server import PracticeServer
from bot.practice.workspace import Workspace


@pytest.fixture(autouse=True, scope="session")
def without_proxy() -> Iterator[None]:
    """slack_sdk would send even 127.0.0.1 to a proxy of the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture
def patience() -> float:
    """Seconds that people are made to wait for the app; tests of silence, in which it says nothing, shorten it."""
    return 10.0


@pytest.fixture
def ping_interval() -> float:
    """Seconds between two looks of the app at its connection; after four without an answer it opens another."""
    return 5.0


@pytest.fixture
async def server(patience: float) -> AsyncIterator[PracticeServer]:
    workspace = Workspace(commands={"/runbook": "list"}, patience=patience)
    workspace.triggers.lifetime = 30.0  # a form must open on a slow machine too
    async with PracticeServer(workspace, scopes=EVERY_SCOPE) as running:
        yield running


@pytest.fixture
async def client(server: PracticeServer) -> AsyncWebClient:
    return AsyncWebClient(token=server.bot_token, base_url=server.base_url)


@pytest.fixture
async def hands(server: PracticeServer) -> AsyncIterator[Hands]:
    async with Hands(server.page_url) as person:
        yield person


@pytest.fixture
async def app(client: AsyncWebClient) -> AsyncApp:
    """A real bolt app without listeners; a test adds its own and asks for `connected`."""
    return AsyncApp(client=client)


@pytest.fixture
async def connected(
    server: PracticeServer, app: AsyncApp, hands: Hands, ping_interval: float
) -> AsyncIterator[None]:
    """The bolt app, connected over Socket Mode."""
    handler = AsyncSocketModeHandler(app, server.app_token, ping_interval=ping_interval)
    await handler.connect_async()
    await hands.wait_for(lambda sight: sight.connected)
    yield
    await handler.close_async()
