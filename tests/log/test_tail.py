"""The newest frames in memory: never the whole truth when somebody else writes too."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub.log.tail import Tails
from hub.storage.interface import Growth


def frames(tails: Tails, after: int) -> list[bytes] | None:
    page = tails.page(5, after, 10)
    return None if page is None else page.frames


def test_frames_that_miss_another_processs_events_are_not_served() -> None:
    """Found by reading: a stream at the head of memory waited until the next local write."""
    tails = Tails()
    tails.on_growth([Growth(5, 1, ((1, b"one"),))])
    assert frames(tails, 1) == []
    tails.on_growth([Growth(5, 2)])
    assert frames(tails, 1) is None, "the reader must ask the store"
    tails.on_growth([Growth(5, 3, ((3, b"three"),))])
    assert frames(tails, 1) is None
    assert frames(tails, 2) == [b"three"]


def test_a_wake_up_without_news_keeps_what_is_in_memory() -> None:
    tails = Tails()
    tails.on_growth([Growth(5, 1, ((1, b"one"),))])
    tails.on_growth([Growth(5, 1)])
    assert frames(tails, 0) == [b"one"]


def test_readers_at_the_same_place_share_one_encoding_and_news_makes_a_new_one() -> None:
    tails = Tails()
    tails.on_growth([Growth(5, 1, ((1, b"one"),))])
    made: list[int] = []
    for _reader in range(3):
        page = tails.page(5, 0, 10)
        assert page is not None
        page.shape("text", lambda: made.append(1))
    assert made == [1]
    tails.on_growth([Growth(5, 2, ((2, b"two"),))])
    assert frames(tails, 0) == [b"one", b"two"]


@given(st.lists(st.booleans(), max_size=30), st.integers(0, 30), st.integers(1, 30))
def test_a_page_knows_whether_it_moves_members(moves: list[bool], after: int, limit: int) -> None:
    tails = Tails()
    texts = [b'{"type":"member.left"}' if move else b'{"type":"message.posted"}' for move in moves]
    for seq, text in enumerate(texts, 1):
        tails.on_growth([Growth(5, seq, ((seq, text),))])
    page = tails.page(5, after, limit)
    if page is not None:
        assert page.frames == texts[after : after + limit]
        assert page.moves_members == any(moves[after : after + limit])
