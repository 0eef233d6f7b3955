"""How workflows run: sandboxed, with our own pure modules passed through.  Worker and replay tests share it."""

from __future__ import annotations

from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions


def workflow_runner() -> SandboxedWorkflowRunner:
    """Return the sandbox, with our own pure modules and pydantic passed through.

    They are deterministic by construction (no clock, network, files or randomness in `runbooks/`,
    which `make check` enforces), and importing them anew for every run would cost more than all else.
    """
    restrictions = SandboxRestrictions.default.with_passthrough_modules("runbooks", "pydantic", "rfc8785")
    return SandboxedWorkflowRunner(restrictions=restrictions)
