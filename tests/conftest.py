"""What every test may use."""

from __future__ import annotations

import logging
import os
import signal
import sys

import pytest
import structlog
from hypothesis import HealthCheck, settings

# What was started in the background of a script ignores Ctrl-C, and so do the processes that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Hypothesis has stopwatches of its own, and on a machine that is busy otherwise they stop tests that are right.
settings.register_profile("without a stopwatch", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("without a stopwatch")

WITH_SERVERS = (
    "tests/activities/",
    "tests/bench/test_bare",
    "tests/bench/test_storm",
    "tests/chaos/",
    "tests/cli/",
    "tests/docs/test_references",
    "tests/engine/",
    "tests/guard/",
    "tests/http/test_receiver",
    "tests/http/test_server",
    "tests/http/test_terminal",
    "tests/language/test_source",
    "tests/ledger/test_admission",
    "tests/ledger/test_follow",
    "tests/ledger/test_postgresql",
    "tests/ledger/test_remediations",
    "tests/ledger/test_verification",
    "tests/policy_as_code/test_cases",
    "tests/policy_as_code/test_doors",
    "tests/policy_as_code/test_matrix",
    "tests/policy_as_code/test_policy_command",
    "tests/policy_as_code/test_slack_people",
    "tests/practice/test_browser",
    "tests/practice/test_contract",
    "tests/practice/test_door",
    "tests/practice/test_methods",
    "tests/practice/test_posts",
    "tests/sealer/",
    "tests/slack/test_board",
    "tests/slack/test_home_and_forms",
    "tests/slack/test_lanes",
    "tests/slack/test_review",
    "tests/slack/test_sayings",
    "tests/test_answers",
    "tests/test_catalog",
    "tests/test_duty",
    "tests/test_feeder",
    "tests/test_logins",
    "tests/test_metrics",
    "tests/test_operations",
)
"""Modules that start servers, or take seconds in all: `make test-fast` leaves them out."""

for name in [name for name in os.environ if name.startswith("PARAMEDIC_")]:
    del os.environ[name]  # a developer's own settings must not decide a test
os.environ["COLUMNS"] = "120"  # what commands print must not depend on the terminal that runs the tests


class Stderr:
    """Standard error as it is when something is written: pytest exchanges it."""

    def write(self, text):
        return sys.stderr.write(text)

    def flush(self):
        sys.stderr.flush()


@pytest.fixture(autouse=True)
def logs_as_they_were():
    """Logs go to stderr, and what a command that ran in here made of them does not hide those of the next test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    structlog.reset_defaults()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(Stderr()))
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def pytest_ignore_collect(collection_path, config):
    """Do not even import, for `make test-fast`, the modules that it leaves out as a whole."""
    if config.option.markexpr == "not slow" and collection_path.is_file():
        path = collection_path.relative_to(config.rootpath).as_posix()
        return True if path.startswith((*WITH_SERVERS, "tests/e2e/")) else None
    return None


def pytest_collection_modifyitems(items):
    """Mark what `make test-fast` leaves out."""
    for item in items:
        if item.nodeid.startswith(WITH_SERVERS):
            item.add_marker(pytest.mark.slow)
