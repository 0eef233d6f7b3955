"""Prometheus: `prometheus.query`, and the client that other modules ask with.

An answer of Prometheus is easily mistaken for knowledge.  No data, a value that is not a
number, and a sample from before an outage all arrive as HTTP 200.  None of them may decide
anything, so each has its own way out here and none of them becomes 0.

How old an answer is: Prometheus stamps it with the time of the evaluation.  `age_s` is the age
of the *oldest* newest sample among all series that the expression's selectors match, at that
same moment; ranges, `offset` and `@` are left out, because the question is whether these series
are still being scraped.  For a selector that matches nothing (`errors_total or vector(0)`) it is
the age of `up` of the job and instance which the selector names, and only where each of them
was scraped with success: a dead target has no errors either.  What a recording rule was computed
from is not seen: its age is that of the rule's own samples.  Where neither tells, the age is
unknown and the measurement inconclusive.
"""

from __future__ import annotations

import asyncio
import io
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from activities.actions import Action, Measurement, Scene, action
from activities.connections import PrometheusConnection, SecretMissingError, reveal
from activities.lazily import lazily
from activities.selectors import Selector, UnreadableQueryError, selectors
from runbooks.errors import MeasureError
from runbooks.model.action import ActionClass, Effect, PromQL

if TYPE_CHECKING:
    import prometheus_api_client
    import requests
    import urllib3
else:
    prometheus_api_client, requests, urllib3 = map(lazily, ("prometheus_api_client", "requests", "urllib3"))

_ANSWER_LIMIT = 4 * 1024 * 1024  # bytes; one series needs a few hundred
_THREADS = 8  # the client library blocks; its own threads, so that a hanging Prometheus holds up nobody else
_OK = 200
_RETRYABLE = frozenset({408, 429, 500, 502, 503, 504})
_AGE = "max(abs(time() - timestamp({})))"  # of a sample from the future as well: its clock is wrong


class Query(BaseModel):
    """What is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    query: PromQL = Field(
        description="An expression whose answer is one series. "
        "Leave the comparison to `expect:`: inside the query it hides the value."
    )


@dataclass(frozen=True)
class Sample:
    """One series of an instant answer.  `at` is Prometheus's own time of the evaluation."""

    value: float
    at: datetime
    labels: Mapping[str, str]


@action(
    "prometheus.query",
    "Ask Prometheus for one number",
    effect=Effect.READ,
    kind=ActionClass.IDEMPOTENT,
    timeout=timedelta(seconds=15),
    samples={"value": 0.5, "at": "2026-01-02T03:04:05+00:00", "age_s": 1.5, "labels": {"instance": "web-1"}},
)
async def query(parameters: Query, scene: Scene) -> Measurement:
    """Return the value of the one series that `query` yields.

    Inconclusive: no data, NaN or infinite, older than `stale_after`, age unknown.

    Raises:
        MeasureError: retryable where Prometheus did not answer; not where the question is wrong
            (bad PromQL, several series, another type than a vector, an answer with warnings).
    """
    prometheus = Prometheus.of(scene)
    reads = selectors_of(parameters.query)
    sample = _only(await prometheus.ask(parameters.query), parameters.query)
    if sample is None:
        return Measurement(
            sentence=f"no data: no series answers {_shown(parameters.query)}", inconclusive=True
        )
    name = _shown(sample.labels.get("__name__") or parameters.query)
    if not math.isfinite(sample.value):
        return Measurement(
            sentence=f"{name} is {sample.value}, not a number", at=sample.at, inconclusive=True
        )
    age = await prometheus.age_of(reads, sample.at)
    staleness = objection_to(age, prometheus.stale_after)
    return Measurement(
        sentence=f"{name} is {sample.value:.6g}{', but ' + staleness if staleness else ''}",
        result={
            "value": sample.value,
            "at": sample.at.isoformat(),
            "age_s": None if age is None else round(age.total_seconds(), 3),
            "labels": dict(sample.labels),
        },
        at=sample.at,
        inconclusive=bool(staleness),
    )


def selectors_of(expression: str) -> tuple[Selector, ...]:
    """Return what `expression` reads.

    Raises:
        MeasureError: not retryable; it reads no series at all, so nothing would be measured.
    """
    try:
        found = selectors(expression)
    except UnreadableQueryError as error:
        raise MeasureError(f"the query is not PromQL: {error}: {_shown(expression)}") from error
    if not found:
        raise MeasureError(f"the query reads no series, so it measures nothing: {_shown(expression)}")
    return found


def objection_to(age: timedelta | None, stale_after: timedelta) -> str:
    """Return why data of this `age` decides nothing; empty where it does."""
    if age is None:
        return (
            "how old the data is cannot be told: a selector matches no series, and no target that is up "
            "stands for it; name job or instance in the selector"
        )
    if age > stale_after:
        return (
            f"the data is {age.total_seconds():.0f} s old "
            f"and decides nothing after {stale_after.total_seconds():g} s"
        )
    return ""


