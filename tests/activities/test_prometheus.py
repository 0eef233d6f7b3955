"""`prometheus.query` against servers that lie, and against a real Prometheus."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
import pytest_asyncio
from pydantic import ValidationError

from activities.prometheus import Query, query
from runbooks.errors import MeasureError
from tests.activities.test_http import answering, hang, patience_for, reset
from tests.components import free_port, prometheus, samples, wait_until

pytestmark = pytest.mark.xdist_group("prometheus")  # one component for all of them


def connected(url: str, **further: Any) -> dict[str, Any]:
    return {"prometheus": {"url": url, "timeout": 20, **further}}


def answer(kind: str, rows: Any, **further: Any) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": rows}, **further}).encode()


UP = Query(query="up")


async def test_without_a_prometheus_nothing_is_measured(make_scene):
    """
    Where none is connected the error says where to name one.
    """
    with pytest.raises(MeasureError, match="no Prometheus is connected") as caught:
        await query.perform(UP, make_scene())

    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("status", "body", "retryable", "words"),
    [
        (200, answer("scalar", [1, "1"]), False, "is a scalar"),
        (200, answer("matrix", []), False, "is a matrix"),
        (200, answer("vector", [], warnings=["partial data"]), False, "warns .* partial data"),
        (200, answer("vector", [{"metric": {}, "histogram": [1, {}]}]), False, "histogram"),
        (200, b"<html>", False, "is the url right"),
        (200, b"[]", False, "is the url right"),
        (200, b"x" * (4 * 1024 * 1024 + 1), False, "too large"),
        (400, b'{"status":"error","error":"parse error"}', False, "400: parse error"),
        (401, b"", False, "401"),
        (404, b"not here", False, "is the url right"),
        (302, b"", False, "302"),
        (429, b"", True, "429"),
        (503, b'{"status":"error","error":"query timed out"}', True, "503: query timed out"),
    ],
)
async def test_an_answer_that_is_no_measurement_is_an_error(
    listen, make_scene, status, body, retryable, words
):
    """
    Wrong type, warnings, too much, or no answer of Prometheus at all: an error, never a number.
    """
    url = await listen(answering(status, body, "Location: http://127.0.0.1:1/"))

    with pytest.raises(MeasureError, match=words) as caught:
        await query.perform(UP, make_scene(connected(url)))

    assert caught.value.retryable is retryable


@pytest.mark.parametrize("talk", [hang, reset, None])
async def test_no_answer_is_retryable(listen, make_scene, talk):
    """
    A Prometheus that hangs, resets or is not there may answer the next time.
    """
    url = await listen(talk) if talk else f"http://127.0.0.1:{free_port()}"

    with pytest.raises(MeasureError, match="did not answer") as caught:
        await query.perform(UP, make_scene(connected(url, timeout=patience_for(talk))))

    assert caught.value.retryable


async def test_the_token_goes_only_into_the_header(listen, make_scene, token):
    """
    The bearer token is sent, and stands in no error.
    """
    seen: list[Any] = []
    url = await listen(answering(403, b"", seen=seen))

    with pytest.raises(MeasureError) as caught:
        await query.perform(UP, make_scene(connected(url, token=token)))

    assert seen[0][1]["authorization"] == "Bearer canary-token"
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("expression", ["vector(1)", "1", "time()", "up{", ""])
async def test_a_query_that_reads_nothing_measures_nothing(make_scene, expression):
    """
    A constant must not decide anything, and neither must something that is not PromQL.
    """
    scene = make_scene(connected("http://127.0.0.1:1"))

    with pytest.raises((MeasureError, ValidationError)) as caught:
        await query.perform(Query(query=expression), scene)

    assert "did not answer" not in str(caught.value)


NOW = 1_700_000_000.0


async def test_an_age_that_cannot_be_told_decides_nothing(listen, make_scene):
    """
    A value whose age Prometheus does not tell is inconclusive.
    """
    answers = [answer("vector", [{"metric": {}, "value": [NOW, "7"]}]), answer("vector", [])]

    async def talk(reader: Any, writer: Any) -> None:
        await answering(200, answers.pop(0))(reader, writer)

    measured = await query.perform(UP, make_scene(connected(await listen(talk))))

    assert measured.inconclusive
    assert measured.result["age_s"] is None


async def test_the_age_is_asked_for_the_moment_of_the_value(listen, make_scene):
    """
    A sample that arrives between value and age must not make the value look fresh.
    """
    seen: list[Any] = []
    url = await listen(
        answering(200, answer("vector", [{"metric": {}, "value": [NOW + 0.25, "7"]}]), seen=seen)
    )

    await query.perform(UP, make_scene(connected(url)))

    value, age = (first for first, _, _ in seen)
    assert "&time=" not in value
    assert "&time=1700000000.250" in age


METRICS = """\
disk_used_ratio{{disk="a"}} 0.93
many{{disk="a"}} 1
many{{disk="b"}} 2
nothing_yet NaN
endless +Inf
zero 0
requests_total 100
pushed_long_ago 5 {long_ago}
pushed_just_now 5 {just_now}
pushed_from_the_future 5 {future}
hostile{{name="a\\"}} or vector(1) #"}} 3
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def real(tmp_path_factory, metrics_page):
    """A Prometheus that has scraped the page above."""
    now = time.time() * 1000
    metrics_page.text = METRICS.format(
        long_ago=int(now - 100_000), just_now=int(now - 3_000), future=int(now + 200_000)
    )
    folder = tmp_path_factory.mktemp("prometheus")
    async with prometheus(folder, scrape=[metrics_page.target]) as running:
        await wait_until(lambda: bool(samples(running.url, "disk_used_ratio")), what="the first sample")
        yield running.url


