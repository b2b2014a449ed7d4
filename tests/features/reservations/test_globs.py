"""Two patterns conflict exactly when some path matches both: decided by rule, checked by trying all paths."""

from __future__ import annotations

import itertools
import re
import time
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.features.reservations.globs import BadPattern, Index, TooMuchToCompare, overlap, parse, path

LETTERS = "ab"


def matches(pattern: list[str], names: list[str]) -> bool:
    """Whether a path matches: the definition, written as plainly as possible."""
    if not pattern:
        return not names
    if pattern[0] == "**":
        return any(matches(pattern[1:], names[n:]) for n in range(len(names) + 1))
    return bool(names) and name_matches(pattern[0], names[0]) and matches(pattern[1:], names[1:])


def name_matches(pattern: str, name: str) -> bool:
    wild = {"*": ".*", "?": "."}
    return re.fullmatch("".join(wild.get(c, re.escape(c)) for c in pattern), name) is not None


def words(longest: int) -> list[str]:
    return ["".join(w) for n in range(1, longest + 1) for w in itertools.product(LETTERS, repeat=n)]


@cache
def paths() -> list[list[str]]:
    """Every path of at most four names of at most two letters: enough to tell patterns of two such names apart."""
    return [list(p) for n in range(1, 5) for p in itertools.product(words(2), repeat=n)]


def patterns(names: int, letters: int) -> st.SearchStrategy[str]:
    name = st.text("ab*?", min_size=1, max_size=letters).filter(lambda text: "**" not in text)
    return st.lists(st.one_of(name, st.just("**")), min_size=1, max_size=names).map("/".join)


@settings(max_examples=300, deadline=None)
@given(patterns(2, 2), patterns(2, 2))
def test_two_patterns_overlap_exactly_when_some_path_matches_both(one: str, other: str) -> None:
    both = next((p for p in paths() if matches(one.split("/"), p) and matches(other.split("/"), p)), None)
    assert overlap(parse(one), parse(other)) == (both is not None), both
    assert overlap(parse(one), parse(other)) == overlap(parse(other), parse(one))


@settings(max_examples=300, deadline=None)
@given(patterns(1, 4), patterns(1, 4))
def test_two_names_overlap_exactly_when_some_name_matches_both(one: str, other: str) -> None:
    if "**" in (one, other):
        return
    both = next((w for w in words(8) if name_matches(one, w) and name_matches(other, w)), None)
    assert overlap(parse(one), parse(other)) == (both is not None), both


@given(patterns(4, 3), st.lists(st.sampled_from(words(3)), min_size=1, max_size=5))
def test_a_path_is_covered_exactly_when_it_matches(pattern: str, names: list[str]) -> None:
    assert overlap(parse(pattern), path("/".join(names))) == matches(pattern.split("/"), names)


@given(st.lists(patterns(3, 2), max_size=30), patterns(3, 2))
def test_the_index_finds_what_comparing_with_everything_finds(known: list[str], new: str) -> None:
    index = Index([(parse(text), number) for number, text in enumerate(known)])
    found = sorted(number for _, _, number in index.overlapping([parse(new)], 1000))
    assert found == [number for number, text in enumerate(known) if overlap(parse(text), parse(new))]


def test_wildcards_in_the_name_of_a_file_are_letters() -> None:
    assert overlap(parse("a?b"), path("a*b"))
    assert not overlap(parse("axb"), path("a*b"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "means no path"),
        ("../secret", "has the name '..'"),
        ("src/../../x", "has the name '..'"),
        ("./src", "has the name '.'"),
        ("/etc/passwd", "absolute"),
        ("~/x", "absolute"),
        ("C:/x", "absolute"),
        ("src\\x", "write / between names"),
        ("a//b", "empty name"),
        ("src/", r"write src/\*\* for all below"),
        ("src/**.py", r"\*\* stands alone"),
        ("***", r"\*\* stands alone"),
        ("src/[ab].py", "itself write [?]"),
        ("{a,b}.py", "only [*]"),
        ("!keep", "only [*]"),
        ("a\x00b", "nobody can see"),
        ("a\u202eb", "nobody can see"),
        ("a" * 256, "longer than 255"),
        ("/".join("a" * 33), "more than 32 names"),
        ("?" * 17, "more than 32 names or 16 wildcards"),
    ],
)
def test_a_trick_is_refused_with_what_to_write(text: str, why: str) -> None:
    with pytest.raises(BadPattern, match=why):
        parse(text)


def test_thousands_of_patterns_stay_fast() -> None:
    known = [(parse(f"pkg{n % 100}/mod{n}/**/*.py"), n) for n in range(5000)]
    index = Index(known)
    started = time.perf_counter()
    for n in range(0, 5000, 50):
        new = [parse(f"pkg{n % 100}/mod{n}/a/b_{k}.py") for k in range(20)]
        assert {item for _, _, item in index.overlapping(new, 10_000)} == {n}
    assert time.perf_counter() - started < 2, "2,000 patterns against 5,000"
    with pytest.raises(TooMuchToCompare, match="start each with the names of its folders"):
        list(index.overlapping([parse("**/*.py")] * 100, 20_000))
