"""Every mistake is told with its file, its line, its column, what is wrong and what would be right."""

from __future__ import annotations

import pytest

from tests.language.story import QUERY, RESTART, RIGHT, changed, problems

# what the case shows, what is replaced in the right runbook, by what, and all that is then said after the file's name
DOCUMENT = [
    (
        "an unknown word is refused and the nearest one named",
        "limits:",
        "limit:",
        ["7:1: a runbook has no word `limit`. Perhaps you mean `limits`."],
    ),
    (
        "a word that is not near any other gets the list of all",
        "limits:",
        "zzzzzz:",
        [
            "7:1: a runbook has no word `zzzzzz`. Known: autonomy, check, do, gate, limits, otherwise, owner, runbook, summary, target, verify, when."
        ],
    ),
    (
        "a word of a later version is refused by name",
        "limits: {cooldown: 30m}",
        "limits: {cooldown: 30m, retry: 3}",
        [
            "7:25: `retry` is not supported yet in `limits`. Delete it: this version would not do what it says."
        ],
    ),
    (
        "attempts need a span of time",
        "limits: {cooldown: 30m}",
        "limits: {attempts: 3}",
        ["7:20: `3` is no number of attempts in a span of time. Write both: 3 per 6h."],
    ),
    (
        "attempts in a span that is none are refused",
        "limits: {cooldown: 30m}",
        "limits: {attempts: 3 per hour}",
        ["7:20: `hour` is not a duration. Write a number and its unit, largest first: 90s, 15m, 1h30m, 1d."],
    ),
    (
        "attempts in no time at all are refused",
        "limits: {cooldown: 30m}",
        "limits: {attempts: 3 per 0s}",
        ["7:20: `3 per 0s` limits nothing. Write a span that is longer than nothing."],
    ),
    (
        "a blast radius says among which",
        "limits: {cooldown: 30m}",
        "limits: {at_once: 2}",
        [
            "7:19: `2` does not say how much may be under repair at once. Write a number and a label of the alert, 2 per cluster, or a share of the inventory, 10% of targets."
        ],
    ),
    (
        "a share of more than all is refused",
        "limits: {cooldown: 30m}",
        "limits: {at_once: 200% of targets}",
        [
            "7:19: `200% of targets` does not say how much may be under repair at once. Write a number and a label of the alert, 2 per cluster, or a share of the inventory, 10% of targets."
        ],
    ),
    (
        "a limit that is a list is refused",
        "limits: {cooldown: 30m}",
        "limits: {at_once: [2]}",
        ["7:19: `at_once` is a text. Write a text."],
    ),
    (
        "a loop over steps is not supported yet",
        "    undo: none",
        "    undo: none\n    for_each: hosts",
        [
            "19:5: `for_each` is not supported yet in an action. Delete it: this version would not do what it says."
        ],
    ),
    (
        "parallel steps are not supported yet",
        "    undo: none",
        "    undo: none\n    parallel: true",
        [
            "19:5: `parallel` is not supported yet in an action. Delete it: this version would not do what it says."
        ],
    ),
    (
        "a retry is not supported yet",
        "    undo: none",
        "    undo: none\n    retry: 3",
        [
            "19:5: `retry` is not supported yet in an action. Delete it: this version would not do what it says."
        ],
    ),
    (
        "within has no place in a precondition",
        "    expect: result.value == 0",
        "    expect: result.value == 0\n    within: 5m",
        [
            "13:5: a check has no word `within`. Only `verify` waits for something to become true; what is checked here must be true already."
        ],
    ),
    (
        "a document that is a list is refused",
        RIGHT,
        "- a\n",
        [
            "1:1: a runbook is a mapping. Write words and values: runbook, summary, owner, autonomy, when, target, limits, check, gate, do, verify, otherwise."
        ],
    ),
    (
        "a runbook without its first words is refused",
        RIGHT,
        "owner: me\n",
        [
            "1:1: a runbook needs `runbook`. Add `runbook:`. Its name, in lower case with hyphens: the same word as the file's name.",
            "1:1: a runbook needs `summary`. Add `summary:`. One sentence for people: what it does and when.",
            "1:1: a runbook needs `when`. Add `when:`. The alerts that it is for.",
            "1:1: a runbook needs `target`. Add `target:`. The thing acted on, as a template over the alert's labels.",
            "1:1: a runbook needs `do`. Add `do:`. The actions, in order.",
        ],
    ),
    (
        "a name that is no name is refused",
        "runbook: host",
        "runbook: Host Down",
        [
            "1:10: `Host Down` is not a runbook's name. Use at most 63 of a-z, 0-9 and single hyphens: host-disk-full."
        ],
    ),
    (
        "a name that is a number is refused",
        "runbook: host",
        "runbook: 12",
        ["1:10: `runbook` is a text. Put it in quotes."],
    ),
    (
        "a name that is empty is refused",
        "runbook: host",
        "runbook:",
        ["1:1: `runbook` is a text. Write a text."],
    ),
    (
        "a summary of two lines is refused",
        "Helps a host.",
        '"Helps\\na host."',
        ["2:10: the summary is no single sentence. Write one line of at most 300 characters."],
    ),
    (
        "an unknown autonomy is refused",
        "limits: {cooldown: 30m}",
        "autonomy: automatical",
        ["7:11: there is no autonomy `automatical`. Perhaps you mean `automatic`."],
    ),
    (
        "an empty list of alerts is refused",
        "\n  - alert: HostDown\n    matchers: ['env=\"prod\"']",
        " []",
        ["3:7: `when` is a list with something in it. Begin each item with `- `."],
    ),
    (
        "an alert name that is a template is refused",
        "alert: HostDown",
        'alert: "{{ labels.x }}"',
        ["4:12: `alert` cannot be a template. Write it out: nothing is put in here."],
    ),
    (
        "a name of a step that is a template would mislead people and is refused",
        "name: Restart it",
        'name: "Restart {{ target }}"',
        ["15:11: `name` cannot be a template. Write it out: nothing is put in here."],
    ),
    (
        "an approver group that is a template is refused",
        "approvers: [sre]",
        'approvers: ["{{ labels.team }}"]',
        ["13:20: an approver group cannot be a template. Write it out: no alert chooses who may answer."],
    ),
    (
        "a matcher that is none is refused",
        "'env=\"prod\"'",
        "env",
        [
            '5:16: `env` is not a matcher. Write a label, one of = != =~ !~, and a value in quotes: env=~"prod|staging".'
        ],
    ),
    (
        "a matcher that is a number is refused",
        "'env=\"prod\"'",
        "3",
        ["5:16: a matcher is a text. Put it in quotes."],
    ),
    (
        "a matcher whose value is not quoted well is refused",
        "'env=\"prod\"'",
        '\'env="prod",team="a"\'',
        [
            '5:16: the value `"prod",team="a"` is not written as one text. Put it in double quotes, with \\" for a quote inside; one matcher in each item.'
        ],
    ),
    (
        "a matcher with lookahead is refused",
        "'env=\"prod\"'",
        "'env=~\"(?=a)\"'",
        [
            "5:16: `(?=a)` is not a regular expression: invalid perl operator: (?=. Use RE2 syntax, as in Alertmanager: no lookaround, no backreferences."
        ],
    ),
    (
        "a duration without a unit is refused",
        "cooldown: 30m",
        "cooldown: 30",
        ["7:20: `cooldown` is a text. Put it in quotes."],
    ),
    (
        "a duration with an unknown unit is refused",
        "cooldown: 30m",
        "cooldown: 30w",
        ["7:20: `30w` is not a duration. Write a number and its unit, largest first: 90s, 15m, 1h30m, 1d."],
    ),
    (
        "a duration smallest unit first is refused",
        "cooldown: 30m",
        "cooldown: 30m1h",
        ["7:20: `30m1h` is not a duration. Write a number and its unit, largest first: 90s, 15m, 1h30m, 1d."],
    ),
    (
        "limits that are a list are refused",
        "{cooldown: 30m}",
        "[30m]",
        ["7:9: `limits` is a mapping. Write words and values: cooldown, attempts, at_once."],
    ),
    (
        "a target that does not exist as a label root is refused",
        "{{ labels.instance }}",
        "{{ label.instance }}",
        ["6:9: `label` is not defined. Perhaps you mean `labels`."],
    ),
    (
        "a target that names itself is refused",
        "{{ labels.instance }}",
        "{{ target }}",
        ["6:9: `target` is not known in `target`. It is what is being rendered here: use the labels."],
    ),
    (
        "a target without quotes is refused",
        '"{{ labels.instance }}"',
        "{{ labels.instance }}",
        ['6:10: a template without quotes around it is not text. Put it in quotes: "{{ labels.instance }}".'],
    ),
    (
        "labels alone are no value",
        "{{ labels.instance }}",
        "{{ labels }}",
        ["6:9: `labels` is not a value. Name one of them: `labels.instance`."],
    ),
    (
        "an unknown action is refused and the nearest named",
        "uses: ssh.run",
        "uses: ssh.rum",
        ["16:11: there is no action `ssh.rum`. Perhaps you mean `ssh.run`."],
    ),
    (
        "a check that does more than read is refused",
        QUERY,
        "uses: chat.tell\n    with: {to: sre}",
        [
            "10:11: chat.tell cannot stand in a check: its effect is tell. Use one of: alert.resolved, http.get, prometheus.query."
        ],
    ),
    (
        "an action that only reads is refused",
        RESTART,
        "uses: alert.resolved",
        [
            "16:11: alert.resolved cannot stand in an action: its effect is read. Use one of: chat.tell, ssh.run, window.set."
        ],
    ),
    (
        "a destructive action after a failure is refused",
        "uses: chat.tell\n    with: {to: sre}",
        "uses: ssh.run\n    with: {host: a, argv: [reboot]}",
        [
            "27:11: ssh.run cannot stand in a step of `otherwise`: its effect is destructive. Use one of: chat.tell, window.set."
        ],
    ),
    (
        "an action without undo is refused",
        "    undo: none\n",
        "",
        ["15:5: an action needs `undo`. Say how to take it back, or that nothing does: `undo: none`."],
    ),
    (
        "an undo that is empty is refused",
        "undo: none",
        "undo:",
        ["18:5: an `undo` is a mapping. Write words and values: name, id, uses, with, if."],
    ),
    (
        "an undo that only reads is refused",
        "undo: none",
        "undo: {uses: alert.resolved}",
        [
            "18:18: alert.resolved cannot stand in an `undo`: its effect is read. Use one of: chat.tell, ssh.run, window.set."
        ],
    ),
    (
        "a step that is a text is refused",
        "  - name: Tell people\n    uses: chat.tell\n    with: {to: sre}",
        "  - chat.tell",
        ["26:5: a step of `otherwise` is a mapping. Write words and values: name, id, uses, with, if."],
    ),
    (
        "a step without uses is refused",
        "    uses: chat.tell\n    with: {to: sre}\n",
        "",
        ["26:5: a step of `otherwise` needs `uses`. Add `uses:`. The action."],
    ),
    (
        "two steps of one name are refused",
        "name: It is up",
        "name: It is down",
        [
            "20:5: two steps have the id `it_is_down`, the first in line 9. Name one of them differently, or give it an `id:`."
        ],
    ),
    (
        "a name that gives no id is refused",
        "name: It is up",
        "name: Диск",
        ["20:5: `Диск` gives no id for the step. Add `id:` with a-z, 0-9 and _, beginning with a letter."],
    ),
    (
        "an id that is none is refused",
        "name: It is up",
        "id: 3x\n    name: It is up",
        ["20:5: `3x` gives no id for the step. Add `id:` with a-z, 0-9 and _, beginning with a letter."],
    ),
    (
        "a name of two lines is refused",
        "name: It is up",
        'name: "It\\nis up"',
        ["20:11: a step's name is not one short line. Write one line of at most 120 characters."],
    ),
    (
        "a with that is a text is refused",
        "with: {to: sre}",
        "with: sre",
        ["28:11: `with` is a mapping. Write names and values: {name: value}."],
    ),
    (
        "every without within is refused",
        "    within: 5m",
        "    every: 5s",
        ["24:5: `every` without `within` has no effect. Add `within: 5m`, or delete it."],
    ),
    (
        "a look every moment is refused",
        "    within: 5m",
        "    within: 5m\n    every: 0s",
        ["25:12: `every` is too short. Wait at least 1s between two looks."],
    ),
    (
        "an unknown parameter is refused",
        "argv: [reboot]}",
        "argv: [reboot], hots: a}",
        ["17:50: ssh.run has no parameter `hots`. Perhaps you mean `host`."],
    ),
    (
        "a missing parameter is refused",
        'host: "{{ target }}", ',
        "",
        ["17:5: ssh.run needs the parameter `host`. Write `host:` under `with`: a text."],
    ),
    (
        "a missing with is refused where a parameter is needed",
        "    with: {to: sre}\n",
        "",
        ["27:5: chat.tell needs the parameter `to`. Write `to:` under `with`: a text."],
    ),
    (
        "a number where a text is needed is refused where it stands",
        "argv: [reboot]",
        "argv: [sleep, 5]",
        [
            "17:48: the parameter `argv[1]` of ssh.run is wrong: input should be a valid string. It is a text; put it in quotes."
        ],
    ),
    (
        "a number beside a template is refused where it stands",
        "argv: [reboot]",
        'argv: ["{{ target }}", 5]',
        [
            "17:57: the parameter `argv[1]` of ssh.run is wrong: input should be a valid string. It is a text; put it in quotes."
        ],
    ),
    (
        "a text where a number is needed is refused",
        "argv: [reboot]",
        "argv: [reboot], retries: many",
        [
            "17:59: the parameter `retries` of ssh.run is wrong: input should be a valid integer, unable to parse string as an integer. It is a whole number."
        ],
    ),
    (
        "a number out of bounds is refused",
        "argv: [reboot]",
        "argv: [reboot], retries: 10",
        [
            "17:59: the parameter `retries` of ssh.run is wrong: input should be less than or equal to 9. It is a whole number."
        ],
    ),
    (
        "a list that is too short is refused",
        "argv: [reboot]",
        "argv: []",
        [
            "17:40: the parameter `argv` of ssh.run is wrong: list should have at least 1 item after validation, not 0. It is a list, each item a text."
        ],
    ),
    (
        "a text where a list is needed is refused",
        "argv: [reboot]",
        'argv: "reboot {{ target }}"',
        [
            "17:40: a list or mapping cannot come from one template. Write its items out, each with a template of its own; here stands a list, each item a text."
        ],
    ),
    (
        "a list where a text is needed is refused although it holds a template",
        'host: "{{ target }}"',
        'host: ["{{ target }}"]',
        [
            "17:18: the parameter `host` of ssh.run is wrong: input should be a valid string. It is a text; put it in quotes."
        ],
    ),
    (
        "a span that is none is refused",
        "argv: [reboot]",
        "argv: [reboot], wait: soon",
        [
            "17:56: the parameter `wait` of ssh.run is wrong: input should be a valid timedelta, invalid digit in duration. It is a duration such as `90s`."
        ],
    ),
    (
        "a choice that is none is refused",
        "argv: [reboot]",
        "argv: [reboot], signal: kill",
        [
            "17:58: the parameter `signal` of ssh.run is wrong: input should be 'hangup' or 'terminate'. It is one of hangup, terminate."
        ],
    ),
    (
        "what the model itself refuses is refused",
        'host: "{{ target }}"',
        "host: two words",
        ["17:18: the parameter `host` of ssh.run is wrong: a host is one word. It is a text."],
    ),
    (
        "what the model refuses as a whole is refused",
        RESTART,
        "uses: window.set\n    with: {begin: 3, end: 1}",
        [
            "17:5: window.set cannot take these parameters together: begin comes after end. Change one of them."
        ],
    ),
    (
        "one complaint is enough for a choice of types",
        RESTART,
        "uses: window.set\n    with: {begin: 1, end: 2, words: 5}",
        [
            "17:37: the parameter `words` of window.set is wrong: input should be a valid string. It is a text or a list, each item a text; put it in quotes."
        ],
    ),
    (
        "a key that is a template is refused",
        "with: {to: sre}",
        'with: {to: sre, fields: {"{{ target }}": a}}',
        ["28:30: a key cannot be a template. Write the key out."],
    ),
    (
        "who agrees must be said",
        "gate: {approvers: [sre]}\n",
        "",
        [
            "13:1: the runbook does not say who agrees to its actions. Say it out loud: `gate: {approvers: [sre-oncall]}`, or `autonomy: automatic` to act without asking."
        ],
    ),
    (
        "observing a destructive action needs a gate as well",
        "gate: {approvers: [sre]}",
        "autonomy: observe",
        [
            "14:1: a destructive action stands in a runbook that asks nobody. Say it out loud: `gate: {approvers: [sre-oncall]}`, or `autonomy: automatic` to act without asking."
        ],
    ),
    (
        "gated without a gate is refused",
        "gate: {approvers: [sre]}",
        "autonomy: gated",
        [
            "13:11: `autonomy: gated` without a gate asks nobody. Say whom to ask: `gate: {approvers: [sre-oncall]}`."
        ],
    ),
    (
        "standing orders and a gate without if contradict",
        "gate: {approvers: [sre]}",
        "gate: {approvers: [sre]}\nautonomy: automatic",
        [
            "13:1: `autonomy: automatic` and a gate that is always asked contradict each other. Give the gate an `if:`, or delete one of the two."
        ],
    ),
    (
        "a gate with if needs standing orders",
        "gate: {approvers: [sre]}",
        'gate: {approvers: [sre], if: labels.env == "prod"}',
        [
            "13:1: the gate's `if` has no effect: without standing orders people are always asked. Add `autonomy: automatic` to act without asking where it is false, or delete the `if`."
        ],
    ),
    (
        "verify is required",
        "verify:\n  - name: It is up\n    uses: prometheus.query\n    with: {query: 'up{instance=\"{{ target }}\"}'}\n    expect: result.value == 1\n    within: 5m\n",
        "",
        [
            "1:1: a runbook that changes something needs `verify`. Measure whether it helped: `verify: [{uses: alert.resolved, within: 10m}]`."
        ],
    ),
    (
        "check is required",
        "check:\n  - name: It is down\n    uses: prometheus.query\n    with: {query: 'up{instance=\"{{ target }}\"}'}\n    expect: result.value == 0\n",
        "",
        [
            "1:1: a runbook that changes something needs `check`. Measure whether it is needed: `check: [{uses: prometheus.query, with: {query: ...}, expect: result.value > 0.9}]`."
        ],
    ),
    (
        "a gate names approvers",
        "gate: {approvers: [sre]}",
        "gate: {need: 1}",
        ["13:7: a gate needs `approvers`. Add `approvers:`. The groups of people who may answer."],
    ),
    (
        "a group alone is not a list",
        "approvers: [sre]",
        "approvers: sre",
        ["13:19: `approvers` is a list with something in it. Begin each item with `- `."],
    ),
    (
        "a gate knows no result",
        "approvers: [sre]}",
        "approvers: [sre], if: result.value > 1}\nautonomy: automatic",
        [
            "13:30: `result` is not known in this place. What was measured is known in `expect` only; elsewhere write `checks.<id>.result.<name>`."
        ],
    ),
    (
        "a gate that is a text is refused",
        "gate: {approvers: [sre]}",
        "gate: sre",
        ["13:7: a gate is a mapping. Write words and values: approvers, need, within, if, otherwise."],
    ),
]

