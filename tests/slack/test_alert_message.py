"""An alert in a message: labels are found in the ways that they are written, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.slack.alert_message import read_alert
from tests.slack.foreign import FOREIGN

LABELS = {"instance": "web-1", "env": "prod"}
WAYS = {
    "alertmanager, one a line": {
        "text": "[FIRING:1] HostSlow web-1 (prod page)",
        "attachments": [{"text": "*Labels:*\n - alertname = HostSlow\n - instance = web-1\n - env = prod\n"}],
    },
    "as a selector": {"text": 'firing: HostSlow{instance="web-1", env="prod"}'},
    "bold names and code": {"text": "*alertname*: `HostSlow`\n• *instance*: `web-1`\n• *env:* `prod`"},
    "fields of an attachment": {
        "attachments": [
            {
                "title": "[FIRING:2] HostSlow",
                "fields": [{"title": "instance", "value": "web-1"}, {"title": "env", "value": "prod"}],
            }
        ]
    },
    "blocks": {
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": "alertname = HostSlow"}},
            {"type": "section", "fields": [{"type": "mrkdwn", "text": "instance = web-1\nenv = prod"}]},
        ]
    },
    "escaped": {
        "text": "alertname=HostSlow\ninstance=web-1\nenv=prod\n<https://prometheus.example/graph?a=b|Source>"
    },
}


@pytest.mark.parametrize("message", WAYS.values(), ids=WAYS)
def test_labels_are_found_however_they_are_written(message):
    """Alertmanager's default, its common variants, and what people paste."""
    found = read_alert(message)

    assert (found.name, found.labels) == ("HostSlow", LABELS)


@pytest.mark.parametrize("text", FOREIGN.values(), ids=FOREIGN)
def test_other_messages_hold_no_alert(text):
    """Small talk fills no form."""
    assert read_alert({"text": text}).labels == {}


def test_a_link_is_no_label():
    """`https://…` looks like a name with a value, and is none."""
    assert (
        read_alert({"text": "see https://example.org/x\nhttp://a.example\nsummary: it is slow"}).labels == {}
    )


@settings(max_examples=60)
@given(
    st.recursive(
        st.none() | st.text(max_size=40) | st.integers(),
        lambda each: (
            st.lists(each, max_size=3)
            | st.dictionaries(
                st.sampled_from(["text", "attachments", "blocks", "fields", "title", "value", "elements"]),
                each,
                max_size=4,
            )
        ),
        max_leaves=15,
    )
)
def test_any_message_can_be_read(message):
    """Whatever another app has posted, reading it fails never."""
    if isinstance(message, dict):
        read_alert(message)


def test_a_message_of_any_length_is_read_in_no_time():
    """No pattern goes back over a long text again and again."""
    for text in (
        "a = " * 50_000,
        "{" * 50_000,
        'x{a="' * 20_000,
        " - " * 50_000,
        "*" * 50_000,
        "a" * 100_000,
    ):
        read_alert({"text": text})
