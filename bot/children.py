"""Child processes that do not outlive their parent, even when it is killed.

On Linux the kernel sends the child SIGTERM when the thread that started it ends (so start children
from the main thread).  Elsewhere a killed parent leaves the child behind; the next start then says
which lock it holds.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> Callable[[], None] | None:
    """Return what a new child calls before it becomes its program; prepared here, as little as possible there."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def bind() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return bind


def start_child(
    argv: Sequence[str],
    *,
    output: IO[bytes] | int | None = None,
    keep_open: Sequence[int] = (),
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child in a process group of its own, so that Ctrl-C reaches only the parent, which stops it in order.

    Args:
        output: where its standard output and error go.
        keep_open: file descriptors that it inherits.
    """
    return subprocess.Popen(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
        pass_fds=tuple(keep_open),
        cwd=cwd,
        env=dict(environment) if environment is not None else None,
        process_group=0,
        preexec_fn=_die_with_parent(),  # noqa: PLW1509 - it calls one C function that was looked up before
    )


def stop_child(child: subprocess.Popen[bytes], within: float) -> None:
    """End a child: SIGTERM, and SIGKILL after `within` seconds."""
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(within)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