EXPRESSIONS = [
    (
        "a name that nobody measures is refused and the nearest named",
        "expect: result.value == 0",
        "expect: result.valu == 0",
        ["12:13: prometheus.query measures no `valu`. Perhaps you mean `value`."],
    ),
    (
        "a result is no value without a name",
        "expect: result.value == 0",
        "expect: result == 0",
        ["12:13: `result` is not a value. Name what was measured: value."],
    ),
    (
        "checks do not see each other because they run side by side",
        "expect: result.value == 0",
        "expect: result.value > checks.it_is_down.result.value",
        [
            "12:13: `checks` is not known in `expect`. Checks run side by side: what they measured is known in `do`, `verify`, `otherwise` and `gate`."
        ],
    ),
    (
        "an expectation that does not look at the result could not fail",
        "expect: result.value == 0",
        'expect: labels.x == "1"',
        ["12:13: `expect` does not look at what was measured. Compare `result`: `result.value > 0.9`."],
    ),
    (
        "an expectation that is always true is refused",
        "expect: result.value == 0",
        "expect: true",
        ["12:13: `expect` is a text. Put it in quotes."],
    ),
    (
        "half an expression is refused",
        "expect: result.value == 0",
        "expect: result.value ==",
        [
            "12:13: `result.value ==` is not an expression: unexpected 'end of template'. Write one expression without braces, as in `result.value > 0.9` or `labels.env == \"prod\"`."
        ],
    ),
    (
        "braces in a bare expression is refused",
        "expect: result.value == 0",
        'expect: "{{ result.value }}"',
        [
            "12:13: `{{ result.value }}` is not an expression: expected token ':', got '}'. Write one expression without braces, as in `result.value > 0.9` or `labels.env == \"prod\"`."
        ],
    ),
    (
        "two expressions is refused",
        "expect: result.value == 0",
        "expect: result.value result.value",
        [
            '12:13: there is more after the expression: `result`. Write one expression without braces, as in `result.value > 0.9` or `labels.env == "prod"`.'
        ],
    ),
    (
        "a function of Jinja cannot be called",
        "expect: result.value == 0",
        "expect: result.value == lipsum()",
        [
            "12:13: a call is not part of the language. There are: names, texts, numbers, lists, == != < <= > >= in, and or not, + - * / //, `a if b else c`, is defined, is none, and the filters first, float, int, join, last, length, lower, replace, round, trim, upper."
        ],
    ),
    (
        "a method of a value cannot be called",
        "expect: result.value == 0",
        "expect: labels.x.upper() == result.value",
        [
            "12:13: a call is not part of the language. There are: names, texts, numbers, lists, == != < <= > >= in, and or not, + - * / //, `a if b else c`, is defined, is none, and the filters first, float, int, join, last, length, lower, replace, round, trim, upper."
        ],
    ),
    (
        "a power is refused",
        "expect: result.value == 0",
        "expect: result.value ** 99999 > 1",
        [
            "12:13: the operator `**` is not part of the language. There are: names, texts, numbers, lists, == != < <= > >= in, and or not, + - * / //, `a if b else c`, is defined, is none, and the filters first, float, int, join, last, length, lower, replace, round, trim, upper."
        ],
    ),
    (
        "a text multiplied is refused",
        "expect: result.value == 0",
        "expect: result.value == 'a' * 9",
        ["12:13: a text is multiplied. Only numbers can be multiplied."],
    ),
    (
        "a text formatted is refused",
        "expect: result.value == 0",
        "expect: result.value == '%999999999d' % 1",
        [
            "12:13: the operator `%` is not part of the language. There are: names, texts, numbers, lists, == != < <= > >= in, and or not, + - * / //, `a if b else c`, is defined, is none, and the filters first, float, int, join, last, length, lower, replace, round, trim, upper."
        ],
    ),
    (
        "the tilde is refused",
        "expect: result.value == 0",
        "expect: result.value == 'a' ~ 'b'",
        [
            "12:13: the operator `~` is not part of the language. There are: names, texts, numbers, lists, == != < <= > >= in, and or not, + - * / //, `a if b else c`, is defined, is none, and the filters first, float, int, join, last, length, lower, replace, round, trim, upper."
        ],
    ),
    (
        "a slice is refused",
        "expect: result.value == 0",
        "expect: result.value == labels.x[1:2]",
        ['12:13: a name in [ ] that is computed cannot be checked. Write it out: labels["name"].'],
    ),
    (
        "a mapping is refused",
        "expect: result.value == 0",
        "expect: result.value == {}",
        [
            "12:13: a mapping is not part of the language. There are: names, texts, numbers, lists, == != < <= > >= in, and or not, + - * / //, `a if b else c`, is defined, is none, and the filters first, float, int, join, last, length, lower, replace, round, trim, upper."
        ],
    ),
    (
        "a filter that hides what is missing",
        "expect: result.value == 0",
        "expect: labels.x | default('a') == result.value",
        [
            "12:13: there is no filter `default`. It would hide what is missing; write `a if a is defined else b`."
        ],
    ),
    (
        "a filter that is near another",
        "expect: result.value == 0",
        "expect: labels.x | lowercase == result.value",
        ["12:13: there is no filter `lowercase`. Perhaps you mean `lower`."],
    ),
    (
        "a filter with named arguments is refused",
        "expect: result.value == 0",
        "expect: result.value | round(digits=1) == 1",
        ["12:13: the filter `round` takes no named arguments. Write them in order."],
    ),
    (
        "a filter with too many arguments is refused",
        "expect: result.value == 0",
        "expect: result.value | round(1, 2, 3) == 1",
        [
            "12:13: the filter `round` got the wrong arguments: too many positional arguments. Write them in order."
        ],
    ),
    (
        "a test that is not there",
        "expect: result.value == 0",
        "expect: result.value is odd",
        ["12:13: there is no test `is odd`. There are: is defined, is none, and both with `is not`."],
    ),
    (
        "a test with arguments is refused",
        "expect: result.value == 0",
        "expect: result.value is defined(1)",
        ["12:13: `is defined` takes no arguments. Write `is defined`."],
    ),
    (
        "a choice without else is refused",
        "expect: result.value == 0",
        "expect: (1 if result.value) == 1",
        ["12:13: a choice without `else`. Say what it is otherwise: `a if b else c`."],
    ),
    (
        "a name with an underscore is refused",
        "expect: result.value == 0",
        "expect: labels.__class__ == result.value",
        ["12:13: `__class__` begins with an underscore. Such names are not reachable; choose another."],
    ),
    (
        "an item with an underscore is refused",
        "expect: result.value == 0",
        "expect: labels['__class__'] == result.value",
        ["12:13: `__class__` begins with an underscore. Such names are not reachable; choose another."],
    ),
    (
        "a computed name is refused",
        "expect: result.value == 0",
        "expect: labels[labels.x] == result.value",
        ['12:13: a name in [ ] that is computed cannot be checked. Write it out: labels["name"].'],
    ),
    (
        "something below the target is refused",
        "expect: result.value == 0",
        "expect: target.x == result.value",
        ["12:13: `target` has no `x`. It is a text: write `target`."],
    ),
    (
        "a global of Jinja is refused",
        "expect: result.value == 0",
        "expect: range == result.value",
        ["12:13: `range` is not defined. Known: annotations, labels, result, target."],
    ),
    (
        "a loop is refused",
        "with: {to: sre}",
        'with: {to: "{% for a in labels %}{% endfor %}"}',
        [
            "28:16: a statement, `{% … %}`, is not part of the language. Only `{{ }}` can stand in a text; a choice is written `{{ a if b else c }}`, or as `if:` of a step."
        ],
    ),
    (
        "a variable that is set",
        "with: {to: sre}",
        'with: {to: "{% set a = 1 %}"}',
        [
            "28:16: a statement, `{% … %}`, is not part of the language. Only `{{ }}` can stand in a text; a choice is written `{{ a if b else c }}`, or as `if:` of a step."
        ],
    ),
    (
        "a macro is refused",
        "with: {to: sre}",
        'with: {to: "{% macro a() %}{% endmacro %}"}',
        [
            "28:16: a statement, `{% … %}`, is not part of the language. Only `{{ }}` can stand in a text; a choice is written `{{ a if b else c }}`, or as `if:` of a step."
        ],
    ),
    (
        "an include is refused",
        "with: {to: sre}",
        'with: {to: "{% include target %}"}',
        [
            "28:16: a statement, `{% … %}`, is not part of the language. Only `{{ }}` can stand in a text; a choice is written `{{ a if b else c }}`, or as `if:` of a step."
        ],
    ),
    (
        "a choice as a statement is refused",
        "with: {to: sre}",
        'with: {to: "{% if target %}a{% endif %}"}',
        [
            "28:16: a statement, `{% … %}`, is not part of the language. Only `{{ }}` can stand in a text; a choice is written `{{ a if b else c }}`, or as `if:` of a step."
        ],
    ),
    (
        "an unknown statement is refused",
        "with: {to: sre}",
        'with: {to: "{% do a %}"}',
        [
            "28:16: `{% do a %}` is not a template: encountered unknown tag 'do'. Write text with expressions in it, as in `disk of {{ labels.instance }}`."
        ],
    ),
    (
        "a template that is not closed",
        "with: {to: sre}",
        'with: {to: "{{ target"}',
        [
            "28:16: `{{ target` is not a template: unexpected end of template, expected 'end of print statement'. Write text with expressions in it, as in `disk of {{ labels.instance }}`."
        ],
    ),
    (
        "an unknown check is refused",
        "with: {to: sre}",
        'with: {to: "{{ checks.it_was_down.result.value }}"}',
        ["28:16: there is no check `it_was_down`. Perhaps you mean `it_is_down`."],
    ),
    (
        "a check without its result is refused",
        "with: {to: sre}",
        'with: {to: "{{ checks.it_is_down }}"}',
        [
            "28:16: `checks.it_is_down` is not a value. Name what it measured: `checks.it_is_down.result.<name>`."
        ],
    ),
    (
        "checks alone is refused",
        "with: {to: sre}",
        'with: {to: "{{ checks }}"}',
        ["28:16: `checks` is not a value. Name one: `checks.<id>.result.<name>`."],
    ),
    (
        "a result without a name is refused",
        "with: {to: sre}",
        'with: {to: "{{ checks.it_is_down.result }}"}',
        ["28:16: `checks.it_is_down.result` is not a value. Name what was measured: value."],
    ),
    (
        "a name that the check does not measure is refused",
        "with: {to: sre}",
        'with: {to: "{{ checks.it_is_down.result.values }}"}',
        ["28:16: prometheus.query measures no `values`. Perhaps you mean `value`."],
    ),
    (
        "the result of another is refused",
        "with: {to: sre}",
        'with: {to: "{{ result.value }}"}',
        [
            "28:16: `result` is not known in this place. What was measured is known in `expect` only; elsewhere write `checks.<id>.result.<name>`."
        ],
    ),
    (
        "a value beside the strings of a query is refused",
        'up{instance="{{ target }}"}',
        "up > {{ labels.x }}",
        [
            '11:19: a value may stand only inside a quoted string of a query. Write it as a label\'s value: metric{instance="{{ target }}"}.'
        ],
    ),
    (
        "a value in backticks cannot be escaped",
        'up{instance="{{ target }}"}',
        "up{instance=`{{ target }}`}",
        [
            '11:19: a value may stand only inside a quoted string of a query. Write it as a label\'s value: metric{instance="{{ target }}"}.'
        ],
    ),
    (
        "quotes in a comment of a query are no string",
        'up{instance="{{ target }}"}',
        'up # "{{ target }}"',
        [
            '11:19: a value may stand only inside a quoted string of a query. Write it as a label\'s value: metric{instance="{{ target }}"}.'
        ],
    ),
    (
        "a query cannot come from an annotation",
        'up{instance="{{ target }}"}',
        "{{ annotations.query }}",
        [
            '11:19: a value may stand only inside a quoted string of a query. Write it as a label\'s value: metric{instance="{{ target }}"}.'
        ],
    ),
    (
        "a value after a backslash is refused",
        'up{instance="{{ target }}"}',
        'up{instance="\\{{ target }}"}',
        ["11:19: a backslash before a value would escape its first character. Double the backslash."],
    ),
    (
        "a string that is not closed is refused",
        'up{instance="{{ target }}"}',
        'up{instance="{{ target }}}',
        ['11:19: a string of the query is not closed. Write the missing ".'],
    ),
    (
        "a path that begins with a value is refused",
        QUERY,
        'uses: http.get\n    with: {endpoint: a, path: "{{ target }}/a"}',
        ["11:31: a path that begins with a value. Begin with `/`; the address is the operator's to choose."],
    ),
    (
        "an action that measures nothing has no names",
        QUERY,
        "uses: alert.resolved\n    expect: result.a",
        ["11:13: alert.resolved measures no `a`. There is none that could stand here."],
    ),
    (
        "an action that measures nothing has no result",
        QUERY,
        "uses: alert.resolved\n    expect: result",
        [
            "11:13: `result` is not a value. Name what was measured: alert.resolved measures nothing that could be compared."
        ],
    ),
    (
        "an unknown action is told once although its result is used",
        "uses: prometheus.query",
        "uses: promotheus.query",
        ["10:11: there is no action `promotheus.query`. Perhaps you mean `prometheus.query`."],
    ),
    (
        "a condition of a check cannot look at checks",
        "name: It is down",
        "name: It is down\n    if: checks.a.result.b",
        [
            "10:9: `checks` is not known in a check's `with` and `if`. Checks run side by side: what they measured is known in `do`, `verify`, `otherwise` and `gate`."
        ],
    ),
    (
        "the format of a text is refused as a filter",
        "result.value == 0",
        "\"result.value == '%s' | format(1)\"",
        ["12:13: there is no filter `format`. Perhaps you mean `float`."],
    ),
    (
        "a text has nothing after a point",
        "result.value == 0",
        "\"'a'.b == result.value\"",
        [
            "12:13: only a name has something after a point or in [ ]. There are: names, texts, numbers, lists, == != < <= > >= in, and or not, + - * / //, `a if b else c`, is defined, is none, and the filters first, float, int, join, last, length, lower, replace, round, trim, upper."
        ],
    ),
    (
        "a label has nothing below it",
        "{{ labels.instance }}",
        "{{ labels.instance.port }}",
        ["6:9: `labels.instance` has no `port`. It is a text: write `labels.instance`."],
    ),
    (
        "a list cannot come from one template",
        "argv: [reboot]",
        'argv: "{{ checks.it_is_down.result.value }}"',
        [
            "17:40: a list or mapping cannot come from one template. Write its items out, each with a template of its own; here stands a list, each item a text."
        ],
    ),
]


def cases(table):
    return [pytest.param(old, new, said, id=sentence) for sentence, old, new, said in table]


@pytest.mark.parametrize(("old", "new", "said"), cases(DOCUMENT))
def test_names_every_mistake_in_the_document(old, new, said):
    """Words, actions, parameters and rules are checked before the first alert."""
    assert problems(changed(old, new)) == [f"host.yaml:{line}" for line in said]


@pytest.mark.parametrize(("old", "new", "said"), cases(EXPRESSIONS))
def test_names_every_mistake_in_an_expression(old, new, said):
    """What is not part of the language, and names that nothing will have, are found at load."""
    assert problems(changed(old, new)) == [f"host.yaml:{line}" for line in said]
