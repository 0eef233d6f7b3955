"""How workflows run: without Temporal's sandbox.  Worker and replay tests share it.

The sandbox guards workflow code against what is not deterministic, at the price of a fifth of the
worker's CPU.  Here it would guard nothing: the engine's modules would all have to be passed through
it.  What keeps them deterministic is that they cannot reach a clock, a network, a file or randomness
at all, which `make check` enforces, and that recorded histories are replayed.  See docs/adr/0007.
"""

from __future__ import annotations

from temporalio.worker import UnsandboxedWorkflowRunner


def workflow_runner() -> UnsandboxedWorkflowRunner:
    """Return the runner that executes workflow code as it stands."""
    return UnsandboxedWorkflowRunner()
