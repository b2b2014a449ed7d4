"""The newest frames in memory: never the whole truth when somebody else writes too."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from hub.log.tail import Ring, Tails
from hub.storage.interface import Growth


def frames(tails: Tails, after: int) -> list[bytes] | None:
    page = tails.page(5, after, 10)
    return None if page is None else page.frames


class Follower:
    def grown(self) -> None:
        """Looks at the tails itself."""


def followed() -> Tails:
    """Of which somebody follows stream 5."""
    tails = Tails()
    tails.follow([5], Follower())
    return tails


def grow(tails: Tails, *growth: Growth) -> None:
    async def told() -> None:
        tails.on_growth(growth)

    asyncio.run(told())


def test_frames_of_a_stream_are_in_memory_only_while_somebody_follows_it() -> None:
    tails, reader = followed(), Follower()
    tails.follow([6], reader)
    grow(tails, Growth(6, 1, ((1, b"one"),)), Growth(7, 1, ((1, b"one"),)))
    assert [tails.page(log, 0, 10) is not None for log in (6, 7)] == [True, False]
    tails.unfollow([6], reader)
    grow(tails, Growth(6, 2, ((2, b"two"),)))
    assert tails.page(6, 1, 10) is None
    tails.follow([6], reader)
    grow(tails, Growth(6, 3, ((3, b"three"),)))
    assert (tails.page(6, 1, 10), frames(tails, 0)) == (None, None), "what it did not keep it must not seem to have"


def test_frames_that_miss_another_processs_events_are_not_served() -> None:
    """Found by reading: a stream at the head of memory waited until the next local write."""
    tails = followed()
    grow(tails, Growth(5, 1, ((1, b"one"),)))
    assert frames(tails, 1) == []
    grow(tails, Growth(5, 2))
    assert frames(tails, 1) is None, "the reader must ask the store"
    grow(tails, Growth(5, 3, ((3, b"three"),)))
    assert frames(tails, 1) is None
    assert frames(tails, 2) == [b"three"]


def test_a_wake_up_without_news_keeps_what_is_in_memory() -> None:
    tails = followed()
    grow(tails, Growth(5, 1, ((1, b"one"),)))
    grow(tails, Growth(5, 1))
    assert frames(tails, 0) == [b"one"]


def test_readers_at_the_same_place_share_one_encoding_and_news_makes_a_new_one() -> None:
    tails = followed()
    grow(tails, Growth(5, 1, ((1, b"one"),)))
    made: list[int] = []
    for _reader in range(3):
        page = tails.page(5, 0, 10)
        assert page is not None
        page.shape("text", lambda: made.append(1))
    assert made == [1]
    grow(tails, Growth(5, 2, ((2, b"two"),)))
    assert frames(tails, 0) == [b"one", b"two"]


@given(st.lists(st.booleans(), max_size=30), st.integers(0, 30), st.integers(1, 30))
def test_a_page_knows_whether_it_moves_members(moves: list[bool], after: int, limit: int) -> None:
    tails = followed()
    texts = [b'{"type":"member.left"}' if move else b'{"type":"message.posted"}' for move in moves]
    for seq, text in enumerate(texts, 1):
        grow(tails, Growth(5, seq, ((seq, text),)))
    page = tails.page(5, after, limit)
    if page is not None:
        assert page.frames == texts[after : after + limit]
        assert page.moves_members == any(moves[after : after + limit])


class Looker:
    """Notes how far the topic had grown when it was called."""

    def __init__(self, world: list[int]) -> None:
        self.world = world
        self.seen = 0
        self.calls = 0

    def grown(self) -> None:
        self.seen = self.world[0]
        self.calls += 1


@given(st.lists(st.sampled_from(["grow", "serve one", "serve all", "come", "leave"]), max_size=60))
def test_whoever_follows_is_called_after_the_last_growth_and_no_more_than_once_for_it(steps: list[str]) -> None:
    ring, world, readers = Ring(), [0], list[Looker]()
    due: dict[Looker, int] = {}
    for step in steps:
        if step == "grow":
            world[0] += 1
            ring.go_round()
            due = dict.fromkeys(readers, world[0])
        elif step == "come":
            readers.append(Looker(world))
            ring.add(readers[-1])
        elif step == "leave" and readers:
            ring.remove(gone := readers.pop(0))
            due.pop(gone, None)
        elif step.startswith("serve"):
            ring.serve(0 if step == "serve one" else float("inf"))
    ring.serve(float("inf"))
    assert {reader: reader.seen for reader in due} == due
    if not {"come", "leave"} & set(steps[steps.index("grow") :] if "grow" in steps else []):
        assert all(reader.calls <= steps.count("grow") for reader in readers)


def test_a_reader_that_fails_holds_up_nobody() -> None:
    class Broken:
        def grown(self) -> None:
            raise RuntimeError("broken")

    ring, after = Ring(), Looker([1])
    ring.add(Broken())
    ring.add(after)
    ring.go_round()
    ring.serve(float("inf"))
    assert after.seen == 1


def test_a_streams_reader_counts_as_waiting_and_its_rooms_as_watched_until_it_goes() -> None:
    tails, reader = Tails(), Looker([1])
    tails.follow([5, 6], reader)
    assert (sorted(tails.watched()), tails.waiting()) == ([5, 6], 1)
    tails.unfollow([5, 6], reader)
    assert (tails.watched(), tails.waiting()) == ([], 0)
