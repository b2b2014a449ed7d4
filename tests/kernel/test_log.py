"""Numbers, time, cursors."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.cursor import Mark, decode, encode
from hub.core.errors import CursorInvalid, NotFound
from hub.core.names import make_id, split_id
from hub.core.slug import RESERVED, slug
from hub.features.messages.contract import PostMessage
from hub.kernel.inbox.contract import ReadEvents
from hub.kernel.rooms.contract import CreateRoom
from tests.support.hubs import TestHub


@pytest.mark.anyio
async def test_numbers_are_gapless_under_concurrent_writers(hub: TestHub) -> None:
    local = await hub.local()
    for room in ("one", "two"):
        await local.call(CreateRoom(room=room))
    sends = [local.call(PostMessage(room=room, text=str(i))) for i in range(60) for room in ("one", "two")]
    posted = await asyncio.gather(*sends)
    for room in ("one", "two"):
        items = (await local.call(ReadEvents(room=room, limit=1000))).items
        assert [e["seq"] for e in items] == list(range(1, len(items) + 1))
        assert [e["at"] for e in items] == sorted(e["at"] for e in items)
        mine = sorted(p.seq for p in posted if p.room == room)
        assert mine == [e["seq"] for e in items if e["type"] == "message.posted"]


@given(st.dictionaries(st.integers(1, 10**6), st.tuples(st.integers(1, 2**32), st.integers(0, 2**50)), max_size=20))
def test_a_cursor_comes_back_as_it_went(rooms: dict[int, tuple[int, int]]) -> None:
    marks = {log: Mark(log, epoch, seq) for log, (epoch, seq) in rooms.items()}
    assert decode(encode(marks.values())) == marks


@given(st.text(max_size=40))
def test_no_text_breaks_the_cursor_parser(text: str) -> None:
    with suppress(CursorInvalid):
        decode(text)


@given(st.integers(1, 2**40), st.integers(1, 2**40))
def test_an_id_comes_back_as_it_went(log: int, seq: int) -> None:
    assert split_id("m", make_id("m", log, seq)) == (log, seq)
    with pytest.raises(NotFound):
        split_id("c", make_id("m", log, seq))


@given(st.text(max_size=80))
def test_a_slug_is_always_a_valid_name(text: str) -> None:
    import re

    from hub.core.names import NAME_PATTERN

    made = slug(text)
    assert re.match(NAME_PATTERN, made)
    assert made not in RESERVED
