"""Path patterns: reading them, and whether two of them can mean the same path. Pure and exact.

A path is names with `/` between them. In a pattern `?` is one character of a name, `*` any characters of a name (also
none, but a name is never empty), and `**`, standing alone between slashes, any number of names (also none). Everything
else means itself, upper and lower case differ. What other globs offer (`[abc]`, `{a,b}`, `!`) is refused, not taken
literally: it would silently protect nothing.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Generic, TypeVar

from hub.core.errors import Invalid

T = TypeVar("T")
_MANY: Final = "\x00"  # `*`; control characters cannot stand in a pattern, so these are free
_ONE: Final = "\x01"  # `?`
_DEEP: Final = "\x02"  # `**`
MOST_CHARACTERS: Final = 255
MOST_NAMES: Final = 32
MOST_WILDCARDS: Final = 16


class BadPattern(Invalid):
    code, title = "bad-pattern", "Not a path pattern"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern as it was written, and its names with wildcards marked."""

    text: str
    names: tuple[str, ...]

    @property
    def prefix(self) -> tuple[str, ...]:
        """The names before the first wildcard."""
        for number, name in enumerate(self.names):
            if _wild(name):
                return self.names[:number]
        return self.names


def _wild(name: str) -> bool:
    return name == _DEEP or _MANY in name or _ONE in name


@lru_cache(maxsize=20_000)
def parse(text: str) -> Pattern:
    """The pattern that `text` writes. Raises BadPattern that says what to write instead."""
    normal = unicodedata.normalize("NFC", text)
    _check_text(normal, text)
    names = normal.split("/")
    for name in names:
        _check_name(name, text)
    if len(names) > MOST_NAMES or normal.count("*") + normal.count("?") > MOST_WILDCARDS:
        raise BadPattern(f"{text[:80]!r} has more than {MOST_NAMES} names or {MOST_WILDCARDS} wildcards; name a folder")
    return Pattern(normal, tuple(_collapsed(_DEEP if n == "**" else _marked(n) for n in names)))


def path(text: str) -> Pattern:
    """A path of the working tree, every character meaning itself."""
    normal = unicodedata.normalize("NFC", text)
    return Pattern(normal, tuple(normal.split("/")))


def _check_text(normal: str, text: str) -> None:
    shown = repr(text[:80])
    if not normal:
        raise BadPattern("an empty pattern means no path; `**` means everything")
    if len(normal) > MOST_CHARACTERS:
        raise BadPattern(f"{shown}… is longer than {MOST_CHARACTERS} characters; name a folder instead")
    if any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in normal):
        raise BadPattern(f"{shown} has a character that nobody can see")
    if "\\" in normal:
        raise BadPattern(f"{shown}: write / between names, not \\")
    if normal.startswith(("/", "~")) or normal[1:2] == ":":
        raise BadPattern(f"{shown} is absolute; patterns are relative to the repository's root")
    if found := next((c for c in normal if c in "[]{}!"), None):
        raise BadPattern(f"{shown}: only *, ** and ? are special; for the character {found} itself write ?")


def _check_name(name: str, text: str) -> None:
    shown = repr(text[:80])
    if not name:
        instead = f"; write {text[:80]}** for all below" if text.endswith("/") and "//" not in text else ""
        raise BadPattern(f"{shown} has an empty name between slashes{instead}")
    if name in (".", ".."):
        raise BadPattern(f"{shown} has the name '{name}'; start at the repository's root")
    if "**" in name and name != "**":
        raise BadPattern(f"{shown}: ** stands alone between slashes, as in src/**/test_*.py")


def _marked(name: str) -> str:
    return name.replace("*", _MANY).replace("?", _ONE)


def _collapsed(names: Iterable[str]) -> Iterator[str]:
    before = ""
    for name in names:
        if not (name == before == _DEEP):
            yield name
        before = name