def _only(samples: Sequence[Sample], expression: str) -> Sample | None:
    if len(samples) > 1:
        some = ", ".join(str(dict(sample.labels)) for sample in samples[:3])
        raise MeasureError(
            f"{len(samples)} series instead of one (among them {some}): "
            f"narrow the query by labels, or aggregate: {_shown(expression)}"
        )
    return samples[0] if samples else None


def _shown(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:117]}..."


class Prometheus:
    """The client: prometheus-api-client, in threads, behind guards that it does not have itself."""

    def __init__(self, connection: PrometheusConnection) -> None:
        self.stale_after = connection.stale_after
        self._timeout = connection.timeout.total_seconds()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="prometheus")
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.hooks["response"].append(_guard)
        self._connect = prometheus_api_client.PrometheusConnect(
            url=str(connection.url).rstrip("/"),
            session=self._session,
            auth=None if connection.token is None else _BearerToken(connection.token),
            timeout=self._timeout,
            retry=urllib3.Retry(total=0, read=False),  # whoever asked knows whether asking again makes sense
        )

    @classmethod
    def of(cls, scene: Scene) -> Prometheus:
        """Return the client of this installation.

        Raises:
            MeasureError: not retryable; none is connected.
        """
        connection = scene.connections.prometheus
        if connection is None:
            raise MeasureError(
                "no Prometheus is connected: name it under `prometheus:` in the connections file"
            )
        return scene.clients.get("prometheus", lambda: cls(connection))

    async def ask(self, expression: str, at: datetime | None = None) -> list[Sample]:
        """Evaluate `expression`, `at` a time or now.

        Raises:
            MeasureError: see `query`.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(2 * self._timeout):  # an answer may come in drops
                rows = await loop.run_in_executor(self._threads, self._query, expression, at)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise MeasureError(f"Prometheus did not answer: {_reason(error)}", retryable=True) from error
        except TimeoutError as error:
            raise MeasureError("Prometheus did not answer in time", retryable=True) from error
        except SecretMissingError as error:
            raise MeasureError(f"Prometheus cannot be asked: {error}") from error
        return [_sample(row) for row in rows]

    async def age_of(self, reads: Sequence[Selector], at: datetime) -> timedelta | None:
        """Return how old the oldest of what `reads` stand for was at `at`; None: it cannot be told."""
        found = await self.ask(" or ".join(map(_age_expression, range(len(reads)), reads)), at)
        if len(found) < len(reads):
            return None
        return timedelta(seconds=max(sample.value for sample in found))

    async def aclose(self) -> None:
        """Close the connections; a question under way is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._session.close()

    def _query(self, expression: str, at: datetime | None) -> list[dict[str, Any]]:
        parameters = {"timeout": f"{self._timeout:.3f}"}  # seconds
        if at is not None:
            parameters["time"] = f"{at.timestamp():.3f}"
        rows: list[dict[str, Any]] = self._connect.custom_query(expression, params=parameters)
        return rows


def _age_expression(number: int, selector: Selector) -> str:
    """Return the expression for the age of one selector, told apart from the others by a label."""
    target = selector.of_target
    own, stand_in = (_AGE.format(each) for each in (selector, target))
    return (
        f'label_replace({own} or {stand_in} and min({target}) == 1, "selector", "{number}", "__name__", ".*")'
    )


def _sample(row: Mapping[str, Any]) -> Sample:
    if "value" not in row:
        raise MeasureError(
            "the answer is a native histogram: take one number from it, as histogram_quantile does"
        )
    at, value = row["value"]
    return Sample(value=float(value), at=datetime.fromtimestamp(at, UTC), labels=row["metric"])


class _BearerToken:
    """Adds the token, read anew for each request."""

    def __init__(self, reference: str) -> None:
        self._reference = reference

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {reveal(self._reference)}"
        return request


def _guard(response: requests.Response, *_: Any, **__: Any) -> None:
    """Refuse what the client library would pass on: it knows no size, no warnings and no result types."""
    body = response.raw.read(_ANSWER_LIMIT + 1, decode_content=True)
    if len(body) > _ANSWER_LIMIT:
        response.close()
        raise MeasureError("the answer of Prometheus is too large: narrow the query by labels, or aggregate")
    response.raw = io.BytesIO(body)  # so the library reads it as if nothing had happened
    if response.status_code != _OK:
        raise _refusal(response)
    try:
        answer = response.json()
        kind = answer["data"]["resultType"]
    except (ValueError, TypeError, KeyError) as error:
        raise MeasureError("the answer is not Prometheus's: is the url right?") from error
    if answer.get("warnings"):
        raise MeasureError(f"Prometheus warns that the answer may be wrong: {answer['warnings'][0]}")
    if kind != "vector":
        raise MeasureError(f"the answer is a {kind}: an instant vector with one series is needed")


def _refusal(response: requests.Response) -> MeasureError:
    try:
        said = str(response.json()["error"])
    except (ValueError, TypeError, KeyError):
        said = "is the url right?"
    return MeasureError(
        f"Prometheus answered {response.status_code}: {said[:300]}",
        retryable=response.status_code in _RETRYABLE,
    )


def _reason(error: Exception) -> str:
    """Return what happened, without the address."""
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "TLS failed"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return type(error).__name__


ACTIONS: list[Action] = [query]
