"""The connection to Slack: clients, bolt app, and how Slack calls us: through a socket, or over HTTP.

The practice workspace is reached by the same code; only base URL and tokens differ.  Three
things are done here because the libraries would do otherwise: nothing on this machine is reached
through a proxy; a client whose calls Slack slows down tries again, but for the sender's, which
keeps Slack's pauses itself; and no log holds the body of an interaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import traceback
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import structlog
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp, AsyncBoltContext
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.authorization.async_authorize import AsyncAuthorize
from slack_bolt.error import BoltUnhandledRequestError
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.http_retry.builtin_async_handlers import (
    AsyncConnectionErrorRetryHandler,
    AsyncRateLimitErrorRetryHandler,
    AsyncServerErrorRetryHandler,
)
from slack_sdk.web.async_client import AsyncWebClient

from runbooks.errors import ParamedicError
from runbooks.model.base import Value

LOG = structlog.get_logger("paramedic.slack")

REQUEST_TIMEOUT = 10  # seconds
CONNECT_TIMEOUT = 20.0  # seconds for one attempt at opening the socket
FIRST_PAUSE = 0.5  # seconds between two attempts at reaching Slack; doubles
LONGEST_PAUSE = 30.0
LOOK_EVERY = 10.0  # seconds between two looks at whether the socket is open

_HEARD = "paramedic.heard"  # in bolt's context
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_APP_ID = re.compile(r"xapp-\d+-(A[A-Z0-9]+)-")
_HOPELESS = frozenset(
    {
        "invalid_auth",
        "not_authed",
        "account_inactive",
        "token_revoked",
        "token_expired",
        "not_allowed_token_type",
    }
    | {"missing_scope", "no_permission", "org_login_required", "ekm_access_denied"}
)


class SlackTokensError(ParamedicError):
    """Slack does not accept the tokens.  Trying again will not help."""

    code = "slack_tokens_wrong"


class Installation(Value):
    """Where the bot is installed, as Slack says.

    Attributes:
        app: the app's id; empty where the app token does not tell it.
    """

    team: str
    bot_user: str
    bot: str
    app: str = ""


class SlackConnection:
    """The bot's connection to one workspace.

    Args:
        bot_token: `xoxb-...`
        app_token: `xapp-...`; None where Slack calls over HTTP, and there is no socket.
        base_url: of the Web API, with a slash at the end.

    Attributes:
        app: attach listeners to it before `start`.
        client: for look-ups and for what one person sees; tries again when Slack asks it to wait.
        sender_client: for `bot.slack.sender.Sender`, which keeps Slack's pauses itself.
        installation: None until Slack was reached.
    """

    def __init__(
        self, *, bot_token: str, app_token: str | None, base_url: str = "https://slack.com/api/"
    ) -> None:
        self._app_token = app_token
        self._logger = _quiet_logger()
        self._local = urlsplit(base_url).hostname in _LOOPBACK
        self.client = self._build_client(bot_token, base_url)
        self.client.retry_handlers = [
            AsyncConnectionErrorRetryHandler(),
            AsyncRateLimitErrorRetryHandler(max_retry_count=2),
            AsyncServerErrorRetryHandler(max_retry_count=2),
        ]
        self.sender_client = self._build_client(bot_token, base_url)
        self.sender_client.retry_handlers = []
        # bolt would ask auth.test through a client of its own making, which takes a proxy from the
        # environment again.  We know who we are, so it is told.
        self.app = AsyncApp(
            client=self._build_client(None, base_url),
            authorize=_Ourselves(self, bot_token),
            logger=self._logger,
            name="paramedic.bolt",
            raise_error_for_unhandled_request=True,
        )
        self.app.error(_take_note)
        self.app.use(self._refuse_foreign)
        self.installation: Installation | None = None
        self._handler: AsyncSocketModeHandler | None = None
        self._session: aiohttp.ClientSession | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Connect.  Where Slack cannot be reached, return all the same and keep trying.

        Raises:
            SlackTokensError: Slack does not accept the tokens.
        """
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT))
        self.client.session = self.sender_client.session = self._session
        try:
            await self._open()
        except SlackTokensError:
            await self.stop()
            raise
        except ParamedicError as error:
            LOG.warning("Slack cannot be reached yet; trying again", error=str(error))
        self._tasks.append(asyncio.create_task(self._keep_open()))

    async def stop(self) -> None:
        """Disconnect.  May be called twice."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._handler is not None:
            handler, self._handler = self._handler, None
            await handler.close_async()  # type: ignore[no-untyped-call]
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def is_connected(self) -> bool:
        """Return whether Slack can call us now; over HTTP: whether we would understand it."""
        if self._app_token is None:
            return self.is_ready
        return self._handler is not None and bool(await self._handler.client.is_connected())

    @property
    def is_ready(self) -> bool:
        """Whether we know where we are installed."""
        return self.installation is not None

    async def hear(self, payload: dict[str, Any]) -> BoltResponse:
        """Let the listener for this payload run, and return its answer to Slack.

        A payload over HTTP is dispatched as one from a socket, so there is one way through bolt.
        Its signature is verified before it comes here.
        """
        try:
            return await self.app.async_dispatch(AsyncBoltRequest(mode="socket_mode", body=payload))
        except Exception as error:  # noqa: BLE001 - bolt stumbles over what only looks like Slack's
            return await _take_note(error)

    def _build_client(self, token: str | None, base_url: str) -> AsyncWebClient:
        client = AsyncWebClient(token=token, base_url=base_url, timeout=REQUEST_TIMEOUT, logger=self._logger)
        if self._local:
            client.proxy = None  # it took one from the environment and minds no NO_PROXY
        return client

    async def _open(self) -> None:
        """Find out where we are, and open the socket if there is one.

        Raises:
            SlackTokensError: Slack does not accept the tokens.
            SlackUnreachableError: anything else.
        """
        try:
            known = await self.client.auth_test()
            app_id = _APP_ID.match(self._app_token or "")
            self.installation = Installation(
                team=known["team_id"],
                bot_user=known["user_id"],
                bot=known["bot_id"],
                app=app_id[1] if app_id else "",
            )
            if self._app_token is not None:
                # The socket client would try for ever with wrong tokens, so they are tried first.
                await self.client.apps_connections_open(app_token=self._app_token)
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    await self._connect(self._app_token)
        except SlackApiError as error:
            word = _word(error)
            if word in _HOPELESS:
                raise SlackTokensError(
                    f"Slack refuses {_method(error)}: {word}. Check PARAMEDIC_SLACK_BOT_TOKEN (xoxb-...), "
                    "PARAMEDIC_SLACK_APP_TOKEN (xapp-..., scope connections:write) and the app's scopes."
                ) from error
            raise SlackUnreachableError(f"Slack says {word}") from error
        except (SlackClientError, aiohttp.ClientError, OSError, TimeoutError) as error:
            raise SlackUnreachableError(str(error) or type(error).__name__) from error
        LOG.info("connected to Slack", team=self.installation.team, bot=self.installation.bot_user)

    async def _connect(self, app_token: str) -> None:
        if self._handler is None:
            self._handler = AsyncSocketModeHandler(self.app, app_token, logger=self._logger)
            if self._local:
                self._handler.client.proxy = None  # the same again: it looks at the environment itself
            self._handler.client.web_client = self.client
        await self._handler.connect_async()  # type: ignore[no-untyped-call]

    async def _keep_open(self) -> None:
        """Connect if that has not been done yet; then look after the socket."""
        pause = FIRST_PAUSE
        while not await self.is_connected():
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            try:
                await self._open()
            except ParamedicError as error:
                LOG.warning("Slack cannot be reached yet; trying again", error=str(error))
        while self._handler is not None:
            await asyncio.sleep(LOOK_EVERY)
            if not await self.is_connected():
                LOG.warning("the socket to Slack is closed; it is being opened again")
                # The client reconnects by itself, but would use an address for ever that has expired.
                self._handler.client.wss_uri = None

    async def _refuse_foreign(
        self,
        body: dict[str, Any],
        next: Callable[[], Awaitable[Any]],  # noqa: A002 - bolt's name for it
    ) -> BoltResponse | None:
        """Let nothing through that was meant for another app or another workspace."""
        ours = self.installation
        team = body.get("team")
        foreign_app = ours and ours.app and body.get("api_app_id") not in {None, ours.app}
        foreign_team = ours and isinstance(team, dict) and team.get("id") not in {None, ours.team}
        if foreign_app or foreign_team:
            LOG.warning("an interaction for another app or workspace was refused")
            return BoltResponse(status=200, body="")
        await next()
        return None


class _Ourselves(AsyncAuthorize):
    """Tells bolt in whose name it acts.  A stranger's team changes nothing about that."""

    def __init__(self, connection: SlackConnection, bot_token: str) -> None:
        self._connection = connection
        self._bot_token = bot_token

    async def __call__(
        self,
        *,
        context: AsyncBoltContext,  # noqa: ARG002 - bolt's signature
        enterprise_id: str | None,
        team_id: str | None,
        user_id: str | None,  # noqa: ARG002 - bolt's signature
        **_actor: str | None,
    ) -> AuthorizeResult:
        """Return the installation, whoever asks."""
        ours = self._connection.installation
        assert ours is not None, "nothing is heard before this is known"
        return AuthorizeResult(
            enterprise_id=enterprise_id,
            team_id=team_id,
            bot_user_id=ours.bot_user,
            bot_id=ours.bot,
            bot_token=self._bot_token,
        )