def overlap(one: Pattern, other: Pattern) -> bool:
    """Whether some path matches both. Steps are bounded by the product of their lengths."""
    a, b = one.names, other.names
    if _DEEP not in (a[-1], b[-1]) and not names_overlap(a[-1], b[-1]):
        return False
    waiting, seen = [(0, 0)], {(0, 0)}
    while waiting:
        i, j = waiting.pop()
        if i == len(a) and j == len(b):
            return True
        for place in _steps(a, i, b, j):
            if place not in seen:
                seen.add(place)
                waiting.append(place)
    return False


def _steps(a: tuple[str, ...], i: int, b: tuple[str, ...], j: int) -> list[tuple[int, int]]:
    """Where both can go on: past a `**`, over a name that one of them takes in, or over a name in common."""
    more_a, more_b = i < len(a), j < len(b)
    steps = []
    if more_a and a[i] == _DEEP:
        steps += [(i, j + 1), (i + 1, j)] if more_b else [(i + 1, j)]
    if more_b and b[j] == _DEEP:
        steps += [(i + 1, j), (i, j + 1)] if more_a else [(i, j + 1)]
    if not steps and more_a and more_b and names_overlap(a[i], b[j]):
        steps.append((i + 1, j + 1))
    return steps


@lru_cache(maxsize=20_000)
def names_overlap(one: str, other: str) -> bool:
    """Whether some name matches both marked names."""
    if not _wild(one) and not _wild(other):
        return one == other
    reached = {0}
    for place in range(len(one) + 1):
        reached = _after_many(reached, other)
        if place == len(one):
            break
        here = one[place]
        if here == _MANY:
            reached = set(range(min(reached), len(other) + 1)) if reached else reached
        else:
            reached = {k + 1 if other[k] != _MANY else k for k in reached if k < len(other) and _agree(here, other[k])}
            if not reached:
                return False
    return len(other) in reached


def _after_many(reached: set[int], name: str) -> set[int]:
    """The places reached, and those behind a `*` that takes nothing."""
    found = set(reached)
    for k in sorted(reached):
        while k < len(name) and name[k] == _MANY:
            k += 1
            found.add(k)
    return found


def _agree(one: str, other: str) -> bool:
    return one == other or _ONE in (one, other) or other == _MANY


class TooMuchToCompare(Invalid):
    code, title = "too-many-patterns", "Too many patterns"


@dataclass(slots=True)
class _Node(Generic[T]):
    here: list[tuple[Pattern, T]] = field(default_factory=list)
    below: dict[str, _Node[T]] = field(default_factory=dict)

    def all(self) -> Iterator[tuple[Pattern, T]]:
        yield from self.here
        for node in self.below.values():
            yield from node.all()


class Index(Generic[T]):
    """Patterns by the names they start with, so that a new one meets only those it could overlap."""

    def __init__(self, items: Iterable[tuple[Pattern, T]]) -> None:
        self._root: _Node[T] = _Node()
        for pattern, item in items:
            node = self._root
            for name in pattern.prefix:
                node = node.below.setdefault(name, _Node())
            node.here.append((pattern, item))

    def candidates(self, pattern: Pattern) -> Iterator[tuple[Pattern, T]]:
        """Those whose fixed start agrees with the pattern's."""
        node = self._root
        for name in pattern.prefix:
            yield from node.here
            if name not in node.below:
                return
            node = node.below[name]
        yield from node.all()

    def overlapping(self, patterns: Iterable[Pattern], most: int) -> Iterator[tuple[Pattern, Pattern, T]]:
        """(pattern, theirs, item) of all that overlap. Raises TooMuchToCompare after `most` comparisons."""
        compared = 0
        for pattern in patterns:
            for theirs, item in self.candidates(pattern):
                compared += 1
                if compared > most:
                    raise TooMuchToCompare(
                        "these patterns are too general to compare with all that is reserved here;"
                        " start each with the names of its folders, or reserve fewer at once"
                    )
                if overlap(pattern, theirs):
                    yield pattern, theirs, item
