"""`paramedic settings`."""

from __future__ import annotations

import json

from tests.cli.terminal import paramedic


def settings(**given):
    """Each variable's row."""
    result = paramedic("settings", "--json", **given)
    return {row["variable"]: row for row in json.loads(result.stdout)}


def test_shows_value_default_and_meaning():
    """A person sees what holds, what would hold, and what it is for."""
    assert settings(http_port=9000)["PARAMEDIC_HTTP_PORT"] == {
        "variable": "PARAMEDIC_HTTP_PORT",
        "value": "9000",
        "default": "8700",
        "meaning": "Port that webhooks, metrics and health listen on.",
    }


def test_secrets_are_not_shown():
    """A secret shows only that it is set, also the password in a database's URL."""
    given = {
        "slack_bot_token": "xoxb-1",
        "webhook_tokens": "a-token,b-token",
        "ledger_url": "pg://me:pw@db/x",
    }

    rows = settings(**given)
    people = paramedic("settings", **given).stdout

    assert rows["PARAMEDIC_SLACK_BOT_TOKEN"]["value"] == "(hidden)"
    assert rows["PARAMEDIC_WEBHOOK_TOKENS"]["value"] == "(hidden),(hidden)"
    assert rows["PARAMEDIC_LEDGER_URL"]["value"] == "pg://me:(hidden)@db/x"
    for secret in ("xoxb-1", "a-token", "b-token", ":pw@"):
        assert secret not in people


def test_people_see_every_setting():
    """The table for people has the same variables."""
    people = paramedic("settings").stdout

    assert all(variable in people for variable in settings())
