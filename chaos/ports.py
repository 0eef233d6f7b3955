"""Ports for servers that die and are back: no outgoing connection takes them meanwhile.

A port that the kernel names when it is asked for a free one lies in the range from which it serves every
outgoing connection of the machine.  Between two lives of a server one of those may have it, and then
the server does not begin.  So these lie below that range.
"""

from __future__ import annotations

import secrets
import socket

LOWEST, HIGHEST = 15_000, 32_000
_given: set[int] = set()


def lasting_port() -> int:
    """Return a port of 127.0.0.1 that nobody has, and that this process has given to nobody."""
    while True:
        port = LOWEST + secrets.randbelow(
            HIGHEST - LOWEST
        )  # whoever seeds `random` would let two processes meet
        if port in _given:
            continue
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
