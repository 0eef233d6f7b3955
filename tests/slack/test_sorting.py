"""What the sender says of a message that did not get through: refused, certainly not sent, or perhaps sent."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from slack_sdk.errors import SlackApiError

from activities.ledger.store import Ledger
from bot.slack.message import say
from bot.slack.poster import Poster
from bot.slack.sender import Sender, SlackAwayError, SlackRefusedError, Urgency
from bot.slack.teller import SlackTeller
from runbooks.errors import FailedError, NotSentError, UnknownOutcomeError
from tests.ledgers import new_ledger

KEY = ConnectionKey(
    "127.0.0.1", 1, is_ssl=False, ssl=False, proxy=None, proxy_auth=None, proxy_headers_hash=None
)
REFUSED = aiohttp.ClientConnectorError(KEY, OSError(errno.ECONNREFUSED, "connection refused"))
CUT = aiohttp.ServerDisconnectedError()


class Answer(dict[str, Any]):
    """What Slack answers, as the SDK shows it."""

    def __init__(self, word: str, status: int = 200) -> None:
        super().__init__(ok=False, error=word)
        self.status_code = status
        self.headers: dict[str, str] = {}


def slack(word: str, status: int = 200) -> SlackApiError:
    return SlackApiError("no", Answer(word, status))


class FakeSlack:
    """Answers each call with what comes next; the last one again and again."""

    def __init__(self, *answers: Any) -> None:
        self.answers = [*answers]

    async def api_call(self, method: str, json: Any) -> Any:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Nobody:
    """People who are not known by Slack."""

    async def mention(self, groups: Any) -> str:
        return " ".join(groups)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    opened = new_ledger(tmp_path_factory.mktemp("ledger") / "ledger.db")
    with contextlib.closing(opened):
        yield opened


SAID = {"ok": True, "channel": "C1", "ts": "1.1"}


@pytest.mark.parametrize(
    ("answers", "error", "maybe_sent"),
    [
        ([slack("restricted_action")], SlackRefusedError, None),
        ([slack("invalid_blocks")], SlackRefusedError, None),
        ([slack("not_authed", 401)], SlackRefusedError, None),
        ([REFUSED], SlackAwayError, False),
        ([CUT], SlackAwayError, True),
        ([TimeoutError()], SlackAwayError, True),
        ([slack("x", 500)], SlackAwayError, True),
        ([slack("fatal_error")], SlackAwayError, True),
        ([slack("internal_error")], SlackAwayError, True),
        ([CUT, REFUSED], SlackAwayError, True),
        ([slack("x", 503), REFUSED], SlackAwayError, True),
        ([REFUSED, CUT, REFUSED], SlackAwayError, True),
        ([slack("fatal_error"), SAID], None, None),
    ],
)
async def test_slack_failures(ledger, monkeypatch, answers, error, maybe_sent):
    """One call of several that may have been carried out is enough for "perhaps"; a runbook is told the same."""
    monkeypatch.setattr("bot.slack.sender.FIRST_PAUSE", 0.0)
    caught = None

    def sender() -> Sender:
        return Sender(FakeSlack(*answers), per_second=1000)  # type: ignore[arg-type]

    try:
        await sender().post("#incidents", say("x"), urgency=Urgency.GATE)
    except (SlackRefusedError, SlackAwayError) as failure:
        caught = failure
    assert (type(caught) if caught else None) is error
    assert getattr(caught, "maybe_sent", None) is maybe_sent
    if error is None:
        return

    teller = SlackTeller(ledger, poster=Poster(sender(), "#incidents", ""), people=Nobody())  # type: ignore[arg-type]
    expected = {None: FailedError, False: NotSentError, True: UnknownOutcomeError}[maybe_sent]
    with pytest.raises(expected):
        await teller.tell(to="sre-oncall", text="Look.", remediation="R-1")
