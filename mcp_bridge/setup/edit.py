"""Change one entry of a configuration file and nothing else: comments, order, BOM, line ends and unknown keys stay.

Text in, text out; files are in `files.py`. JSON may have comments and trailing commas (JSONC).
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class CannotEdit(ValueError):
    """The file is not what it should be; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an object: where its key starts and its value starts and ends."""

    key: str
    start: int
    value: int
    end: int


@dataclass(frozen=True, slots=True)
class Object:
    """An object's braces and members; `comma` is where a trailing comma stands, else -1."""

    open: int
    close: int
    members: tuple[Member, ...]
    comma: int


@dataclass(frozen=True, slots=True)
class Array:
    """An array's brackets and where its items start and end; `comma` is where a trailing comma stands, else -1."""

    open: int
    close: int
    items: tuple[tuple[int, int], ...]
    comma: int


_SPACE = re.compile(r"(?:[ \t\r\n\ufeff]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_SCALAR = re.compile(r"[^\s,\]}/]+")


class Scanner:
    """Finds members of JSON objects in text, comments allowed."""

    def __init__(self, text: str) -> None:
        self.text = text

    def skip(self, at: int) -> int:
        found = _SPACE.match(self.text, at)
        assert found is not None  # it matches nothing, too
        return found.end()

    def value(self, at: int) -> int:
        """Where the value that starts here ends."""
        first = self.text[at : at + 1]
        if first == "{":
            return self.object(at).close + 1
        if first == "[":
            return self._array(at)
        found = (_STRING if first == '"' else _SCALAR).match(self.text, at)
        if not found:
            raise CannotEdit(f"not valid JSON at character {at}")
        return found.end()

    def _array(self, at: int) -> int:
        return self.array(at).close + 1

    def array(self, at: int) -> Array:
        """The array whose bracket is here."""
        if self.text[at : at + 1] != "[":
            raise CannotEdit(f"expected an array at character {at}")
        opened, comma = at, -1
        items: list[tuple[int, int]] = []
        at = self.skip(at + 1)
        while self.text[at : at + 1] != "]":
            if items and comma < 0:
                raise CannotEdit(f"not valid JSON at character {at}")
            items.append((at, self.value(at)))
            at, comma = self.skip(items[-1][1]), -1
            if self.text[at : at + 1] == ",":
                at, comma = self.skip(at + 1), at
        return Array(opened, at, tuple(items), comma)

    def object(self, at: int) -> Object:
        """The object whose brace is here."""
        if self.text[at : at + 1] != "{":
            raise CannotEdit(f"expected an object at character {at}")
        opened, comma = at, -1
        members: list[Member] = []
        at = self.skip(at + 1)
        while self.text[at : at + 1] != "}":
            if members and comma < 0:
                raise CannotEdit(f"a comma is missing at character {at}")
            member = self._member(at)
            members.append(member)
            at, comma = self.skip(member.end), -1
            if self.text[at : at + 1] == ",":
                at, comma = self.skip(at + 1), at
        return Object(opened, at, tuple(members), comma)

    def _member(self, at: int) -> Member:
        key = _STRING.match(self.text, at)
        colon = self.skip(key.end()) if key else at
        if not key or self.text[colon : colon + 1] != ":":
            raise CannotEdit(f"not valid JSON at character {at}")
        value = self.skip(colon + 1)
        return Member(json.loads(key.group(), strict=False), at, value, self.value(value))


def _root(text: str) -> Object:
    scanner = Scanner(text)
    root = scanner.object(scanner.skip(0))
    if scanner.skip(root.close + 1) != len(text):
        raise CannotEdit("text follows the JSON value")
    return root


def _find(found: Object, key: str) -> Member | None:
    return next((member for member in reversed(found.members) if member.key == key), None)


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _indent(text: str) -> str:
    found = re.search(r"^([ \t]+)\"", text, re.MULTILINE)
    return found.group(1) if found else "  "


Section = str | tuple[str, ...]  # the way to an object: one key, or several, outermost first


def _way(section: Section) -> tuple[str, ...]:
    return (section,) if isinstance(section, str) else section


def _objects(text: str, section: Section) -> list[Object]:
    """The root and the objects on the way to `section`, as far as they are there. Raises CannotEdit for other values."""
    found = [_root(text)]
    for key in _way(section):
        member = _find(found[-1], key)
        if member is None:
            break
        found.append(Scanner(text).object(member.value))
    return found


def json_get(text: str, section: Section, name: str) -> str | None:
    """The text of `section.name`; None when it is not there."""
    if not text.strip("\ufeff \t\r\n"):
        return None
    try:
        found = _objects(text, section)
    except CannotEdit:
        _root(text)
        return None
    if len(found) <= len(_way(section)):
        return None
    inner = _find(found[-1], name)
    return text[inner.value : inner.end] if inner else None


