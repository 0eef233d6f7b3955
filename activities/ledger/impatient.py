"""Connections to PostgreSQL that do not wait for ever.

A server that stands still keeps its end of the line open: the kernel below it acknowledges what it is
sent, no keepalive fails, and the server's own timeouts do not run.  So this end watches the time.  Where
nothing is heard for as long as a connection is patient, it is given up: whoever waits gets an error, and
the next work gets a new connection.

It is imported with the first connection to PostgreSQL: nobody else needs the driver.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg

RV = TypeVar("RV")


class ImpatientConnection(psycopg.Connection[Any]):
    """A connection that is given up where the server says nothing for so long.

    Attributes:
        patience: seconds.
    """

    patience = 10.0

    def wait(self, gen: Generator[Any, Any, RV], *arguments: Any, **named: Any) -> RV:
        """Let the driver wait for the server, and give up after too long a silence.

        Raises:
            psycopg.OperationalError: the server has said nothing; this connection is closed.
        """
        return super().wait(self._watched(gen), *arguments, **named)

    def _watched(self, gen: Generator[Any, Any, RV]) -> Generator[Any, Any, RV]:
        """Pass on what the driver and its steps tell each other, and look at the clock.

        The driver says every now and then that nothing was heard.
        """
        heard_at = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    heard_at = time.monotonic()
                elif time.monotonic() - heard_at > self.patience:
                    self._give_up()
                wanted = gen.send(ready)
        except StopIteration as done:
            result: RV = done.value
            return result

    def _give_up(self) -> None:
        self.pgconn.finish()
        raise psycopg.OperationalError(f"PostgreSQL has said nothing for {self.patience:g} s")
