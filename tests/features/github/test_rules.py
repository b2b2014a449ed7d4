"""What is sent to GitHub mentions nobody, fits, and no answer breaks the reading of it."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from hub.features.github import rules
from hub.features.github.contract import MOST_BODY
from hub.features.github.rules import Doubtful, Refused, Source, compose, explanation, harmless, judge, title_of

# what GitHub makes links, mentions and closing words of; written from its documentation, not from our rule
ALIVE = re.compile(
    r"(?:^|[^\w`])@[a-z0-9]|#\d|\bGH-\d|<!--|\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?):?\s+https?://", re.IGNORECASE
)
PIECES = [
    "@octocat",
    "#1",
    "GH-2",
    "fixes ",
    "closes: ",
    "https://github.com/a/b/issues/3",
    "<!--",
    " ",
    "\n",
    "x",
    "@",
    "#",
]
TEXT = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12).map("".join)


@given(TEXT)
@example("thanks @octocat, fixes #1")
@example("Fixed\nhttps://github.com/a/b/issues/3")
@example("##1 @@octocat gh-7 <!-- hidden -->")
def test_peers_text_mentions_refers_and_hides_nothing(text: str) -> None:
    assert ALIVE.search(harmless(text)) is None


@given(TEXT)
def test_only_invisible_characters_are_added(text: str) -> None:
    from hub.core.visible import visible

    assert harmless(text).replace("\u200b", "") == visible(text).replace("\u200b", "")


def source(text: str) -> Source:
    return Source("m1-2", "Message", "ada", "2026-11-26T03:00:00.000Z", text, text)


@given(st.text(max_size=50), st.lists(st.sampled_from([0, 1, 7_999, 8_001, 300_000]), max_size=10))
def test_a_body_always_fits_and_ends_with_its_marker(body: str, lengths: list[int]) -> None:
    made = compose(body, [source("x" * length) for length in lengths], "build", "ada", "marker")
    assert len(made) <= MOST_BODY
    assert made.endswith("<!-- marker -->")
    assert "Opened from the room `build` by `ada`." in made


@given(st.lists(TEXT, min_size=1, max_size=3))
def test_a_title_is_one_short_line(texts: list[str]) -> None:
    if not any(harmless(text).split() for text in texts):
        return
    title = title_of(None, [source(text) for text in texts])
    assert 0 < len(title) <= 120
    assert "\n" not in title


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["message", "errors", "resource", "field", "code"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.integers(300, 599), JSON)
def test_every_answer_means_something_on_one_line(status: int, answer: Any) -> None:
    said = explanation(answer)
    outcome = judge(status, said, "acme/app", "issue")
    assert "\n" not in said
    assert len(said) <= 500
    assert isinstance(outcome, Doubtful if status >= 500 else Refused)


def test_what_may_have_happened_is_never_called_a_failure() -> None:
    for status in (500, 502, 503, 504):
        assert isinstance(judge(status, "", "acme/app", "pull"), Doubtful)


def test_pauses_grow_and_end() -> None:
    pauses = [rules.pause_s(number) for number in range(10)]
    assert pauses == sorted(pauses)
    assert pauses[-1] < rules.LONGEST_WAIT_S
