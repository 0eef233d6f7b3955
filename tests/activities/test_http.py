"""The HTTP actions against servers that answer, hang, reset, answer half and redirect."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import ValidationError

from activities.http import Check, Request, check, request
from activities.transport import _trust
from runbooks.errors import FailedError, MeasureError, NotSentError, UnknownOutcomeError
from tests.components import free_port

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


async def read_request(reader: Reader) -> tuple[str, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.split("\r\n")[:-2]
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return first, headers, await reader.readexactly(int(headers.get("content-length", 0)))


def answering(
    status: int, body: bytes = b"", *headers: str, seen: list[Any] | None = None
) -> Callable[[Reader, Writer], Awaitable[None]]:
    async def talk(reader: Reader, writer: Writer) -> None:
        received = await read_request(reader)
        if seen is not None:
            seen.append(received)
        more = "".join(f"{header}\r\n" for header in headers)
        head = f"HTTP/1.1 {status} X\r\n{more}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()

    return talk


async def hang(reader: Reader, writer: Writer) -> None:
    await read_request(reader)
    await reader.read()  # until the client gives up


async def reset(reader: Reader, writer: Writer) -> None:
    await read_request(reader)
    plug: socket.socket = writer.get_extra_info("socket")
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def answer_half(reader: Reader, writer: Writer) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()


async def drip(reader: Reader, writer: Writer) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not reader.at_eof():
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.01)


def endpoints(url: str, **further: Any) -> dict[str, Any]:
    return {"endpoints": {"patient": {"url": url, "timeout": 20, **further}}}


def patience_for(talk: Any) -> float:
    """Return the seconds to wait for `talk`: few only where nothing will come."""
    return 1 if talk in (hang, drip) else 20


LOOK = Check(endpoint="patient", path="/health")
SEND = Request(endpoint="patient", path="/restart", body={"reason": "disk"})


async def test_check_measures_an_answer(listen, make_scene):
    """
    Status, parsed body and text are in the result, whatever the status is.
    """
    url = await listen(answering(503, b'{"status": "sick"}'))

    measured = await check.perform(LOOK, make_scene(endpoints(url)))

    assert measured.result.pop("took_ms") >= 0
    assert measured.result == {
        "answered": True,
        "status": 503,
        "json": {"status": "sick"},
        "text": '{"status": "sick"}',
    }
    assert set(check.declaration.samples) == {*measured.result, "took_ms"}


async def refuse() -> str:
    return f"http://127.0.0.1:{free_port()}"


@pytest.mark.parametrize("talk", [hang, reset, answer_half, drip], ids=lambda talk: talk.__name__)
async def test_check_measures_that_there_is_no_answer(listen, make_scene, talk):
    """
    A service that hangs, resets, answers half or for ever is measured as not answering.
    """
    url = await listen(talk)

    measured = await check.perform(LOOK, make_scene(endpoints(url, timeout=patience_for(talk))))

    assert measured.result["answered"] is False
    assert measured.result["status"] == 0
    assert not measured.inconclusive


async def test_check_measures_a_refused_connection(make_scene):
    """
    Nobody listening is an answer to the question whether it answers.
    """
    measured = await check.perform(LOOK, make_scene(endpoints(await refuse())))

    assert measured.result["answered"] is False
    assert measured.sentence == "patient does not answer: connection refused"


@pytest.fixture
def no_resolver(monkeypatch):
    """No name resolves, and none is looked up outside."""

    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)


async def test_check_does_not_blame_the_service_for_our_own_resolver(make_scene, no_resolver):
    """
    A name that does not resolve would make every service look dead, so it is an error.
    """
    with pytest.raises(MeasureError, match="does not resolve") as caught:
        await check.perform(LOOK, make_scene(endpoints("http://patient.invalid")))

    assert caught.value.retryable


async def test_check_follows_no_redirect(listen, make_scene):
    """
    A redirect is an answer, not a way to another host.
    """
    elsewhere: list[Any] = []
    other = await listen(answering(200, seen=elsewhere))
    url = await listen(answering(302, b"", f"Location: {other}/"))

    measured = await check.perform(LOOK, make_scene(endpoints(url)))

    assert measured.result["status"] == 302
    assert elsewhere == []


@pytest.mark.parametrize(
    "body",
    [
        b"x" * 200_000,
        b"[" * 60_000,
        b'{"a": NaN}',
        b'"\\ud800"',
        b'"\xed\xa0\x80"',
        '"\\ud800"'.encode("utf-16-le"),
        b"\xff\xfe",
        b"1" * 5000,
        b'{"big": "' + b"y" * 70_000 + b'"}',
    ],
    ids=["long", "deep", "nan", "surrogate", "as bytes", "in UTF-16", "bytes", "digits", "large json"],
)
async def test_check_keeps_only_what_can_be_put_on_record(listen, make_scene, body):
    """
    A body that is no JSON, too large or not writable is None; the text is short in any case.
    """
    url = await listen(answering(200, body))

    measured = await check.perform(LOOK, make_scene(endpoints(url)))

    assert measured.result["answered"] is True
    assert measured.result["json"] is None
    assert len(measured.result["text"]) <= 2048
    measured.model_dump_json().encode()


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example/x",
        "/a/../../x",
        "/..",
        "/%2e%2E/x",
        "/./x",
        "/x\ny",
        "/x y",
        "/x#y",
        "/\\evil",
        "http://evil.example/",
        "x",
    ],
)
def test_no_path_leaves_its_endpoint(path):
    """
    A path that names another host or climbs is refused.
    """
    with pytest.raises(ValidationError):
        Check(endpoint="patient", path=path)


@pytest.mark.parametrize(
    "path", ["/http://evil.example/x", "/@evil.example/", "/:80/x", "/%2F%2Fevil.example/x"]
)
async def test_a_path_that_looks_like_an_address_is_a_path(listen, make_scene, path):
    """
    Whatever a path holds, the request goes to the endpoint.
    """
    seen: list[Any] = []
    url = await listen(answering(200, seen=seen))

    await check.perform(Check(endpoint="patient", path=path), make_scene(endpoints(f"{url}/base")))

    assert seen[0][0] == f"GET /base{path} HTTP/1.1"


@pytest.mark.parametrize("perform", [(check, LOOK, MeasureError), (request, SEND, FailedError)])
async def test_an_unknown_endpoint_is_named_with_the_known_ones(make_scene, perform):
    """
    A misspelt endpoint fails at once and says what would be right.
    """
    action, parameters, error = perform
    scene = make_scene({"endpoints": {"doctor": {"url": "http://127.0.0.1:1"}}})

    with pytest.raises(error, match=r"no endpoint 'patient'.*known: doctor"):
        await action.perform(parameters, scene)


async def test_request_carries_key_body_and_token(listen, make_scene, token):
    """
    The service gets the action's key, the same for every attempt, and the body as JSON.
    """
    seen: list[Any] = []
    url = await listen(answering(200, b'{"ok": true}', seen=seen))

    done = await request.perform(SEND, make_scene(endpoints(url, token=token), key="k-1", attempt=2))

    first, headers, body = seen[0]
    assert first == "POST /restart HTTP/1.1"
    assert headers["idempotency-key"] == "k-1"
    assert headers["authorization"] == "Bearer canary-token"
    assert json.loads(body) == {"reason": "disk"}
    assert done.output == {"status": 200, "json": {"ok": True}, "text": '{"ok": true}'}
    assert "canary" not in repr(done)


async def test_a_rotated_token_is_used_at_once(listen, make_scene, token, monkeypatch):
    """
    The token is read for each request, although the client is kept.
    """
    seen: list[Any] = []
    scene = make_scene(endpoints(await listen(answering(200, seen=seen)), token=token))
    await request.perform(SEND, scene)
    monkeypatch.setenv("PRACTICE_TOKEN", "rotated")

    await request.perform(SEND, scene)

    assert [headers["authorization"] for _, headers, _ in seen] == ["Bearer canary-token", "Bearer rotated"]


@pytest.mark.parametrize("status", [301, 307, 308, 400, 401, 403, 404, 409, 422])
async def test_a_refusal_is_definite(listen, make_scene, status):
    """
    Moved, and 4xx: it was not done, and asking again will not help.
    """
    url = await listen(answering(status, b"no", "Location: http://127.0.0.1:1/"))

    with pytest.raises(FailedError, match=f"answered {status}"):
        await request.perform(SEND, make_scene(endpoints(url)))


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_server_error_is_unknown(listen, make_scene, status):
    """
    5xx after sending says nothing about what was done.
    """
    url = await listen(answering(status, b"oops"))

    with pytest.raises(UnknownOutcomeError, match=f"answered {status}: oops"):
        await request.perform(SEND, make_scene(endpoints(url)))


@pytest.mark.parametrize(
    "talk",
    [hang, reset, answer_half, pytest.param(drip, marks=pytest.mark.slow)],
    ids=lambda talk: talk.__name__,
)
async def test_silence_after_sending_is_unknown(listen, make_scene, talk):
    """
    "Timed out" is not "did not happen"; nor is a reset, nor half an answer.
    """
    url = await listen(talk)

    with pytest.raises(UnknownOutcomeError):
        await request.perform(SEND, make_scene(endpoints(url, timeout=patience_for(talk))))


@pytest.mark.parametrize("url", ["refused", "http://patient.invalid"])
async def test_what_did_not_leave_was_not_sent(make_scene, no_resolver, url):
    """
    A refused connection and a name that does not resolve: certainly not done.
    """
    with pytest.raises(NotSentError):
        await request.perform(SEND, make_scene(endpoints(await refuse() if url == "refused" else url)))


async def test_a_failed_tls_handshake_was_not_sent(listen, make_scene):
    """
    Where TLS fails, no byte of the request left.
    """

    async def no_tls(reader: Reader, writer: Writer) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    url = (await listen(no_tls)).replace("http://", "https://")

    with pytest.raises(NotSentError):
        await request.perform(SEND, make_scene(endpoints(url)))


async def test_too_many_requests_was_not_carried_out(listen, make_scene):
    """
    429 is said before anybody looks at the request: asking again is safe.
    """
    with pytest.raises(NotSentError):
        await request.perform(SEND, make_scene(endpoints(await listen(answering(429)))))


@pytest.mark.parametrize("status", [401, 409])
async def test_a_refused_second_attempt_says_nothing_of_the_first(listen, make_scene, status):
    """
    A token that expired between two attempts, or "still at it", does not undo the first attempt.
    """
    url = await listen(answering(status))

    with pytest.raises(UnknownOutcomeError):
        await request.perform(SEND, make_scene(endpoints(url), attempt=2))


async def test_a_missing_secret_is_not_sent_and_not_measured(listen, make_scene):
    """
    Without its token nothing leaves, and the error names the reference.
    """
    seen: list[Any] = []
    scene = make_scene(endpoints(await listen(answering(200, seen=seen)), token="env:PARAMEDIC_NOT_THERE"))

    with pytest.raises(NotSentError, match="PARAMEDIC_NOT_THERE"):
        await request.perform(SEND, scene)
    with pytest.raises(MeasureError, match="PARAMEDIC_NOT_THERE"):
        await check.perform(LOOK, scene)
    assert seen == []


async def test_no_error_tells_the_address_or_its_credentials(make_scene):
    """
    An endpoint's url may hold a password, so no sentence holds the url.
    """
    url = (await refuse()).replace("http://", "http://user:canary@")

    measured = await check.perform(LOOK, make_scene(endpoints(url)))
    with pytest.raises(NotSentError) as caught:
        await request.perform(SEND, make_scene(endpoints(url)))

    assert "canary" not in f"{measured!r} {caught.value}"


def test_authorities_are_read_once_and_only_for_tls():
    """To read them stops everything for 60 ms.  A client that speaks no TLS trusts nobody, should it ever do so."""
    trusting, plain = _trust("https"), _trust("http")

    assert _trust("https") is trusting
    assert (trusting.verify_mode, trusting.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert trusting.get_ca_certs()
    assert (plain.verify_mode, plain.get_ca_certs()) == (ssl.CERT_REQUIRED, [])