async def push_now(page: Any, url: str) -> None:
    """Give one series a sample of this moment: how long ago the fixture pushed does not matter."""
    at = int(time.time())
    page.text = re.sub(r"(?m)^pushed_just_now 5 \d+$", f"pushed_just_now 5 {at}000", page.text)
    scraped = f"timestamp(pushed_just_now) >= {at}"
    await wait_until(lambda: bool(samples(url, scraped)), what="the sample of now")


async def ask(make_scene: Any, url: str, expression: str, **further: Any) -> Any:
    scene = make_scene({"prometheus": {"url": url, "stale_after": 60, **further}})
    return await query.perform(Query(query=expression), scene)


@pytest.mark.slow
class TestAgainstPrometheus:
    """What a real Prometheus answers."""

    async def test_measures_one_series(self, real, make_scene):
        """
        Value, time, age and labels of the one series, and a sentence for people.
        """
        measured = await ask(make_scene, real, 'disk_used_ratio{disk="a"}')

        assert measured.sentence == "disk_used_ratio is 0.93"
        assert measured.result["value"] == 0.93
        assert measured.result["labels"]["disk"] == "a"
        assert 0 <= measured.result["age_s"] < 10
        assert measured.at.isoformat() == measured.result["at"]
        assert not measured.inconclusive
        assert set(measured.result) == set(query.declaration.samples)

    async def test_zero_is_a_value(self, real, make_scene):
        """
        A measured 0 decides, in contrast to no data.
        """
        measured = await ask(make_scene, real, "zero")

        assert measured.result["value"] == 0
        assert not measured.inconclusive

    @pytest.mark.parametrize(
        ("expression", "words"),
        [
            ("no_such_metric", "no data"),
            ("disk_used_ratio > 0.99", "no data"),
            ("nothing_yet", "nan, not a number"),
            ("zero / zero", "nan, not a number"),
            ("endless", "inf, not a number"),
            ("pushed_long_ago", r"the data is \d+ s old"),
            ("pushed_long_ago + on() disk_used_ratio", r"the data is \d+ s old"),
            ("rate(pushed_long_ago[5m]) + on() zero", "no data"),
            ("max_over_time(pushed_long_ago[5m])", r"the data is \d+ s old"),
            ("sum(pushed_long_ago)", r"the data is \d+ s old"),
            ("pushed_long_ago offset 10s", r"the data is \d+ s old"),
            ('errors_total{job="nobody"} or vector(0)', "how old the data is cannot be told"),
            (
                'zero + on() (sum(errors_total{job="nobody"}) or vector(0))',
                "how old the data is cannot be told",
            ),
            ('absent(errors_total{job="nobody"})', "how old the data is cannot be told"),
        ],
    )
    async def test_what_decides_nothing_is_inconclusive(self, real, make_scene, expression, words):
        """
        No data, not a number, stale, and of unknown age: never 0, never passed.
        """
        measured = await ask(make_scene, real, expression)

        assert measured.inconclusive
        assert measured.decided is None
        assert re.search(words, measured.sentence), measured.sentence

    @pytest.mark.parametrize("expression", ["sum(rate(requests_total[1m])) or vector(0)", "pushed_just_now"])
    async def test_fresh_data_decides(self, real, make_scene, metrics_page, expression):
        """
        An expression over fresh series has an age and decides.
        """
        await push_now(metrics_page, real)

        measured = await ask(make_scene, real, expression)

        assert not measured.inconclusive
        assert measured.result["age_s"] < 60

    async def test_no_errors_of_a_healthy_target_are_zero_errors(self, real, make_scene):
        """
        A selector without series takes the age of its target, where that is up.
        """
        measured = await ask(make_scene, real, 'sum(errors_total{job="node"}) or vector(0)')

        assert not measured.inconclusive
        assert measured.result["value"] == 0

    async def test_the_age_of_a_plain_selector_is_the_samples_own(self, real, make_scene):
        """
        The answer's time is that of the evaluation; the age is that of the sample.
        """
        measured = await ask(make_scene, real, "pushed_long_ago")

        assert measured.result["age_s"] > 99

    async def test_several_series_are_an_error(self, real, make_scene):
        """
        Nobody chooses among several series by chance.
        """
        with pytest.raises(MeasureError, match="2 series instead of one") as caught:
            await ask(make_scene, real, "many")

        assert not caught.value.retryable

    async def test_bad_promql_is_an_error_with_prometheus_own_words(self, real, make_scene):
        """
        The author reads what Prometheus says.
        """
        with pytest.raises(MeasureError, match=r"400: .*unknown function") as caught:
            await ask(make_scene, real, "frobnicate(zero)")

        assert not caught.value.retryable

    async def test_an_escaped_value_reads_the_series_that_it_names(self, real, make_scene):
        """
        A hostile label value, escaped, is a value.
        """
        measured = await ask(make_scene, real, r'hostile{name="a\"} or vector(1) #"}')

        assert measured.result["value"] == 3

    async def test_a_dead_target_has_no_errors_either_and_decides_nothing(
        self, real, make_scene, metrics_page
    ):
        """
        Where the target is down, "no errors" is not known.
        """
        text, metrics_page.text = metrics_page.text, None
        try:
            await wait_until(lambda: samples(real, "up") == [0.0])
            measured = await ask(make_scene, real, 'sum(errors_total{job="node"}) or vector(0)')
            vanished = await ask(make_scene, real, "disk_used_ratio")
        finally:
            metrics_page.text = text

        assert measured.inconclusive
        assert vanished.inconclusive
        assert "no data" in vanished.sentence
