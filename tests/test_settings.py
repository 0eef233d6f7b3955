"""Wrong settings: each is one sentence that says what is wrong and what to write, and never the value."""

from __future__ import annotations

import pytest

from bot.settings import PREFIX, Settings, SettingsError

SECRET = "hunter2"


def refusal(**given: str) -> str:
    """What is said about these settings, given without their prefix."""
    with pytest.raises(SettingsError) as refused:
        Settings.from_env({PREFIX + name.upper(): text for name, text in given.items()})
    return str(refused.value)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("http_port", "abc", "is not a whole number; write one from 0 to 65535"),
        ("http_port", "1.5", "is not a whole number; write one from 0 to 65535"),
        ("http_port", "9" * 5000, "is not a whole number; write one from 0 to 65535"),
        ("http_port", "65536", "is out of range; write a value from 0 to 65535"),
        ("temporal_port", "-1", "is out of range; write a value from 0 to 65535"),
        ("login_lifetime", "12h", "is not a span of time; write one such as PT45S, PT10M or PT12H"),
        ("shutdown_grace", "45", "is not a span of time; write one such as PT45S, PT10M or PT12H"),
        ("login_lifetime", "P8D", "is out of range; write a value of more than PT0S and at most P7D"),
        ("login_lifetime", "PT0S", "is out of range; write a value of more than PT0S and at most P7D"),
        ("shutdown_grace", "-PT1S", "is out of range; write a value of more than PT0S"),
        ("slack", "false", "is none of the choices; write `on` or `off`"),
        ("slack_mode", "HTTP", "is none of the choices; write `socket` or `http`"),
        ("log_format", "\udcff", "is not text in UTF-8; write it anew"),
        ("slak", SECRET, "there is no such setting; did you mean PARAMEDIC_SLACK?"),
        ("slack_bot_tokens", SECRET, "there is no such setting; did you mean PARAMEDIC_SLACK_BOT_TOKEN?"),
        ("zzz", SECRET, "there is no such setting; see docs/settings.md"),
        ("", SECRET, "there is no such setting; see docs/settings.md"),
        ("webhook_tokens", f"{SECRET}, ", "holds one that is empty; take it away with its comma"),
        ("webhook_basic", f" ,{SECRET}", "holds one that is empty; take it away with its comma"),
    ],
)
def test_a_wrong_setting_is_told_with_its_remedy(name, text, sentence):
    """Who is on call reads what to write, and not what a library thinks; the value may be a secret."""
    assert refusal(**{name: text}) == f"{PREFIX}{name.upper()}: {sentence}"


@pytest.mark.parametrize("text", ["", " ", "\t\n"])
@pytest.mark.parametrize("name", Settings.model_fields)
def test_no_setting_may_be_empty(name, text):
    """An empty path is not the folder where one is, and an empty list of tokens nobody meant."""
    sentence = "is empty; give it a value, or take it away"

    assert refusal(**{name: text}) == f"{PREFIX}{name.upper()}: {sentence}"


@pytest.mark.parametrize("text", [",", " , "])
def test_a_list_of_nothing_is_empty(text):
    """Commas alone name nobody."""
    assert refusal(decision_keys=text) == (
        "PARAMEDIC_DECISION_KEYS: is empty; give it a value, or take it away"
    )


def test_a_list_may_end_with_a_comma_and_a_text_is_taken_as_it_is():
    """`$NEW,$OLD` is a list of one when the old token has gone; only a list is split."""
    settings = Settings.from_env({"PARAMEDIC_DECISION_KEYS": "new,", "PARAMEDIC_CHECKPOINT_SSH": " -F f,x, "})

    assert settings.decision_keys == ("new",)
    assert settings.checkpoint_ssh == " -F f,x, "


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"slack": "off", "slack_bot_token": SECRET},
            "PARAMEDIC_SLACK is off, but Slack tokens are set: take away one or the other",
        ),
        (
            {"slack_signing_secrets": SECRET},
            "PARAMEDIC_SLACK_SIGNING_SECRETS are for PARAMEDIC_SLACK_MODE=http: set it, or take them away",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_told_in_our_words_alone(given, sentence):
    """Such a sentence names its variables itself."""
    assert refusal(**given) == sentence


def test_all_that_is_wrong_is_told_at_once():
    """Nobody starts the process once for each mistake."""
    told = refusal(http_port="abc", slak="off", connections="", login_lifetime="12h")

    assert [line.partition(":")[0] for line in told.splitlines()] == [
        "PARAMEDIC_CONNECTIONS",
        "PARAMEDIC_LOGIN_LIFETIME",
        "PARAMEDIC_HTTP_PORT",
        "PARAMEDIC_SLAK",
    ]