def value_of(text: str, section: Section, name: str, *, toml: bool) -> dict[str, Any] | None:
    """The table or object at `section.name`, as its client reads it; None when there is none. Raises CannotEdit."""
    if toml:
        found = toml_parse(text).get(str(section), {}).get(name)
    else:
        raw = json_get(text, section, name)
        found = json.loads(_plain(raw), strict=False) if raw is not None else None
    if found is not None and not isinstance(found, dict):
        raise CannotEdit(f"{name} should be an object with a command or an address")
    return found


def _plain(text: str) -> str:
    """The same value without comments and trailing commas."""
    kept = re.sub(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/', lambda found: found[1] or " ", text, flags=re.DOTALL)
    return re.sub(r'("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])', lambda found: found[1] or "", kept, flags=re.DOTALL)


def json_set(text: str, section: Section, name: str, value: Any) -> str:
    """Put `value` at `section.name`. Raises CannotEdit for text that is not JSON (comments are fine)."""
    way = (*_way(section), name)
    if not text.strip("\ufeff \t\r\n"):
        return ("\ufeff" if text.startswith("\ufeff") else "") + json.dumps(_nested(way, value), indent=2) + "\n"
    found = _objects(text, section)
    depth = len(found)
    if depth < len(way):
        return _insert(text, found[-1], way[depth - 1], _nested(way[depth:], value), depth)
    inner = _find(found[-1], name)
    if inner is None:
        return _insert(text, found[-1], name, value, depth)
    return text[: inner.value] + _dump(text, value, depth) + text[inner.end :]


def _nested(way: tuple[str, ...], value: Any) -> Any:
    for key in reversed(way):
        value = {key: value}
    return value


def _dump(text: str, value: Any, depth: int) -> str:
    step, newline = _indent(text), _newline(text)
    return json.dumps(value, indent=step, ensure_ascii=False).replace("\n", newline + step * depth)


def _insert(text: str, into: Object, key: str, value: Any, depth: int) -> str:
    """Add a member at the end of an object."""
    step, newline = _indent(text), _newline(text)
    line = f"{newline}{step * depth}{json.dumps(key, ensure_ascii=False)}: {_dump(text, value, depth)}"
    if not into.members:
        rest = text[into.open + 1 : into.close]
        tail = newline + step * (depth - 1) if not rest.strip() else ""
        return text[: into.open + 1] + line + (tail or rest) + text[into.close :]
    last = into.members[-1].end
    if into.comma >= 0:  # the file's own trailing comma stays one
        return text[: into.comma + 1] + line + "," + text[into.comma + 1 :]
    return text[:last] + "," + line + text[last:]


def json_remove(text: str, section: Section, name: str) -> str:
    """Take `section.name` out."""
    if json_get(text, section, name) is None:
        return text
    inside = _objects(text, section)[-1]
    member = _find(inside, name)
    assert member is not None
    return _cut(text, inside, member)


Ours = Callable[[Any], bool]


def json_item_set(text: str, way: tuple[str, ...], item: Any, ours: Ours) -> str:
    """Put `item` at the end of the array at `way`, or in place of the one there that is `ours`."""
    found = _array_at(text, way)
    if found is None:
        return json_set(text, way[:-1], way[-1], [item])
    value = _dump(text, item, len(way) + 1)
    for start, end in found.items:
        if ours(_value(text, start, end)):
            return text if _value(text, start, end) == item else text[:start] + value + text[end:]
    newline, step = _newline(text), _indent(text)
    line = newline + step * (len(way) + 1) + value
    if not found.items:
        tail = newline + step * len(way)
        return text[: found.open + 1] + line + tail + text[found.close :]
    if found.comma >= 0:
        return text[: found.comma + 1] + line + "," + text[found.comma + 1 :]
    last = found.items[-1][1]
    return text[:last] + "," + line + text[last:]


def json_item_remove(text: str, way: tuple[str, ...], ours: Ours) -> str:
    """Take the items that are `ours` out of the array at `way`, and what is empty then: the array, and what held it."""
    before = text
    while (found := _array_at(text, way)) is not None:
        place = next((i for i, (start, end) in enumerate(found.items) if ours(_value(text, start, end))), None)
        if place is None:
            break
        text = _cut_item(text, found, place)
    if text == before:
        return text
    for depth in range(len(way), 0, -1):
        if not _is_empty(text, way[:depth]):
            break
        inside = _objects(text, way[: depth - 1])[-1]
        member = _find(inside, way[depth - 1])
        assert member is not None  # it was found to be empty
        text = _cut(text, inside, member)
    return text


def _array_at(text: str, way: tuple[str, ...]) -> Array | None:
    """The array at `way`; None when there is none. Raises CannotEdit for another value."""
    if not text.strip("\ufeff \t\r\n"):
        return None
    found = _objects(text, way[:-1])
    member = _find(found[-1], way[-1]) if len(found) == len(way) else None
    return Scanner(text).array(member.value) if member else None


def _is_empty(text: str, way: tuple[str, ...]) -> bool:
    found = _objects(text, way[:-1])
    member = _find(found[-1], way[-1])
    return member is not None and re.fullmatch(r"\[\s*\]|\{\s*\}", text[member.value : member.end]) is not None


def _value(text: str, start: int, end: int) -> Any:
    return json.loads(_plain(text[start:end]), strict=False)


def _cut_item(text: str, found: Array, place: int) -> str:
    """Remove an item with the comma and the white space that belong to it; comments stay."""
    start, end = found.items[place]
    trimmed = text[:start].rstrip(" \t\r\n")
    if place + 1 < len(found.items) or found.comma >= 0:
        skipped = Scanner(text).skip(end)
        return trimmed + text[end:skipped] + text[skipped + 1 :]
    if place > 0:
        comma = Scanner(text).skip(found.items[place - 1][1])
        return text[:comma] + trimmed[comma + 1 :] + text[end:]
    rest = text[end : found.close]
    return trimmed + (rest if rest.strip() else "") + text[found.close :]


def _cut(text: str, found: Object, member: Member) -> str:
    """Remove a member with the comma and the white space that belong to it; comments stay."""
    place = found.members.index(member)
    before = text[: member.start]
    after = text[member.end :]
    trimmed = before.rstrip(" \t\r\n")
    has_next = place + 1 < len(found.members) or found.comma >= 0
    if has_next:
        skipped = Scanner(text).skip(member.end)
        return trimmed + text[member.end : skipped] + text[skipped + 1 :]
    if place > 0:
        previous = found.members[place - 1].end
        comma = Scanner(text).skip(previous)
        return text[:comma] + trimmed[comma + 1 :] + after
    rest = after[: found.close - member.end]
    return trimmed + (rest if rest.strip() else "") + text[found.close :]


# --- TOML -----------------------------------------------------------------------------------------------------------


def toml_parse(text: str) -> dict[str, Any]:
    """The values. Raises CannotEdit."""
    try:
        return tomllib.loads(text.removeprefix("\ufeff").replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as error:
        raise CannotEdit(f"not valid TOML: {error}") from error


def toml_set(text: str, section: str, name: str, value: dict[str, Any]) -> str:
    """Put a table `[section.name]` with plain values at the end, or in place of the one that is there.

    Tables inside it, such as what the client remembers of each tool, stay.
    """
    toml_parse(text)
    newline = _newline(text)
    lines = [f"[{section}.{name}]", *(f"{key} = {json.dumps(item, ensure_ascii=False)}" for key, item in value.items())]
    table = newline.join(lines) + newline
    if (span := next(iter(_tables(text, section, name, inner=False)), None)) is not None:
        made = text[: span[0]] + table + text[span[1] :]
    else:
        gap = "" if not text.strip("\ufeff") else newline if text.endswith("\n") else newline * 2
        made = text + gap + table
    found = toml_parse(made).get(section, {}).get(name, {})
    if {key: item for key, item in found.items() if key in value or not isinstance(item, dict)} != value:
        raise CannotEdit(f"[{section}.{name}] is written in a way that cannot be changed safely; edit it by hand")
    return made


def toml_remove(text: str, section: str, name: str) -> str:
    """Take the table `[section.name]` out, with the tables inside it."""
    spans = _tables(text, section, name, inner=True)
    made = text
    for start, end in reversed(spans):
        before, after = made[:start], made[end:]
        if not after.strip() and before.endswith(_newline(text) * 2):
            before = before[: -len(_newline(text))]
        made = before + after
    if name in toml_parse(made).get(section, {}):
        raise CannotEdit(f"{section}.{name} is not a table of its own; take it out by hand")
    return made


def _tables(text: str, section: str, name: str, *, inner: bool) -> list[tuple[int, int]]:
    """Where the table (and those inside it) start, and where their last entries end; comments after belong to what follows."""
    below = r"(?:\.[^\]\n]+)?" if inner else ""
    words = rf"(?:{re.escape(name)}|\"{re.escape(name)}\"|'{re.escape(name)}')"
    head = re.compile(rf"^\ufeff?(\[\s*{re.escape(section)}\s*\.\s*{words}\s*{below}\s*\][^\n]*\n?)", re.MULTILINE)
    return [(found.start(1), _end_of_table(text, found.start(1), found.end(1))) for found in head.finditer(text)]


def _end_of_table(text: str, start: int, body: int) -> int:
    """Where the last entry of the table that starts here ends: before the next header, which no value contains."""
    ends = [found.start() for found in re.compile(r"^[ \t]*\[", re.MULTILINE).finditer(text, body)]
    for end in [*ends, len(text)]:
        try:
            tomllib.loads(text[start:end].replace("\r\n", "\n"))
        except tomllib.TOMLDecodeError:
            continue  # that bracket is part of a value
        kept = text[start:end].splitlines(keepends=True)
        while len(kept) > 1 and (not kept[-1].strip() or kept[-1].lstrip().startswith("#")):
            kept.pop()
        return start + sum(map(len, kept))
    raise CannotEdit(f"the table at character {start} does not end")
