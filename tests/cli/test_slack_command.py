"""`paramedic slack manifest`."""

from __future__ import annotations

import json

from bot.slack.manifest import manifest
from tests.cli.terminal import paramedic

ADDRESS = "https://paramedic.example.net"


def test_prints_the_manifest_for_either_mode():
    """What is printed is what Slack is to be given: as YAML, or as JSON."""
    printed = paramedic("slack", "manifest", "--mode", "http", "--url", ADDRESS, "--format", "json")

    assert json.loads(printed.stdout) == manifest("http", ADDRESS)
    assert "socket_mode_enabled: true" in paramedic("slack", "manifest").stdout


def test_an_address_that_slack_cannot_use_is_refused_with_an_example():
    """HTTP mode without an https address is refused, and the message shows one."""
    refused = paramedic("slack", "manifest", "--mode", "http")

    assert "https://paramedic.example.net" in refused.stderr
    assert (refused.exit_code, refused.stdout) == (2, "")
