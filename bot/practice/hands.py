"""A programmatic person: does what people do on the page, over the page's own HTTP endpoints.

Tests use it, and the demo that answers by itself.  It waits for news instead of asking again
and again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import httpx

from bot.practice.messages import elements_of
from runbooks.errors import ParamedicError

Json = dict[str, Any]
Found = TypeVar("Found")

REQUEST_TIMEOUT = 30.0  # seconds; longer than the server keeps a request for news
DEFAULT_PATIENCE = 20.0  # seconds


class HandsError(ParamedicError):
    """The practice workspace did not let a person do that."""

    code = "practice_refused"


class NotSeenError(ParamedicError):
    """What was waited for did not appear in time."""

    code = "not_seen"


@dataclass(frozen=True)
class Button:
    """A button that a person can press now.

    Attributes:
        block_id: tells it apart from others of the same message with the same action id.
        opens: by its label, it only opens a form.
    """

    channel: str
    ts: str
    action_id: str
    value: str
    block_id: str = ""
    opens: bool = False


@dataclass(frozen=True)
class Sight:
    """What one person saw at one moment."""

    snapshot: Mapping[str, Any]

    def channel_id(self, channel: str) -> str:
        """Return the id of a channel by id, `name` or `#name`.

        Raises:
            KeyError: this person sees no such channel.
        """
        name = channel.removeprefix("#")
        for each in self.snapshot["channels"]:
            if channel == each["id"] or (name == each["name"] and not each["is_direct"]):
                return str(each["id"])
        raise KeyError(channel)

    def messages(self, channel: str) -> list[Json]:
        """Return the messages of a channel without replies, the oldest first."""
        return [each for each in self._all(channel) if each.get("thread_ts", each["ts"]) == each["ts"]]

    def thread(self, channel: str, ts: str) -> list[Json]:
        """Return the replies to a message, the oldest first."""
        return [each for each in self._all(channel) if each.get("thread_ts") == ts and each["ts"] != ts]

    def buttons(self) -> list[Button]:
        """Return the buttons of all messages that this person sees."""
        everywhere = [
            (channel, each) for channel, messages in self.snapshot["messages"].items() for each in messages
        ]
        own = [(each["channel"], each) for each in self.ephemerals]
        return [
            Button(
                channel,
                message["ts"],
                element["action_id"],
                element.get("value", ""),
                block_id=block.get("block_id", ""),
                opens=element["text"]["text"].endswith("…"),
            )
            for channel, message in [*everywhere, *own]
            for block, element in elements_of(message.get("blocks", ()))
            if element["type"] == "button"
        ]

    @property
    def ephemerals(self) -> list[Json]:
        """What only this person sees, the oldest first; each with its `channel`."""
        return list(self.snapshot["ephemerals"])

    @property
    def modals(self) -> list[Json]:
        """The modals that this person has open, the topmost last."""
        return list(self.snapshot["modals"])

    @property
    def home(self) -> Json | None:
        """The home tab that the app has published for this person, or None."""
        return self.snapshot["home"] or None

    @property
    def notices(self) -> list[str]:
        """What Slack itself told this person, such as that the app did not answer."""
        return [str(notice["text"]) for notice in self.snapshot["notices"]]

    @property
    def connected(self) -> bool:
        """Whether the app is connected."""
        return bool(self.snapshot["connected"])

    def _all(self, channel: str) -> list[Json]:
        return list(self.snapshot["messages"][self.channel_id(channel)])


class Hands:
    """People's hands on the page.  An asynchronous context manager; `aclose` it otherwise.

    Args:
        page_url: the address that was printed when the workspace started, with its secret.
    """

    def __init__(self, page_url: str) -> None:
        parts = urlsplit(page_url)
        self._page_url = page_url
        self._entered = False
        self._client = httpx.AsyncClient(
            base_url=f"{parts.scheme}://{parts.netloc}",
            timeout=REQUEST_TIMEOUT,
            trust_env=False,  # a proxy of the environment must not get between us and 127.0.0.1
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def press(
        self,
        channel: str,
        ts: str,
        action_id: str,
        as_person: str = "alice",
        chosen: object = None,
        block_id: str = "",
    ) -> str:
        """Press an element of a message.

        Args:
            channel, ts: the message.
            action_id: the element; the first with this id unless `block_id` says which.
            as_person: who presses.
            chosen: the value of an option, for elements that offer some.
            block_id: the block that it is in.

        Returns:
            `acknowledged`, `timed_out`, `not_connected` or `refused`.

        Raises:
            HandsError: there is no such message or element.
        """
        given = {"channel": await self._channel_id(channel, as_person), "ts": ts, "action_id": action_id}
        given |= {"block_id": block_id}
        return str((await self._do("press", as_person, {**given, "chosen": chosen}))["answer"])

    async def press_button(self, button: Button, as_person: str = "alice") -> str:
        """Press this very button; otherwise like `press`."""
        where = (button.channel, button.ts, button.action_id)
        return await self.press(*where, as_person, block_id=button.block_id)

    async def approve(
        self, button: Button, as_person: str = "alice", timeout: float = DEFAULT_PATIENCE
    ) -> str:
        """Press a button that approves; where it only opens a form to be read, submit that.

        Returns:
            as `press`; `objected` where the form was not taken.

        Raises:
            NotSeenError: the form did not open in time.
        """
        answer = await self.press_button(button, as_person)
        if not button.opens or answer != "acknowledged":
            return answer
        view = await self.wait_for_modal(timeout, as_person)
        return "objected" if await self.submit(view, as_person=as_person) else "acknowledged"

    async def press_in_view(
        self, view_id: str, action_id: str, as_person: str = "alice", chosen: object = None
    ) -> str:
        """Press an element of a modal or home tab; otherwise like `press`."""
        given = {"view_id": view_id, "action_id": action_id, "chosen": chosen}
        return str((await self._do("press", as_person, given))["answer"])

    async def command(
        self, command: str, text: str = "", as_person: str = "alice", channel: str = "#incidents"
    ) -> str:
        """Type a slash command.

        Returns:
            `acknowledged`, `timed_out`, `not_connected`, `refused`; `unknown` where the workspace does not know it.
        """
        given = {"channel": await self._channel_id(channel, as_person), "text": f"{command} {text}".strip()}
        return str((await self._do("command", as_person, given))["answer"] or "unknown")

    async def shortcut(
        self, callback_id: str, ts: str, as_person: str = "alice", channel: str = "#incidents"
    ) -> str:
        """Choose a shortcut from the menu of a message; otherwise like `press`."""
        given = {"callback_id": callback_id, "ts": ts, "channel": await self._channel_id(channel, as_person)}
        return str((await self._do("shortcut", as_person, given))["answer"])

    async def say(
        self, text: str, as_person: str = "alice", channel: str = "#incidents", thread_ts: str = ""
    ) -> str:
        """Write a message and return its `ts`."""
        given = {"channel": await self._channel_id(channel, as_person), "text": text, "thread_ts": thread_ts}
        return str((await self._do("say", as_person, given))["ts"])

    async def submit(
        self, view_id: str, values: Mapping[str, object] | None = None, as_person: str = "alice"
    ) -> dict[str, str]:
        """Submit a modal.

        Args:
            view_id: the modal, as in `modals`.
            values: what the inputs hold, by block id or action id: a text, an option's value, a list of those.
            as_person: who submits it.

        Returns:
            The errors by block id; empty if it was taken.  An app that did not answer is a notice.
        """
        given = {"view_id": view_id, "inputs": dict(values or {})}
        return dict((await self._do("submit", as_person, given))["errors"])

    async def close_view(self, view_id: str, as_person: str = "alice") -> None:
        """Close a modal without submitting it."""
        await self._do("close", as_person, {"view_id": view_id})

    async def open_home(self, as_person: str = "alice") -> None:
        """Look at the app's home tab."""
        await self._do("home", as_person, {})

    async def switch(self, do: str, **given: object) -> None:
        """Switch a fault on, such as `switch("fail", method="chat.update", times=2, status=429)`."""
        await self._enter()
        _unpack(await self._client.post("/practice/faults", json={"do": do, **given}))

    async def look(self, as_person: str = "alice", after: int = 0) -> Sight:
        """Return what a person sees; with `after`, as soon as there is something newer than that version."""
        await self._enter()
        answer = await self._client.get("/practice/state", params={"as": as_person, "after": after})
        return Sight(_unpack(answer))

    async def messages(self, channel: str = "#incidents", as_person: str = "alice") -> list[Json]:
        """Return the messages of a channel without replies, the oldest first."""
        return (await self.look(as_person)).messages(channel)

    async def thread(self, channel: str, ts: str, as_person: str = "alice") -> list[Json]:
        """Return the replies to a message, the oldest first."""
        return (await self.look(as_person)).thread(channel, ts)

    async def modals(self, as_person: str = "alice") -> list[Json]:
        """Return the modals that a person has open, the topmost last."""
        return (await self.look(as_person)).modals

    async def ephemerals(self, as_person: str = "alice") -> list[Json]:
        """Return what only this person sees, the oldest first."""
        return (await self.look(as_person)).ephemerals

    async def wait_for(
        self,
        predicate: Callable[[Sight], Found | None],
        timeout: float = DEFAULT_PATIENCE,
        as_person: str = "alice",
    ) -> Found:
        """Look again after every change until `predicate` returns something that is true, and return that.

        Args:
            predicate: gets what the person sees.
            timeout: seconds.
            as_person: whose eyes.

        Raises:
            NotSeenError: it did not appear in time.
        """
        try:
            async with asyncio.timeout(timeout):
                version = 0
                while True:
                    sight = await self.look(as_person, after=version)
                    if found := predicate(sight):
                        return found
                    version = int(sight.snapshot["version"])
        except TimeoutError:
            raise NotSeenError(f"{as_person} did not see it within {timeout:g} s") from None

    async def wait_for_button(
        self,
        action_id: str,
        value: str = "",
        timeout: float = DEFAULT_PATIENCE,
        as_person: str = "alice",
    ) -> Button:
        """Wait until there is a button with this action id, and this value if one is given.

        Raises:
            NotSeenError: it did not appear in time.
        """

        def seen(sight: Sight) -> Button | None:
            fitting = (each for each in sight.buttons() if each.action_id == action_id)
            return next((each for each in fitting if value in {"", each.value}), None)

        return await self.wait_for(seen, timeout, as_person)

    async def wait_for_modal(self, timeout: float = DEFAULT_PATIENCE, as_person: str = "alice") -> str:
        """Wait until this person has a modal open, and return the id of the topmost.

        Raises:
            NotSeenError: none was opened in time.
        """
        modal = await self.wait_for(lambda sight: sight.modals[-1:], timeout, as_person)
        return str(modal[0]["id"])

    async def _channel_id(self, channel: str, as_person: str) -> str:
        try:
            return (await self.look(as_person)).channel_id(channel)
        except KeyError:
            raise HandsError(f"{as_person} sees no channel {channel}") from None

    async def _do(self, deed: str, as_person: str, given: Mapping[str, object]) -> Json:
        await self._enter()
        return _unpack(await self._client.post(f"/practice/{deed}", json={"as": as_person, **given}))

    async def _enter(self) -> None:
        """Turn the secret of the address into the cookie, once."""
        if not self._entered:
            answer = await self._client.get(self._page_url)
            if answer.status_code != 200:
                raise HandsError(
                    f"the practice workspace answers {answer.status_code}: {answer.text.strip()}"
                )
            self._entered = True


def _unpack(answer: httpx.Response) -> Json:
    body: Json = answer.json()
    if not body.get("ok"):
        raise HandsError(str(body.get("error", answer.status_code)))
    return body
