"""Filters: the few functions that an expression may apply.

Stricter than Jinja's of the same names.  `int` and `float` refuse what is not a number, where
Jinja's quietly say 0; `replace` and `join` refuse to build a text that is out of bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

_LONGEST = 64 * 1024  # characters


def lower(value: Any) -> str:
    """Return the text in lower case."""
    return _text(value).lower()


def upper(value: Any) -> str:
    """Return the text in upper case."""
    return _text(value).upper()


def trim(value: Any) -> str:
    """Return the text without white space around it."""
    return _text(value).strip()


def replace(value: Any, old: Any, new: Any) -> str:
    """Return the text with each `old` replaced by `new`."""
    text, old, new = _text(value), _text(old), _text(new)
    if not old:
        raise ValueError("replace needs something to replace")
    _refuse_long(len(text) + text.count(old) * (len(new) - len(old)))
    return text.replace(old, new)


def join(value: Any, separator: Any = "") -> str:
    """Return a list of texts as one text."""
    if not isinstance(value, list):
        raise TypeError("only a list can be joined")
    texts = [_text(item) for item in value]
    _refuse_long(sum(map(len, texts)) + len(texts) * len(_text(separator)))
    return str(separator).join(texts)


def length(value: Any) -> int:
    """Return how many characters, items or entries there are."""
    if not isinstance(value, str | list | Mapping):
        raise TypeError("only a text, a list or a mapping has a length")
    return len(value)


def first(value: Any) -> Any:
    """Return the first item of a list."""
    return _items(value)[0]


def last(value: Any) -> Any:
    """Return the last item of a list."""
    return _items(value)[-1]


def as_int(value: Any) -> int:
    """Return the whole number that a text or a number is, cut towards zero."""
    return int(_number(value) if not isinstance(value, str) else value)


def as_float(value: Any) -> float:
    """Return the number that a text or a number is."""
    number = float(_number(value) if not isinstance(value, str) else value)
    if not isfinite(number):
        raise ValueError("neither NaN nor infinity can be compared with anything")
    return number


def rounded(value: Any, digits: Any = 0) -> float:
    """Return the number, rounded to so many digits after the point."""
    return round(float(_number(value)), int(_number(digits)))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("this filter needs a text")
    return value


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("this filter needs a number")
    return value


def _items(value: Any) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise TypeError("this filter needs a list with something in it")
    return value


def _refuse_long(size: int) -> None:
    if size > _LONGEST:
        raise ValueError(f"the text would have {size} characters, more than {_LONGEST}")


FILTERS: Mapping[str, Callable[..., Any]] = {
    "first": first,
    "float": as_float,
    "int": as_int,
    "join": join,
    "last": last,
    "length": length,
    "lower": lower,
    "replace": replace,
    "round": rounded,
    "trim": trim,
    "upper": upper,
}
"""By the name that stands after `|`."""
