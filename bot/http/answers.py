"""Answers: every one is JSON, and one that refuses says why in words."""

from __future__ import annotations

from starlette.responses import JSONResponse


class Refusal(Exception):  # noqa: N818 - an answer to a sender, not an error of ours
    """The request is answered with this status and this sentence, and nothing was taken in."""

    def __init__(self, status: int, sentence: str, **headers: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = headers

    def answer(self) -> JSONResponse:
        """Return the answer.  The connection is closed: what is left of the body is of no interest."""
        return JSONResponse({"error": str(self)}, self.status, {"connection": "close", **self.headers})
