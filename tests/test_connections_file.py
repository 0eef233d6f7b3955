"""A wrong connections file: file, line, path and a sentence with its remedy, and never the value."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.connections_file import ConnectionsError, read_connections

SECRET = "hunter2"
HOST = "user: u\n    host_key: k\n    private_key: file:/k"


def refusal(folder: Path, text: str | bytes) -> list[str]:
    """The lines about a file that says `text`, without the file's name."""
    file = folder / "connections.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConnectionsError) as refused:
        read_connections(file)
    lines = str(refused.value).splitlines()
    assert all(line.startswith(f"{file}:") for line in lines)
    return [line.removeprefix(f"{file}:") for line in lines]


NOT_A_MAPPING = "is not a mapping; write `name: value` lines there, or take it away"
NOT_A_URL = "is not a URL; write one such as https://prometheus.example.net:9090"
NOT_A_SPAN = "is not a span of time; write one such as PT45S, PT10M or PT12H"
NOT_A_TEXT = "is not a text; write one, in quotes"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- prometheus\n", f"1: the file: {NOT_A_MAPPING}"),
        ("[]\n", f"1: the file: {NOT_A_MAPPING}"),
        (f"{SECRET}\n", f"1: the file: {NOT_A_MAPPING}"),
        ("groups:\n\nendpoints:\n  - deploys\n", f"1: groups: {NOT_A_MAPPING}"),
        ("groups: {}\nendpoints:\n  - deploys\n", f"2: endpoints: {NOT_A_MAPPING}"),
        ("endpoints:\n  deploys: http://x\n", f"2: endpoints.deploys: {NOT_A_MAPPING}"),
        ("prometheus: {}\n", "1: prometheus.url: is missing; add it as docs/settings.md shows"),
        ("prometheus:\n  url: prometheus\n", f"2: prometheus.url: {NOT_A_URL}"),
        ("prometheus:\n  url: 9090\n", f"2: prometheus.url: {NOT_A_URL}"),
        (
            "prometheus:\n  url: prometheus:9090\n",
            "2: prometheus.url: begins wrongly; write `http` or `https` and :// in front",
        ),
        (
            f"prometheus:\n  url: http://{'x' * 3000}\n",
            "2: prometheus.url: is too long; write a URL of at most 2083 characters",
        ),
        ("prometheus:\n  url: http://x\n  timeout: 5s\n", f"3: prometheus.timeout: {NOT_A_SPAN}"),
        ("prometheus:\n  url: http://x\n  timeout: []\n", f"3: prometheus.timeout: {NOT_A_SPAN}"),
        (
            "prometheus:\n  url: http://x\n  timeout: 0\n",
            "3: prometheus.timeout: is out of range; write a value of more than PT0S",
        ),
        (
            "prometheus:\n  url: http://x\n  stale_after: -PT1M\n",
            "3: prometheus.stale_after: is out of range; write a value of more than PT0S",
        ),
        (
            f"hosts:\n  web:\n    address: ''\n    {HOST}\n",
            "3: hosts.web.address: is empty; write it as docs/settings.md shows",
        ),
        (
            f"prometheus:\n  url: http://x\n  token: {SECRET}\n",
            "3: prometheus.token: a secret is a reference: env:NAME or file:PATH, never the secret itself",
        ),
        (
            "prometheus:\n  url: http://x\n  tokn: env:X\n",
            "3: prometheus.tokn: there is no such setting; did you mean `token`?",
        ),
        (
            "groups:\n  sre:\n    people: []\n",
            "3: groups.sre.people: there is no such setting; write one of `slack`, `members`",
        ),
        ("host: {}\n", "1: host: there is no such setting; did you mean `hosts`?"),
        (
            f"prometheus: {{url: 'http://x', token:{SECRET}}}\n",
            "1: prometheus: holds a name that is none; write `name: value`, with a space after the colon",
        ),
        (
            f"hosts:\n  user:\n    address: x\n    port: ssh\n    {HOST}\n",
            "4: hosts.user.port: is not a whole number; write one from 1 to 65535",
        ),
        (
            f"hosts:\n  web:\n    address: x\n    port: [22]\n    {HOST}\n",
            "4: hosts.web.port: is not a whole number; write one from 1 to 65535",
        ),
        (
            f"hosts:\n  web:\n    address: x\n    port: 2.2\n    {HOST}\n",
            "4: hosts.web.port: is not a whole number; write one from 1 to 65535",
        ),
        (
            f"hosts:\n  web:\n    address: x\n    port: 70000\n    {HOST}\n",
            "4: hosts.web.port: is out of range; write a value from 1 to 65535",
        ),
        (f"hosts:\n  web:\n    address: 10\n    {HOST}\n", f"3: hosts.web.address: {NOT_A_TEXT}"),
        (
            "groups:\n  sre:\n    members: local:ann\n",
            "3: groups.sre.members: is not a list; write one in brackets: [one, two]",
        ),
        (
            "groups:\n  sre:\n    members:\n    - local:ann\n    - 5\n",
            f"5: groups.sre.members.1: {NOT_A_TEXT}",
        ),
        ("groups:\n  5: {}\n", "2: groups.5: is not a text, as a name must be; put it in quotes"),
        ("5: {}\n", "1: 5: is not a text, as a name must be; put it in quotes"),
        (
            "people:\n  a: ['local:ann']\n  b: ['local:ann']\n",
            "1: people: local:ann is written twice: one key is one person's",
        ),
    ],
)
def test_a_wrong_name_or_value_is_told_with_its_place_and_remedy(tmp_path, text, told):
    """Who is on call sees where to look and what to write."""
    assert refusal(tmp_path, text)[0] == told


