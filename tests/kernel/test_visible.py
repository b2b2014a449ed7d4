"""Nothing in a text from a peer stays hidden, and what people write in their scripts and emoji stays as it is."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.visible import visible

HIDDEN = (
    "\x00\x1b\x7f\x85\xad\u034f\u061c\u115f\u180e\u200b\u200c\u200d\u200e\u2028\u202e\u2060\u2066\u3164\ufe00\ufe0f"
)
HIDDEN += "\ufeff\uffa0\ufff9\ue000\U000e0001\U000e0041\U000e0100\U000e01ef\U000f0000\U0001d173\uffff"
PLAIN = st.text(
    st.characters(codec="utf-8", categories=["Lu", "Ll", "Nd", "Po", "Zs"], max_codepoint=0x33F), max_size=30
)
MIXED = st.text(st.sampled_from(HIDDEN + "ab1 \n\t👩💻❤葛می🏴क्"), max_size=40)
ESCAPE = re.compile(r"\\u([0-9a-f]{4})|\\U([0-9a-f]{8})")


def unescaped(text: str) -> str:
    return ESCAPE.sub(lambda found: chr(int(found[1] or found[2], 16)), text)


@given(st.text().filter(lambda text: "\\" not in text) | MIXED)
def test_no_character_is_lost(text: str) -> None:
    assert unescaped(visible(text)) == text.replace("\r\n", "\n")


@given(st.text() | MIXED)
def test_what_is_visible_stays_as_it_is(text: str) -> None:
    once = visible(text)
    assert visible(once) == once


@given(PLAIN, st.sampled_from(HIDDEN), PLAIN)
def test_a_hidden_character_between_plain_ones_is_shown(before: str, hidden: str, after: str) -> None:
    text = visible(f"x{before} {hidden} {after}")
    assert hidden not in text
    assert unescaped(text) == f"x{before} {hidden} {after}"


@given(st.sampled_from(["👩", "葛", "م", "🏴", "1", "x"]), st.text(st.sampled_from(HIDDEN), min_size=2, max_size=40))
def test_a_visible_character_carries_at_most_one_hidden_one(carrier: str, payload: str) -> None:
    assert sum(c in HIDDEN for c in visible(carrier + payload)) <= 1


@given(st.text(st.characters(max_codepoint=0x2FFFF)))
def test_only_joiners_and_selectors_in_their_place_are_ever_left(text: str) -> None:
    left = {c for c in visible(text) if unicodedata.category(c) in ("Cc", "Cs", "Co", "Zl", "Zp") and c not in "\n\t"}
    assert left == set()


@pytest.mark.parametrize(
    "text",
    [
        "👩\u200d💻",
        "👨🏽\u200d👩🏻\u200d👧\u200d👦",
        "❤\ufe0f\u200d🔥",
        "☎\ufe0e",
        "1\ufe0f\u20e3 #\ufe0f\u20e3",
        "🇩🇪",
        "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
        "می\u200cخواهم",
        "क्\u200dष",
        "ශ්\u200dරී",
        "葛\U000e0100飾",
        "日本\u3000語",
        "three\u00a0words\nline\tend",
        "\U0001fae9",  # newer than the tables of Python 3.11
    ],
)
def test_emoji_and_words_of_many_scripts_stay(text: str) -> None:
    assert visible(text) == text


def test_escapes_are_unambiguous_and_line_ends_are_one() -> None:
    assert visible("a\u202eb\r\nc\U000e0041d\re") == "a\\u202eb\nc\\U000e0041d\\u000de"
