"""The Temporal worker: where the engine runs, and where actions are carried out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker

from activities.guard import Guard
from bot.sandbox import workflow_runner
from runbooks.engine.remediation import TASK_QUEUE, Remediation

STICKY_TIMEOUT = timedelta(seconds=3)
"""How long a workflow waits for a worker that froze before another takes over."""

WORKFLOW_THREADS = 4
"""Workflow code only decides and never waits in a thread: more threads would cost memory and gain nothing."""


def build_worker(
    client: Client, activities: Sequence[Callable[..., Any]], guard: Guard, *, shutdown_grace: timedelta
) -> Worker:
    """Return a worker with the engine and these activities, all of them guarded."""
    return Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[Remediation],
        activities=activities,
        interceptors=[guard],
        workflow_runner=workflow_runner(),
        workflow_task_executor=ThreadPoolExecutor(WORKFLOW_THREADS, thread_name_prefix="workflow"),
        graceful_shutdown_timeout=shutdown_grace,
        sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
    )
