"""The settings of the two ways in which Slack calls: none may be set and silently do nothing."""

from __future__ import annotations

import pytest

from bot.settings import Settings, SettingsError

BOT = {"PARAMEDIC_SLACK_BOT_TOKEN": "xoxb-1"}


def read(**given: str) -> Settings:
    return Settings.from_env(BOT | {f"PARAMEDIC_SLACK_{name.upper()}": text for name, text in given.items()})


def test_two_signing_secrets_may_be_valid_at_a_time():
    """They are a list, and nobody sees them in a log."""
    settings = read(mode="http", signing_secrets="new-secret,old-secret")

    assert [each.get_secret_value() for each in settings.slack_signing_secrets] == [
        "new-secret",
        "old-secret",
    ]
    assert "old-secret" not in repr(settings)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"mode": "http", "app_token": "xapp-1"}, "is for PARAMEDIC_SLACK_MODE=socket"),
        ({"signing_secrets": "s"}, "are for PARAMEDIC_SLACK_MODE=http"),
        ({"mode": "http", "signing_secrets": "a, "}, "holds one that is empty"),
        ({"mode": "post"}, "PARAMEDIC_SLACK_MODE"),
    ],
)
def test_what_does_not_belong_to_the_mode_is_refused(given, complaint):
    """A secret of the other mode stops the process, with a sentence that says which."""
    with pytest.raises(SettingsError, match=complaint) as refused:
        read(**given)
    assert "xapp-1" not in str(refused.value)
