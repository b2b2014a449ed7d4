"""The mark around an answer."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from desktop_agent.tag import answer, prompt

TAG = "ab12cd34"


@given(st.text(max_size=200))
def test_the_prompt_itself_is_never_taken_for_an_answer(text: str) -> None:
    assume(TAG not in text)
    assert answer(prompt(text, TAG), TAG) is None


@given(st.text(st.characters(exclude_characters="⟦\r"), min_size=1, max_size=200), st.text(max_size=50))
def test_an_answer_comes_out_as_it_was_written_whatever_stands_around_it(body: str, around: str) -> None:
    assume(body.strip() and TAG not in around)
    copied = f"{around}\n⟦{TAG}⟧\n{body}\n⟦/{TAG}⟧\n{around}"
    assert answer(prompt("the question", TAG) + "\n" + copied, TAG) == body.strip("\n").rstrip()


def test_a_half_copied_answer_another_tag_and_an_empty_one_are_no_answers() -> None:
    assert answer(f"⟦{TAG}⟧\nhalf of", TAG) is None
    assert answer("⟦00000000⟧\nother\n⟦/00000000⟧", TAG) is None
    assert answer(f"⟦{TAG}⟧\n \n⟦/{TAG}⟧", TAG) is None


def test_the_newest_answer_wins_when_a_whole_conversation_was_copied() -> None:
    copied = f"⟦{TAG}⟧\nfirst\n⟦/{TAG}⟧\nagain please\n⟦{TAG}⟧second ⟦/{TAG}⟧\nfooter"
    assert answer(copied, TAG) == "second"
