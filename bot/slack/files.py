"""Files: a timeline as a Markdown file in a channel, by Slack's three steps.

Ask for an address, send the bytes there, share the file.  What was sent and never shared is nowhere to
be seen, so a step that fails leaves nothing behind.
"""

from __future__ import annotations

import aiohttp
import httpx
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.sender import Posted, SlackAwayError, SlackRefusedError
from runbooks.model.base import Value

UPLOAD_TIMEOUT = 20.0  # seconds


class TextFile(Value):
    """A file to be shared.

    Attributes:
        said: escaped mrkdwn that is said with it.
    """

    name: str
    title: str
    content: str
    said: str = ""


class Files:
    """Shares files."""

    def __init__(self, client: AsyncWebClient) -> None:
        self._client = client

    async def share(self, file: TextFile, place: Posted) -> None:
        """Share `file` in the channel of `place`, in the thread of its message where it names one.

        Raises:
            SlackRefusedError: Slack said no; `word` is its word for why.
            SlackAwayError: Slack does not answer.
        """
        content = file.content.encode()
        asked = {"filename": file.name, "length": len(content)}
        method = "files.getUploadURLExternal"
        try:
            address = await self._client.api_call("files.getUploadURLExternal", params=asked)
            method = "the upload"
            await self._send(str(address["upload_url"]), content)
            method = "files.completeUploadExternal"
            shared = {
                "files": [{"id": address["file_id"], "title": file.title}],
                "channel_id": place.channel,
                "initial_comment": file.said,
                **({"thread_ts": place.ts} if place.ts else {}),
            }
            await self._client.api_call("files.completeUploadExternal", json=shared)
        except SlackApiError as error:
            raise SlackRefusedError(method, str(error.response.get("error", "unknown"))) from error
        except (SlackClientError, aiohttp.ClientError, httpx.HTTPError, OSError, TimeoutError) as error:
            raise SlackAwayError(method, str(error) or type(error).__name__, maybe_sent=False) from error

    async def _send(self, address: str, content: bytes) -> None:
        async with httpx.AsyncClient(
            proxy=self._client.proxy, trust_env=False, timeout=UPLOAD_TIMEOUT
        ) as client:
            answer = await client.post(
                address, content=content, headers={"Content-Type": "application/octet-stream"}
            )
        if not answer.is_success:
            raise SlackRefusedError("the upload", f"HTTP {answer.status_code}")
