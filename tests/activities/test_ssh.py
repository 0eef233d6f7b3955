"""`ssh.run` against a real sshd: the bytes arrive, one key is one run, and every end has its name."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import asyncssh
import psutil
import pytest
import pytest_asyncio
from pydantic import ValidationError

from activities import ssh
from activities.ssh import Run, run
from runbooks.errors import FailedError, NotSentError, UnknownOutcomeError
from tests.components import Sshd, free_port, require, sshd, wait_until

pytestmark = pytest.mark.xdist_group("ssh")  # one component for all of them

_KEYS = itertools.count()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory):
    """A real sshd."""
    async with sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def connections(server: Sshd, state: Path, **changed: Any) -> dict[str, Any]:
    host = {
        "address": "127.0.0.1",
        "port": server.port,
        "user": server.user,
        "host_key": server.host_key,
        "private_key": f"file:{server.private_key}",
        "state_directory": str(state),
    }
    return {"hosts": {"web-1": host | changed}}


@pytest.fixture
def perform(server, state, make_scene):
    """Return a function that runs argv on the host, under a new key unless told otherwise."""

    async def perform(
        *argv: str, key: str = "", timeout_s: int = 20, attempt: int = 1, **changed: Any
    ) -> Any:
        parameters = Run(host="web-1", argv=list(argv), timeout_s=timeout_s)
        scene = make_scene(
            connections(server, state, **changed), key=key or f"key-{next(_KEYS)}", attempt=attempt
        )
        return await run.perform(parameters, scene)

    return perform


def hostile_values() -> list[str]:
    """Two hundred values that a shell, printf, ssh or a terminal could take for something else."""
    special = list("`$&;|<>()[]{}*?!~#=%^\"'\\ \t\n\r,:@+-/.")
    words = [
        "", "-", "--", "-rf", "--config=/etc/passwd", "-n", "-e", "%s", "%b", "%%", "%n", "\\0101", "\\c", "\\n",
        "a\n", "\n\n", "\na", "a\r\n", "$(touch CANARY)", "`touch CANARY`", "; touch CANARY;", "| touch CANARY",
        "&& touch CANARY", "\ntouch CANARY\n", "' ; touch CANARY ; '", '" ; touch CANARY ; "', "$IFS", "${PATH}",
        "$$", "$?", "!!", "*", "/*", "~", "~root", "~/x", "{a,b}", "$((1+1))", "<(ls)", ">CANARY", "2>&1", "#", "a#b",
        "end", "paramedic-1", "paramedic-1 done 0 1 0 0 0 0", "0", "5", "\x1b[2J", "\x7f", "\x01", "\x08", "ünïcödé",
        "日本語", "\U0001f4a5", "\u202e", "\ufeff", "\u2028", "e\u0301", "'", '"', "''", '""', "\\", "\\\\", "\\'",
        "a'b\"c", "_", "a_", "__", "x" * 4096, "\\" * 300, "\n" * 300, " lead", "trail ", "\ttab\t", "A=1", "=", "a=b=c",
    ]  # fmt: skip
    pairs = [one + two for one in special for two in ("x", "$(touch CANARY)", "\n")]
    return list(dict.fromkeys(words + special + pairs))[:200]


RECEIVER = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_bytes(b'\\0'.join(map(__import__('os').fsencode, sys.argv[2:])))"


@pytest.mark.slow
async def test_every_byte_arrives_as_it_was_given(perform, tmp_path):
    """
    Two hundred hostile values reach the program byte for byte, and no shell runs any of them.
    """
    values = hostile_values()
    assert len(values) == 200

    await perform(sys.executable, "-c", RECEIVER, str(tmp_path / "received"), *values)

    assert (tmp_path / "received").read_bytes().split(b"\0") == [value.encode() for value in values]
    assert not list(Path.home().glob("CANARY"))


@pytest.mark.slow
@pytest.mark.parametrize("program", ["$(touch CANARY)", "-x", "", "a b", "end", "cd"])
async def test_a_program_is_a_program_and_no_shell_word(perform, program):
    """
    The first item is looked up as a program: nothing is expanded, no built-in is meant.
    """
    with pytest.raises(FailedError, match=r"ended with code 12[567]"):
        await perform(program)

    assert not list(Path.home().glob("CANARY"))


@pytest.mark.parametrize("argv", [[], ["a\0b"], ["\ud800"], ["a"] * 257, ["a" * 4097]])
def test_what_cannot_be_passed_is_refused_before_anything_is_sent(argv):
    """
    No program could receive a NUL byte or half a surrogate pair, and none needs more than this.
    """
    with pytest.raises(ValidationError):
        Run(host="web-1", argv=argv)


@pytest.mark.slow
async def test_the_result_of_a_command(perform):
    """
    Exit code, output and errors are on record.
    """
    done = await perform("sh", "-c", "echo out; echo err >&2")

    assert done.sentence == "ran sh on web-1"
    assert done.output == {"exit_code": 0, "stdout": "out\n", "stderr": "err\n", "ran_in_this_attempt": True}


@pytest.mark.slow
async def test_a_failure_says_the_last_line_of_its_errors(perform):
    """
    An exit code other than 0 is done and failed, with the program's own last word.
    """
    with pytest.raises(FailedError, match=r"sh on web-1 ended with code 3: no space left"):
        await perform("sh", "-c", "echo first >&2; echo no space left >&2; exit 3")


@pytest.mark.slow
@pytest.mark.parametrize("code", [64, 69, 74, 75, 255])
async def test_a_commands_exit_code_is_never_taken_for_the_wrappers(perform, code):
    """
    The wrapper's own words travel beside the exit code, not in it.
    """
    with pytest.raises(FailedError, match=f"ended with code {code}"):
        await perform("sh", "-c", f"echo paramedic-1 lost >&2; echo paramedic-1 running; exit {code}")


@pytest.mark.slow
async def test_a_long_output_keeps_its_head_and_its_tail(perform):
    """
    Of megabytes, the beginning and the end are kept, and little is stored on the host.
    """
    done = await perform("sh", "-c", "seq 1 300000")

    assert done.output["stdout"].startswith("1\n2\n")
    assert done.output["stdout"].endswith("299999\n300000\n")
    assert "[...]" in done.output["stdout"]
    assert len(str(done.output)) < 32 * 1024


@pytest.mark.slow
async def test_output_of_any_bytes_can_be_put_on_record(perform):
    """
    Bytes that are no text, and control characters, are replaced.
    """
    done = await perform("printf", "a\\377b\\000c\\033[2Jd\\n")

    assert done.output["stdout"] == "a\ufffdb\ufffdc\ufffd[2Jd\n"


@pytest.mark.slow
async def test_the_host_itself_stops_what_takes_too_long(perform, tmp_path):
    """
    "Still happening" has an end on the host: the limit stops the program and its children.
    """
    mark = str(tmp_path / "late")

    with pytest.raises(FailedError, match="was stopped after 1 s"):
        await perform("sh", "-c", f"sleep 3; touch {mark}", timeout_s=1)

    sleepers = [p for p in psutil.process_iter(["cmdline"]) if mark in " ".join(p.info["cmdline"] or [])]
    assert sleepers == []


@pytest.mark.slow
async def test_a_service_that_keeps_its_output_open_is_left_alone(perform, tmp_path):
    """
    A command that starts a daemon is over when it exits; the daemon lives, and can go on writing.
    """
    flag, over = tmp_path / "alive", tmp_path / "over"
    daemon = f"{write_until(over)}; i=0; while [ $i -lt 20 ]; do echo line; i=$((i+1)); done; touch {flag}"

    done = await perform("sh", "-c", f"echo started; setsid sh -c '{daemon}' &")

    assert not flag.exists()
    over.touch()
    assert done.output["stdout"].startswith("started\n")
    await wait_until(flag.exists, what="the daemon to reach its end")


def write_until(over: Path) -> str:
    """Shell words that write a line now and then until `over` is there, or nobody makes it for a minute."""
    return f"n=0; until [ -e {over} ] || [ $n -ge 1200 ]; do echo line; sleep 0.05; n=$((n+1)); done"


def counting(path: Path, seconds: float = 0.0) -> tuple[str, ...]:
    """A command that leaves one line for each time it runs."""
    return ("sh", "-c", f"echo ran >>{path}; sleep {seconds}; echo done")


def counting_until(path: Path, over: Path) -> tuple[str, ...]:
    """A command that leaves one line for each time it runs, and runs until `over` is there."""
    return ("sh", "-c", f"echo ran >>{path}; until [ -e {over} ]; do sleep 0.05; done; echo done")


def runs(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.mark.slow
async def test_a_second_attempt_returns_the_first_ones_result(perform, tmp_path):
    """
    The same key again: the same result, and no second run.
    """
    await perform(*counting(tmp_path / "count"), key="k")

    again = await perform(*counting(tmp_path / "count"), key="k", attempt=2)

    assert runs(tmp_path / "count") == 1
    assert again.sentence == "ran sh on web-1 (in an earlier attempt)"
    assert again.output["stdout"] == "done\n"
    assert again.output["ran_in_this_attempt"] is False


@pytest.mark.slow
async def test_ten_attempts_at_once_are_one_run(perform, tmp_path):
    """
    Ten concurrent attempts with one key: one run, ten equal results.
    """
    attempts = [perform(*counting(tmp_path / "count", 0.5), key="k") for _ in range(10)]

    results = await asyncio.gather(*attempts)

    assert runs(tmp_path / "count") == 1
    assert {result.output["stdout"] for result in results} == {"done\n"}
    assert sum(result.output["ran_in_this_attempt"] for result in results) == 1


@pytest.mark.slow
async def test_killed_clients_leave_one_run(perform, server, state, tmp_path):
    """
    Three ssh clients killed with -9 while the command runs, a fourth that stays: one run.
    """
    count = tmp_path / "count"
    parameters = Run(host="web-1", argv=list(counting(count, 1.5)))
    connection = connections(server, state)["hosts"]["web-1"]
    for _ in range(3):
        client = ssh_client(server, tmp_path)
        client.stdin.write(request_for(parameters, connection, "k"))
        client.stdin.close()
        await wait_until(lambda: runs(count) == 1, what="the command to begin")
        await asyncio.to_thread(client.stdout.readline)
        client.send_signal(signal.SIGKILL)
        client.wait()
        client.stdout.close()

    done = await perform(*parameters.argv, key="k", attempt=4)

    assert runs(count) == 1
    assert done.output["stdout"] == "done\n"


def ssh_client(server: Sshd, folder: Path) -> subprocess.Popen[bytes]:
    """The OpenSSH client with our command: something that can be killed, and that is not our library."""
    known = folder / "known_hosts"
    known.write_text(f"[127.0.0.1]:{server.port} {server.host_key}\n")
    argv = [
        require("ssh"), "-F", "none", "-p", str(server.port), "-i", str(server.private_key),
        "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={known}", f"{server.user}@127.0.0.1", ssh._COMMAND,
    ]  # fmt: skip
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def request_for(parameters: Run, connection: dict[str, Any], key: str) -> bytes:
    return ssh._request(parameters, ssh.HostConnection.model_validate(connection), key)


@pytest.mark.slow
async def test_a_cancelled_attempt_leaves_the_command_running(perform, tmp_path):
    """
    Our own death changes nothing at the host: the next attempt gets the result.
    """
    attempt = asyncio.ensure_future(perform(*counting(tmp_path / "count", 0.5), key="k"))
    await wait_until(lambda: runs(tmp_path / "count") == 1)
    attempt.cancel()
    await asyncio.wait([attempt])

    done = await perform(*counting(tmp_path / "count", 0.5), key="k", attempt=2)

    assert runs(tmp_path / "count") == 1
    assert done.output["ran_in_this_attempt"] is False


@pytest.mark.slow
async def test_a_lost_connection_is_unknown(perform, server, tmp_path):
    """
    Where the far sshd dies while the command runs, nobody knows how it ends.
    """
    over = tmp_path / "over"
    attempt = asyncio.ensure_future(perform(*counting_until(tmp_path / "count", over), key="k"))
    await wait_until(lambda: runs(tmp_path / "count") == 1)
    for child in psutil.Process(server.component.process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # one of an earlier test, which is just going
            child.kill()

    with pytest.raises(UnknownOutcomeError):
        await attempt

    over.touch()
    assert (await perform(*counting(tmp_path / "count"), key="k", attempt=2)).output["stdout"] == "done\n"
    assert runs(tmp_path / "count") == 1


@pytest.mark.slow
async def test_a_killed_command_is_lost(perform, state, tmp_path):
    """
    Where its runner was killed there is no result and never will be: unknown, and not run again.
    """
    attempt = asyncio.ensure_future(perform(*counting(tmp_path / "count", 5), key="k"))
    await wait_until(lambda: runs(tmp_path / "count") == 1)
    os.killpg(int((state / "runs" / "k" / "pid").read_text()), signal.SIGKILL)

    with pytest.raises(UnknownOutcomeError, match="lost: its process has ended without a result"):
        await attempt
    with pytest.raises(UnknownOutcomeError, match="lost"):
        await perform(*counting(tmp_path / "count"), key="k", attempt=2)
    assert runs(tmp_path / "count") == 1


def leave_behind(state: Path, key: str, **files: str) -> None:
    """What an earlier attempt left on the host."""
    folder = state / "runs" / key
    folder.mkdir(parents=True)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    for name, text in ({"boot": boot, "until": f"{int(time.time()) + 60}\n"} | files).items():
        (folder / name).write_text(text)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"boot": "another-boot\n", "pid": "1\n"}, "lost: the host has restarted"),
        ({"pid": "999999\n"}, "lost: its process has ended"),
        ({"pid": "1\n", "until": "1000\n"}, "lost: it should have ended by now"),
        ({}, "lost: it was claimed and never begun"),
    ],
)
async def test_what_was_begun_and_has_no_end_is_lost(perform, state, tmp_path, files, words, monkeypatch):
    """
    A restart, a dead process, an overdue one, a claim without a run: a person decides, nothing runs.
    """
    monkeypatch.setattr(ssh, "_COMMAND", ssh._COMMAND.replace("$tries -gt 100", "$tries -gt 10"))
    leave_behind(state, "k", **files)

    with pytest.raises(UnknownOutcomeError, match=words):
        await perform(*counting(tmp_path / "count"), key="k", attempt=2)

    assert runs(tmp_path / "count") == 0


@pytest.mark.slow
async def test_what_still_runs_is_said_to_run(perform, state, monkeypatch):
    """
    An attempt waits no longer than its own limit for an earlier one.
    """
    leave_behind(state, "k", pid=f"{os.getpid()}\n")
    monkeypatch.setattr(ssh, "_COMMAND", ssh._COMMAND.replace("limit + grace + 5", "limit"))

    with pytest.raises(UnknownOutcomeError, match="running: it has not ended yet"):
        await perform("true", key="k", attempt=2, timeout_s=1)


@pytest.mark.slow
async def test_a_result_from_before_a_restart_is_still_the_result(perform, state):
    """
    A command that ended before the host restarted is done, not lost.
    """
    leave_behind(state, "k", boot="another-boot\n", code="  0\n")

    done = await perform("false", key="k", attempt=2)

    assert done.output["ran_in_this_attempt"] is False


@pytest.mark.slow
async def test_without_room_for_the_result_nothing_is_begun(perform, tmp_path):
    """
    Where the state directory cannot be written, the command does not run.
    """
    blocked = tmp_path / "file"
    blocked.write_text("")

    with pytest.raises(FailedError, match="not run: the state directory cannot be written"):
        await perform(*counting(tmp_path / "count"), state_directory=str(blocked / "state"))

    assert runs(tmp_path / "count") == 0


def run_wrapper(request: bytes, *shell: str) -> subprocess.CompletedProcess[bytes]:
    """Run the wrapper here, without ssh, as `sh` or another shell."""
    argv = [*(shell or ("sh",)), "-c", ssh._WRAPPER, "paramedic"]
    return subprocess.run(argv, input=request, capture_output=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("cut", [1, 20, 60, -4, -1])
def test_half_a_request_does_nothing(server, state, tmp_path, cut):
    """
    A request that breaks off anywhere is refused before anything is claimed.
    """
    count = tmp_path / "count"
    parameters = Run(host="web-1", argv=list(counting(count)))
    request = request_for(parameters, connections(server, state)["hosts"]["web-1"], "k")
    wrapper = run_wrapper(request[:cut])

    assert b"paramedic-1 refused the request is incomplete" in wrapper.stdout
    assert wrapper.returncode == 69
    assert not state.exists()
    assert runs(count) == 0


@pytest.mark.slow
@pytest.mark.parametrize("key", ["../../etc", "a/b", "", "a b", "$(id)"])
def test_a_key_is_a_name_and_no_path(server, state, key):
    """
    The key becomes a folder's name, so it is checked on the host as well.
    """
    request = request_for(Run(host="web-1", argv=["true"]), connections(server, state)["hosts"]["web-1"], key)

    wrapper = run_wrapper(request)

    assert b"refused the key is malformed" in wrapper.stdout
    assert not state.exists()


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_the_wrapper_is_plain_sh(shell, server, state, tmp_path):
    """
    The same request does the same under dash and under bash in its sh mode.
    """
    request = request_for(
        Run(host="web-1", argv=["printf", "%s", "ü'\n\\"]), connections(server, state)["hosts"]["web-1"], "k"
    )
    wrapper = run_wrapper(request, require(shell), *(["--posix"] if shell == "bash" else []))

    assert wrapper.stdout == b"paramedic-1 hello\nparamedic-1 done 0 1 5 0 0 0\n" + "ü'\n\\".encode()
    assert wrapper.stderr == b""


@pytest.mark.slow
async def test_works_as_a_forced_command(perform, server, tmp_path):
    """
    With the wrapper installed as the key's only command, the host runs that, whatever we send.
    """
    plain = server.authorized_keys.read_text()
    wrapper = Path(ssh.__file__).with_name("ssh_wrapper.sh")
    server.authorized_keys.write_text(f'restrict,command="/bin/sh {wrapper}" {plain}')
    try:
        done = await perform("echo", "$(id) 'x'")
    finally:
        server.authorized_keys.write_text(plain)

    assert done.output["stdout"] == "$(id) 'x'\n"


@pytest.mark.slow
async def test_a_login_script_that_prints_does_no_harm(perform, server):
    """
    What the host prints before the wrapper greets is skipped.
    """
    plain = server.authorized_keys.read_text()
    wrapper = Path(ssh.__file__).with_name("ssh_wrapper.sh")
    server.authorized_keys.write_text(
        f'command="echo Welcome to paramedic-1 hell; exec sh {wrapper}" {plain}'
    )
    try:
        done = await perform("echo", "x")
    finally:
        server.authorized_keys.write_text(plain)

    assert done.output["stdout"] == "x\n"


@pytest.mark.slow
async def test_a_host_that_runs_something_else_did_nothing(perform, server, tmp_path):
    """
    Where the wrapper never greeted, nothing was touched, and the host's own words say why.
    """
    plain = server.authorized_keys.read_text()
    server.authorized_keys.write_text(f'command="echo not here >&2; exit 1" {plain}')
    try:
        with pytest.raises(FailedError, match="web-1 does not run our commands: not here"):
            await perform(*counting(tmp_path / "count"))
    finally:
        server.authorized_keys.write_text(plain)


@pytest.mark.slow
async def test_only_the_pinned_host_key_is_trusted(perform, server, tmp_path, monkeypatch):
    """
    Another host key ends the attempt before anything is sent, whatever known_hosts says.
    """
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{server.port} {server.host_key}\n")
    monkeypatch.setenv("HOME", str(home))
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()

    with pytest.raises(NotSentError, match="not the pinned one"):
        await perform(*counting(tmp_path / "count"), host_key=other)

    assert runs(tmp_path / "count") == 0


@pytest.mark.slow
async def test_only_the_named_key_is_offered(perform, tmp_path):
    """
    A key that the host does not know is not accepted, and no other one is tried.
    """
    key = tmp_path / "other"
    key.write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_private_key())

    with pytest.raises(NotSentError, match="our key is not accepted"):
        await perform("true", private_key=f"file:{key}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"port": 1}, "no connection"),
        ({"private_key": "env:PARAMEDIC_NOT_THERE"}, "PARAMEDIC_NOT_THERE is not set"),
        ({"private_key": f"file:{__file__}"}, "the private key cannot be read"),
        ({"host_key": "nonsense"}, "host key"),
    ],
)
async def test_without_a_session_nothing_was_sent(perform, changed, words):
    """
    No connection, no key, no host key: certainly not done.
    """
    with pytest.raises(NotSentError, match=words):
        await perform("true", **changed)


async def test_a_silent_host_was_not_sent_anything(listen, make_scene, monkeypatch, tmp_path):
    """
    Something that listens and says nothing is given up on, before anything was sent.
    """
    monkeypatch.setattr(ssh, "_CONNECT_WITHIN", 0.1)
    key = asyncssh.generate_private_key("ssh-ed25519")
    (tmp_path / "key").write_bytes(key.export_private_key())

    async def say_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    port = int((await listen(say_nothing)).rpartition(":")[2])
    server = Sshd(port, "nobody", key.export_public_key().decode(), tmp_path / "key", tmp_path, None)

    with pytest.raises(NotSentError, match="no connection"):
        await run.perform(Run(host="web-1", argv=["true"]), make_scene(connections(server, tmp_path)))


async def test_an_unknown_host_is_named_with_the_known_ones(make_scene):
    """
    A label that names no host of ours chooses no address.
    """
    host = {"address": "127.0.0.1", "port": free_port(), "user": "u", "host_key": "k", "private_key": "env:K"}
    scene = make_scene({"hosts": {"web-1": host}})

    with pytest.raises(FailedError, match=r"no host 'evil.example'.*known: web-1"):
        await run.perform(Run(host="evil.example", argv=["true"]), scene)


@pytest.mark.slow
async def test_no_secret_stands_in_a_process_list(perform, server, tmp_path):
    """
    What the host's process list shows of us is the wrapper and the command, never a key.
    """
    secret = server.private_key.read_text().splitlines()[1]
    over = tmp_path / "over"
    attempt = asyncio.ensure_future(perform(*counting_until(tmp_path / "count", over)))
    await wait_until(lambda: runs(tmp_path / "count") == 1)

    shown = "\n".join(" ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"]))
    over.touch()
    await attempt

    assert secret not in shown
    assert "ssh_wrapper" in shown or "paramedic-1" in shown
