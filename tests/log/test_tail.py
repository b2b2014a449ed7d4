"""The newest frames in memory: never the whole truth when somebody else writes too."""

from __future__ import annotations

from hub.log.tail import Tails
from hub.storage.interface import Growth


def test_frames_that_miss_another_processs_events_are_not_served() -> None:
    """Found by reading: a stream at the head of memory waited until the next local write."""
    tails = Tails()
    tails.on_growth([Growth(5, 1, ((1, b"one"),))])
    assert tails.frames(5, 1, 10) == []
    tails.on_growth([Growth(5, 2)])
    assert tails.frames(5, 1, 10) is None, "the reader must ask the store"
    tails.on_growth([Growth(5, 3, ((3, b"three"),))])
    assert tails.frames(5, 1, 10) is None
    assert tails.frames(5, 2, 10) == [b"three"]


def test_a_wake_up_without_news_keeps_what_is_in_memory() -> None:
    tails = Tails()
    tails.on_growth([Growth(5, 1, ((1, b"one"),))])
    tails.on_growth([Growth(5, 1)])
    assert tails.frames(5, 0, 10) == [b"one"]