def test_all_that_is_wrong_is_told_at_once(tmp_path):
    """Nobody starts the process once for each mistake."""
    lines = refusal(tmp_path, "prometheus:\n  url: x\nhosts:\n  web:\n    user: u\n    host_key: k\n")

    assert [line.partition(": is")[0] for line in lines] == [
        "2: prometheus.url",
        "4: hosts.web.address",
        "4: hosts.web.private_key",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            f"prometheus:\n  url: http://x\n  url: {SECRET}\n",
            "3: a name is written twice; keep one of them",
        ),
        (
            f"groups:\n  a: [{SECRET}\n  b: x\n",
            "3: this is not YAML; look at quotes, brackets, colons and indentation (no tabs) from line 2 to here",
        ),
        (
            f"groups:\n  a: {SECRET}: b\n",
            "2: this is not YAML; look at quotes, brackets, colons and indentation (no tabs) up to here",
        ),
        (
            f"groups:\n  a: '{SECRET}\n\n",
            "4: this is not YAML; look at quotes, brackets, colons and indentation (no tabs) from line 2 to here",
        ),
        (
            f"prometheus:\n  token: *{SECRET}\n",
            "2: this cannot be read; put what begins with * or ! in quotes, and write no second `---`",
        ),
        (
            f"prometheus:\n  token: !!timestamp {SECRET}\n",
            "2: this cannot be read; put what begins with * or ! in quotes, and write no second `---`",
        ),
        (
            "groups: {}\n---\nhosts: {}\n",
            "2: this cannot be read; put what begins with * or ! in quotes, and write no second `---`",
        ),
        (f"groups: {{}}\n# {SECRET} \x00\n", "2: a character here is none for YAML; take it away"),
        (f"groups: !!int {SECRET}\n", " holds a value that cannot be read; put it in quotes"),
        (f"groups: !!bool {SECRET}\n", " holds a value that cannot be read; put it in quotes"),
        ("groups: 2026-13-45\n", " holds a value that cannot be read; put it in quotes"),
        (b"groups: \xff\n", " is not text in UTF-8; save it as UTF-8"),
        pytest.param(
            "groups: " + 3000 * "[", " is nested too deep; write it flatter", marks=pytest.mark.slow
        ),
    ],
)
def test_what_is_not_yaml_is_told_without_its_text(tmp_path, text, told):
    """A parser likes to repeat what it stumbles over, which may be a secret."""
    assert refusal(tmp_path, text) == [told]


def test_the_place_of_what_was_merged_is_where_it_is_used(tmp_path):
    """A merge key brings names that stand nowhere below their mapping."""
    text = "groups:\n  a: &a {slack: 5}\n  b:\n    <<: *a\n"

    assert refusal(tmp_path, text) == [f"2: groups.a.slack: {NOT_A_TEXT}", f"3: groups.b.slack: {NOT_A_TEXT}"]


def test_a_file_that_is_not_there_is_told_with_the_setting_that_names_it(tmp_path):
    """The remedy is in the environment."""
    with pytest.raises(ConnectionsError, match=r"cannot be read: .*\. PARAMEDIC_CONNECTIONS names it\.$"):
        read_connections(tmp_path / "nowhere.yaml")