class SlackUnreachableError(ParamedicError):
    """Slack cannot be reached now.  Trying again may help."""

    code = "slack_unreachable"


async def mark_heard(
    context: AsyncBoltContext,
    next: Callable[[], Awaitable[Any]],  # noqa: A002 - bolt's name for it
) -> None:
    """Middleware of a listener: what it does not acknowledge in time is not passed over, but refused."""
    context[_HEARD] = True
    await next()


async def _take_note(error: Exception) -> BoltResponse:
    """Log what went wrong in a listener, without the body of what it was given."""
    if isinstance(error, BoltUnhandledRequestError):
        if error.request.context.get(_HEARD):
            # bolt takes silence for "nobody listens".  It may be a click that is not durable yet.
            LOG.warning("an interaction was not acknowledged in time")
            return BoltResponse(status=503, body="")
        LOG.info("an interaction that nothing listens for was passed over")
        return BoltResponse(status=200, body="")
    # No trace: renderers print the variables of its frames, and those hold the body.
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    LOG.error("a listener failed", error=type(error).__name__, sentence=str(error)[:200], where=where)
    return BoltResponse(status=500, body="")


def _word(error: SlackApiError) -> str:
    with contextlib.suppress(KeyError, TypeError):
        return str(error.response["error"])
    return f"HTTP {getattr(error.response, 'status_code', getattr(error.response, 'status', '?'))}"


def _method(error: SlackApiError) -> str:
    return str(getattr(error.response, "api_url", "")).rsplit("/", 1)[-1] or "a call"


class _Brief(logging.Filter):
    """Cuts what bolt and the SDK log to one line: they put whole bodies and traces into it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record, and let it pass."""
        record.msg = record.getMessage().split("\n", 1)[0][:200]
        record.args, record.exc_info, record.exc_text = (), None, None
        return True


def _quiet_logger() -> logging.Logger:
    logger = logging.getLogger("paramedic.bolt")
    logger.setLevel(logging.WARNING)
    if not any(isinstance(each, _Brief) for each in logger.filters):
        logger.addFilter(_Brief())
    return logger
