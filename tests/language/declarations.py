"""A small vocabulary for tests: one action of each effect, one parameter of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from runbooks.model.action import ActionClass, Argument, Declaration, Effect, PromQL, SlackText, UrlPath
from runbooks.model.base import Value


def _one_word(text: str) -> str:
    if " " in text:
        raise ValueError("a host is one word")
    return text


class Query(Value):
    query: PromQL


class Resolved(Value):
    pass


class Get(Value):
    endpoint: str
    path: UrlPath
    headers: Mapping[str, str] = {}


class Signal(StrEnum):
    HANGUP = "hangup"
    TERMINATE = "terminate"


class Run(Value):
    host: Annotated[str, AfterValidator(_one_word)]
    argv: Annotated[list[Argument], Field(min_length=1)]
    wait: timedelta = timedelta(seconds=5)
    retries: Annotated[int, Field(ge=0, le=9)] = 0
    dry_run: bool = False
    signal: Signal | None = None


class Window(Value):
    """Two numbers that must stand in order."""

    begin: int
    end: int
    level: Literal["low", "high"] = "low"
    body: Any = None
    words: str | list[Argument] = ""

    @model_validator(mode="after")
    def _in_order(self) -> Window:
        if self.begin > self.end:
            raise ValueError("begin comes after end")
        return self


class Telling(Value):
    to: str
    text: SlackText = "look"
    fields: dict[str, SlackText] = {}


def declare(name: str, parameters: type[Value], effect: Effect, **more: Any) -> Declaration:
    return Declaration(
        name=name,
        summary=f"The action {name}",
        parameters=parameters,
        effect=effect,
        kind=more.pop("kind", ActionClass.IDEMPOTENT),
        **more,
    )


VOCABULARY: dict[str, Declaration] = {
    each.name: each
    for each in (
        declare("prometheus.query", Query, Effect.READ, timeout=timedelta(seconds=7), samples={"value": 0.5}),
        declare("alert.resolved", Resolved, Effect.READ),
        declare("http.get", Get, Effect.READ, samples={"status": 200, "body": {"ok": True}}),
        declare("ssh.run", Run, Effect.DESTRUCTIVE, kind=ActionClass.OPAQUE, attempts=1),
        declare("window.set", Window, Effect.WRITE, timeout=timedelta(seconds=9)),
        declare("chat.tell", Telling, Effect.TELL),
    )
}
