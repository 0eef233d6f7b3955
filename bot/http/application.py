"""What answers on the port: alerts, metrics, health, Slack, and command lines.  Nothing redirects, and all errors are JSON."""

from __future__ import annotations

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from bot.http.answers import sorry
from bot.http.health import Health
from bot.http.receiver import Receiver
from bot.http.terminal import TerminalDoor
from bot.metrics import CONTENT_TYPE, Metrics

ALERTS = "/alerts/alertmanager"
ALERTS_FOLDER = "/alerts"
SLACK = "/slack/events"

log = structlog.get_logger(__name__)


def build_http(
    receiver: Receiver,
    metrics: Metrics,
    health: Health,
    *,
    slack: ASGIApp | None = None,
    terminal: TerminalDoor | None = None,
) -> ASGIApp:
    """Return the application.

    Alerts go straight to their receiver, which answers everything itself: on the way through routes and
    middleware each would wait for what it does not need.

    Args:
        slack: answers what Slack posts, where it calls over HTTP.
        terminal: answers command lines.
    """

    async def show_metrics(_: Request) -> Response:
        if not metrics.caught_up:
            return JSONResponse({"error": "the metrics are still being read from the ledger"}, 503)
        return Response(await metrics.page(), media_type=CONTENT_TYPE)

    async def show_life(_: Request) -> Response:
        return JSONResponse({"alive": True})

    async def show_readiness(_: Request) -> Response:
        ready, words = await health.words()
        return JSONResponse({"ready": ready, **words}, 200 if ready else 503)

    async def say_no(request: Request, error: Exception) -> Response:
        answer = _refusal(error)
        if answer.status_code == 404 and request.url.path.startswith(ALERTS_FOLDER):
            log.warning("alerts refused: wrong path", path=request.url.path[:200], right=ALERTS)
            metrics.answered(404)
        return answer

    application = Starlette(
        routes=[
            Route("/metrics", show_metrics, methods=["GET"]),
            Route("/healthz", show_life, methods=["GET"]),
            Route("/readyz", show_readiness, methods=["GET"]),
            *([Route(SLACK, slack, name="slack")] if slack else []),
            *(terminal.routes if terminal else []),
        ],
        exception_handlers={HTTPException: say_no, Exception: _say_sorry},
    )
    # A redirect to the path without its slash would turn Alertmanager's POST into a GET.
    application.router.redirect_slashes = False

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        door: ASGIApp = receiver if scope["type"] == "http" and scope["path"] == ALERTS else application
        await door(scope, receive, send)

    return answer


def _refusal(error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    sentences = {
        404: f"there is nothing here; alerts go to {ALERTS}",
        405: "this cannot be done here with this method",
    }
    headers = error.headers if isinstance(error, HTTPException) else None
    return JSONResponse({"error": sentences.get(status, "the request was refused")}, status, headers)


async def _say_sorry(_: Request, error: Exception) -> Response:
    del error  # it is logged by the server
    return sorry()
