"""Completeness: that nothing was left out of a stream, and nothing put in.

Each record names its place in its stream and the record before it by its hash, and a remediation's
ending counts them all and stays the last.  So a remediation's records cannot lack one, and an ending
cannot come twice, without somebody seeing it who holds only that stream.

What stands in a body may be anything, so nothing here relies on its shape.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from activities.ledger.findings import TamperedError
from activities.ledger.meaning import Meaning
from runbooks.model.record import SYSTEM, RecordKind

Content = dict[str, Any]


class _Tail(NamedTuple):
    length: int
    leaf: str
    ended: bool


_EMPTY = _Tail(0, "", ended=False)


def parse_body(body: bytes, seq: int) -> Content:
    """Return what the body of record `seq` says.

    Raises:
        TamperedError: it is not a record's.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise TamperedError(f"the body of record {seq} is no record", seq)
    return content


class Streams:
    """All streams that were read so far.  Its memory grows with their number, not with that of the records.

    Args:
        listeners: raw keys of the listeners that are believed.  Without any: those that are on record.
    """

    def __init__(self, listeners: Iterable[bytes] = ()) -> None:
        self.meaning = Meaning(listeners)
        self._tails: dict[str, _Tail] = {}

    def has_ended(self, stream: str) -> bool:
        """Return whether the last record of `stream` is its ending."""
        return self._tails.get(stream, _EMPTY).ended

    def skip(self, stream: str, seq: int) -> None:
        """Take note of a record that was pruned.

        Raises:
            TamperedError: there are others of its stream that were not.
        """
        if stream in self._tails:
            raise TamperedError(f"the body of record {seq} is missing, and others of {stream} are there", seq)
        self.meaning.skip(stream)

    def take(self, content: Content, leaf: bytes, seq: int) -> None:
        """Read the next record.

        Raises:
            TamperedError: it does not follow the ones before it, or cannot have happened.
        """
        stream, place = content.get("stream"), content.get("stream_seq")
        if not isinstance(stream, str) or type(place) is not int:
            raise TamperedError(f"the body of record {seq} is no record", seq)
        tail = self._tails.get(stream, _EMPTY)
        self._check_place(content, tail, seq)
        is_ending = content.get("kind") == RecordKind.ENDING.value
        if tail.ended and stream != SYSTEM:
            what = "a second ending" if is_ending else f"a record after its ending, record {seq}"
            raise TamperedError(f"{stream} has {what}", seq)
        if is_ending:
            _check_count(content, seq)
        self._tails[stream] = _Tail(tail.length + 1, leaf.hex(), is_ending)
        self.meaning.read(content, seq)

    def _check_place(self, content: Content, tail: _Tail, seq: int) -> None:
        stream, place = content["stream"], content["stream_seq"]
        if place > tail.length:
            raise TamperedError(f"record {place - 1} of {stream}, before record {seq}, is missing", seq)
        if place < tail.length:
            raise TamperedError(f"record {place} of {stream} is there twice", seq)
        if content.get("stream_prev") != tail.leaf:
            raise TamperedError(f"record {seq} names another record before it in {stream} than there is", seq)


def _check_count(content: Content, seq: int) -> None:
    data = content.get("data")
    if not isinstance(data, dict) or data.get("count") != content["stream_seq"] + 1:
        raise TamperedError(f"the ending of {content['stream']} counted other records than there are", seq)
