"""JSON as a public service must read it: UTF-8, no duplicates, no NaN, no surrogates, bounded depth and size."""

from __future__ import annotations

import json
from typing import Any, Final

import orjson

from hub.core.errors import Malformed

MAX_DEPTH: Final = 64
_NESTS: Final = frozenset({dict, list})


def parse(raw: bytes) -> Any:
    """The value of `raw`. Raises Malformed saying what is wrong."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"the body is not valid JSON: {error}") from None
    except RecursionError:
        raise Malformed("the JSON is nested too deeply") from None
    keys, depth = _measure(value)
    if depth > MAX_DEPTH:
        raise Malformed(f"the JSON is nested {depth} levels deep; at most {MAX_DEPTH}")
    if keys and raw.count(b'":') != keys:  # every key is one `":` unless spaced, escaped in text, or repeated
        json.loads(raw, object_pairs_hook=_no_duplicates)
    return value


def parse_object(raw: bytes) -> dict[str, Any]:
    """Like `parse`, for a body that must be an object; an empty body is an empty object."""
    value = parse(raw) if raw else {}
    if not isinstance(value, dict):
        raise Malformed("the body must be a JSON object")
    return value


def _measure(value: Any) -> tuple[int, int]:
    """Number of keys and greatest depth."""
    if type(value) is dict and _NESTS.isdisjoint(map(type, value.values())):  # most are flat
        return len(value), 1
    keys = deepest = 0
    stack = [(value, 1)]
    while stack:
        item, depth = stack.pop()
        if isinstance(item, dict):
            keys += len(item)
            stack += [(child, depth + 1) for child in item.values() if type(child) in _NESTS]
        elif isinstance(item, list):
            stack += [(child, depth + 1) for child in item if type(child) in _NESTS]
        deepest = max(deepest, depth)
    return keys, deepest


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Malformed(f"the field {twice[:80]!r} stands twice in one object")
    return made
