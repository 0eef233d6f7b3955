"""The patient: a small real service that really breaks.

It runs as a process of its own under supervisord and shows two illnesses.  `POST /illness/silence`
makes it stop answering while its process lives: only a restart helps.  `POST /illness/backlog` fills
its queue: `POST /queue/drain` empties it, once for each Idempotency-Key.
Run it with `python -m bot.practice.patient PORT`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BACKLOG = 480  # jobs that wait after `POST /illness/backlog`


class Patient:
    """The state of the service."""

    def __init__(self) -> None:
        self.queue = 3
        self.drained = 0
        self._silent = threading.Event()
        self._keys: set[str] = set()
        self._lock = threading.Lock()

    def answer(self, method: str, path: str, key: str) -> tuple[int, dict[str, Any] | str]:
        """Return the status and body for one request.  While silent it never returns."""
        if self._silent.is_set():
            threading.Event().wait()
        match method, path:
            case "GET", "/healthz":
                return 200, {"healthy": True, "pid": os.getpid()}
            case "GET", "/queue":
                return 200, {"depth": self.queue, "drained": self.drained}
            case "GET", "/metrics":
                return 200, f"# TYPE patient_queue_depth gauge\npatient_queue_depth {self.queue}\n"
            case "POST", "/queue/drain":
                return 200, self._drain(key)
            case "POST", "/illness/silence":
                self._silent.set()
                return 200, {"silent": True}
            case "POST", "/illness/backlog":
                self.queue = BACKLOG
                return 200, {"depth": self.queue}
        return 404, {"problem": "no such path"}

    def _drain(self, key: str) -> dict[str, Any]:
        with self._lock:
            dropped = 0 if key in self._keys else self.queue
            if key:
                self._keys.add(key)
            self.queue -= dropped
            self.drained += 1 if dropped else 0
        return {"dropped": dropped, "depth": self.queue}


class _Handler(BaseHTTPRequestHandler):
    patient = Patient()

    def _respond(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        key = self.headers.get("Idempotency-Key", "")
        status, content = self.patient.answer(self.command, self.path, key)
        text = content if isinstance(content, str) else json.dumps(content)
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(content, str) else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = _respond  # noqa: N815 - the name is http.server's
    do_POST = _respond  # noqa: N815 - the name is http.server's

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        """Keep quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True


def main() -> None:
    """Serve on 127.0.0.1 at the port given as the first argument, until SIGTERM."""
    _Server(("127.0.0.1", int(sys.argv[1])), _Handler).serve_forever()


if __name__ == "__main__":
    main()
