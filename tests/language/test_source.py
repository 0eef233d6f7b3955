"""YAML: only what a reviewer reads is loaded, and nothing can grow or hang while it is."""

from __future__ import annotations

import gc
import time
import tracemalloc

import pytest

from runbooks.language.findings import MOST_FINDINGS, Findings, RunbookErrors
from runbooks.language.source import MOST_BYTES, plain_value, read_yaml
from tests.language.story import RIGHT, changed, parse, problems

SHORTER = "A runbook is short; split it or look for what was pasted into it."


def load(text):
    return plain_value(read_yaml(text, Findings("host.yaml")))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("NO", "NO"),
        ("on", "on"),
        ("True", "True"),
        ("0123", "0123"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2001-01-01", "2001-01-01"),
        (".inf", ".inf"),
        ("30m", "30m"),
        ("1" * 40, "1" * 40),
        ("'7'", "7"),
        ("7", 7),
        ("-7", -7),
        ("0.5", 0.5),
        ("1e3", 1000.0),
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
    ],
)
def test_reads_scalars_as_json_does_and_the_rest_as_text(written, meant):
    """What YAML 1.1 took for something else stays the text that was written."""
    assert load(f"a: {written}") == {"a": meant}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", ["1:1: the file is empty. Begin with `runbook:` and a name."], id="an empty file"),
        pytest.param(
            "a: &x 1\nb: *x\n",
            [
                "1:4: an anchor is not allowed in a runbook. Delete it and write the value out where it is needed.",
                "2:4: an alias is not allowed in a runbook. Write the value out where it is needed.",
            ],
            id="anchors and aliases are told together",
        ),
        pytest.param(
            "a: &x [1]\n",
            [
                "1:4: an anchor is not allowed in a runbook. Delete it and write the value out where it is needed."
            ],
            id="an anchor on a list",
        ),
        pytest.param(
            "a: !!python/object:os.system b\n",
            ["1:4: a tag is not allowed in a runbook. Delete it; quotes make a text."],
            id="a tag on a value",
        ),
        pytest.param(
            "!x a: 1\n",
            ["1:1: a tag is not allowed in a runbook. Delete it; quotes make a text."],
            id="a tag on a key",
        ),
        pytest.param(
            "<<: {a: 1}\n",
            ["1:1: a merge key is not allowed in a runbook. Write out what it would merge."],
            id="a merge key",
        ),
        pytest.param(
            "a: 1\nb: 2\na: 3\n",
            ["3:1: `a` is written twice, first in line 1. Keep one of them."],
            id="a key that is written twice",
        ),
        pytest.param(
            "a: 1\n---\nb: 2\n",
            [
                "2:1: a second document is not allowed in a runbook. Write one runbook in each file; delete `---`."
            ],
            id="a second document",
        ),
        pytest.param(
            "%YAML 1.1\n---\na: 1\n",
            ["1:1: a YAML directive is not allowed in a runbook. Delete the line that begins with %."],
            id="a directive that would change how scalars are read",
        ),
        pytest.param(
            "? [a]\n: b\n",
            ["1:3: a key that is not text. Write a word and a colon."],
            id="a key that is a list",
        ),
        pytest.param(
            "? *a\n: b\n",
            ["1:3: a key that is not text. Write a word and a colon."],
            id="a key that is an alias",
        ),
        pytest.param(
            "a: 1\n\tb: 2\n",
            ["2:1: this is not YAML: found character '\\t' that cannot start any token. Indent with spaces."],
            id="a tab",
        ),
        pytest.param(
            "a: b: c\n",
            [
                "1:5: this is not YAML: mapping values are not allowed here. Look at the quotes, colons and indentation up to here."
            ],
            id="two colons",
        ),
        pytest.param(
            "a: 1\nb: \x00\n",
            [
                "2:4: this is not YAML: unacceptable character #x0000: special characters are not allowed. Look at the quotes, colons and indentation up to here."
            ],
            id="a character that YAML has not",
        ),
        pytest.param(
            'a: "\\U00120000"\n',
            [
                "1:1: this is not YAML: chr() arg not in range(0x110000). Look at the quotes, colons and indentation up to here."
            ],
            id="a character that nobody has",
        ),
        pytest.param(
            'a: "\\ud800"\n',
            ["1:4: half a surrogate pair is not allowed in a runbook. Write the character itself."],
            id="half a character",
        ),
        pytest.param(
            'a: {"\\u001b[31m": 1, "\\u001b[31m": 2}\n',
            ["1:22: `\\x1b[31m` is written twice, first in line 1. Keep one of them."],
            id="a key that would paint the terminal",
        ),
    ],
)
def test_refuses_what_a_reviewer_would_not_see(text, said):
    """Each refusal has its place and its remedy, and is told with the others."""
    assert problems(text) == [f"host.yaml:{line}" for line in said]


