"""Answers: every one is JSON, and one that refuses says why in words."""

from __future__ import annotations

from starlette.responses import JSONResponse


def sorry() -> JSONResponse:
    """Return the answer where a program is wrong: what is wrong is nothing to tell a stranger."""
    return JSONResponse({"error": "something is broken here; the log says what"}, 500)


class Refusal(Exception):  # noqa: N818 - an answer to a sender, not an error of ours
    """The request is answered with this status and this sentence, and nothing was taken in."""

    def __init__(self, status: int, sentence: str, **headers: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = headers

    def answer(self) -> JSONResponse:
        """Return the answer.  The connection is closed: what is left of the body is of no interest."""
        return JSONResponse({"error": str(self)}, self.status, {"connection": "close", **self.headers})
