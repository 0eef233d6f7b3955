"""How the practice workspace says no, in Slack's words."""

from __future__ import annotations

from collections.abc import Iterable

from bot.slack.block_kit import Problem
from runbooks.errors import ParamedicError


class MethodRefusedError(ParamedicError):
    """A method answers `ok: false`.

    Attributes:
        error: Slack's word for it, such as `channel_not_found`.
        messages: details, one sentence each, with JSON pointers where they are about JSON.
    """

    code = "method_refused"

    def __init__(self, error: str, messages: Iterable[str] = ()) -> None:
        self.error = error
        self.messages = tuple(messages)
        super().__init__(": ".join((error, *self.messages)))

    @classmethod
    def of_problems(cls, error: str, problems: Iterable[Problem]) -> MethodRefusedError:
        """Return a refusal that lists what is wrong with blocks or a view."""
        return cls(error, [str(problem) for problem in problems])

    def as_json(self) -> dict[str, object]:
        """Return the answer that the client gets."""
        answer: dict[str, object] = {"ok": False, "error": self.error}
        if self.messages:
            answer["errors"] = list(self.messages)
            answer["response_metadata"] = {"messages": [f"[ERROR] {text}" for text in self.messages]}
        return answer