BOMBS = {
    "aliases that grow a thousand times": "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
    + "".join(
        f"{b}: &{b} [{','.join(['*' + a] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ),
    "an alias of itself": "a: &a [*a]\n",
    "lists 50,000 deep on one line": "[" * 50_000,
    "lists 4,000 deep": "[" * 4_000,
    "lists 2,000 deep with spaces": "[ " * 2_000,
    "lists 1,000 deep with a value each": "[a, " * 1_000,
    "mappings 2,000 deep": "{" * 2_000,
    "lists 3,000 deep, a line each": "[\n" * 3_000,
    "mappings 1,000 deep on one line": "{a: " * 1_000,
    "mappings deep by indentation": "".join(" " * depth + "a:\n" for depth in range(60)),
    "lists deep by dashes": "- " * 2_000,
    "question marks": "? " * 2_000,
    "a flat list of 100,000": "[" + "a, " * 100_000 + "]",
    "a flat list over many lines": "[" + "a, a, a,\n" * 3_900 + "]",
    "a flat mapping of 25,000": "".join(f"k{number}: v\n" for number in range(25_000)),
    "a flat mapping of 3,500": "".join(f"k{number}: v\n" for number in range(3_500)),
    "five megabytes": "a: " + "x" * 5_000_000,
    "one byte too much": "#" + "\n" * MOST_BYTES,
    "one long text": "a: " + "x " * 120_000,
    "one long quoted text": 'a: "' + "\\n" * 120_000 + '"',
    "one long key": "x" * 250_000 + ": 1",
    "empty lines": "\n" * 250_000,
    "comments": "#\n" * 120_000,
    "quotes": '"' * 250_000,
    "colons": ":" * 4_000,
    "tabs": "\t" * 250_000,
    "spaces": " " * 250_000,
    "many documents": "---\n" * 3_000,
    "a directive with 5,000 digits": "%YAML " + "1" * 4_050 + ".1\n---\na",
    "an anchor of 4,000 characters": "a: &" + "x" * 4_000 + " 1",
    "a tag of 4,000 characters": "a: !" + "x" * 4_000 + " 1",
    "unknown words that would all be compared": "".join(
        f"{'cooldow' * 3}{number}: v\n" for number in range(1_400)
    ),
    "flow and block mixed": "a: [{b: [{c: " * 12,
    "a folded text of empty lines": "a: >\n" + "  x\n\n" * 1_900,
    "parentheses in a template": changed("{{ labels.instance }}", "{{ " + "(" * 2_000 + " }}"),
    "brackets in an expression": changed("result.value == 0", "'" + "[" * 2_000 + "'"),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_refuses_a_bomb_at_once(bomb):
    """Refusal takes no longer than a blink and 50 MiB, whatever the file says."""
    assert min(measured_refusal(bomb) for _ in range(3)) < AT_ONCE


AT_ONCE = 2.0  # seconds of processor time, on a slow machine that measures coverage; a bomb takes minutes


def measured_refusal(bomb) -> float:
    gc.disable()  # Hypothesis listens to the collector, and cannot where a bomb has used up the stack
    try:
        begun = time.process_time()
        with pytest.raises(RunbookErrors) as caught:
            parse(bomb)
        took = time.process_time() - begun
    finally:
        gc.enable()
    assert len(caught.value.errors) <= MOST_FINDINGS
    assert all(len(str(error)) < 1_000 for error in caught.value.errors)
    return took


def test_refuses_five_megabytes_without_holding_them():
    """The size is looked at before anything is built."""
    bomb = BOMBS["five megabytes"]
    tracemalloc.start()
    with pytest.raises(RunbookErrors):
        parse(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 50 * 2**20


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(
            "#" * (MOST_BYTES + 1),
            f"1:1: the file has 262145 bytes; at most 262144 are read. {SHORTER}",
            id="bytes",
        ),
        pytest.param(
            "\n" * 4_001, f"1:1: the file has 4001 lines; at most 4000 are read. {SHORTER}", id="lines"
        ),
        pytest.param(
            "\n" + "#" * 4_097,
            f"2:4097: the line has 4097 characters; at most 4096 are read. {SHORTER}",
            id="characters in a line",
        ),
        pytest.param("- a\n" * 2_000, f"2000:3: the file has more than 2000 values. {SHORTER}", id="values"),
        pytest.param(
            "[" * 20 + "\n[", "2:1: this is nested more than 20 deep. Write it flatter.", id="depth"
        ),
    ],
)
def test_says_which_limit_was_passed(text, said):
    """Each limit has its number in the error, and the place where it was passed."""
    assert problems(text)[0] == f"host.yaml:{said}"


def test_reads_up_to_the_limits():
    """A file that just keeps them is read."""
    assert load("[" * 20 + "]" * 20) != []
    assert len(load("- a\n" * 1_999)) == 1_999
    assert load("#" * 4_096 + "\n" * 3_999 + "a") == "a"


def test_tells_everything_at_once_in_the_order_of_the_file():
    """Whoever mends a runbook runs lint once, not once for each mistake."""
    text = (
        RIGHT.replace("limits", "limit")
        .replace("summary: Helps a host.\n", "")
        .replace("alert: H", "allert: H")
    )

    assert [line.split(" ")[0] for line in problems(text)] == [
        "host.yaml:1:1:",
        "host.yaml:3:5:",
        "host.yaml:3:5:",
        "host.yaml:6:1:",
    ]


def test_stops_telling_after_fifty():
    """A file with more mistakes is not a runbook."""
    assert len(problems("".join(f"z{number}: 1\n" for number in range(200)))) == MOST_FINDINGS
