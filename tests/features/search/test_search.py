"""Search finds what a caller may read, and nothing else."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.errors import Invalid
from hub.features.messages.contract import EditMessage, PostMessage, RedactMessage
from hub.features.search.cleaning import clean
from hub.features.search.contract import Search
from hub.features.search.rules import fts_query
from hub.kernel.rooms.contract import CreateRoom, JoinRoom
from hub.server.timers import Clockwork
from hub.storage.search import SearchIndex
from tests.support.hubs import TestHub

pytestmark = pytest.mark.anyio


async def test_search_finds_words_phrases_prefixes_and_leaves_out(surface_hub: TestHub) -> None:
    ada = await surface_hub.agent("ada")
    await ada.call(CreateRoom(room="build"))
    for text in ("the quick brown fox", "brown bread is quick", "Über naïve café"):
        await ada.call(PostMessage(room="build", text=text))

    async def found(q: str) -> list[str]:
        return [m.text for m in (await ada.call(Search(q=q))).items]

    assert await found("quick brown") == ["brown bread is quick", "the quick brown fox"]
    assert await found('"quick brown"') == ["the quick brown fox"]
    assert await found("brown -bread") == ["the quick brown fox"]
    assert await found("bre*") == ["brown bread is quick"]
    assert await found("cafe uber") == ["Über naïve café"]


async def test_an_edit_is_found_by_its_new_text_and_a_redacted_message_not_at_all(surface_hub: TestHub) -> None:
    ada = await surface_hub.agent("ada")
    await ada.call(CreateRoom(room="build"))
    sent = await ada.call(PostMessage(room="build", text="aardvark"))
    assert len((await ada.call(Search(q="aardvark"))).items) == 1
    await ada.call(EditMessage(room="build", message=sent.id, text="badger"))
    assert (await ada.call(Search(q="aardvark"))).items == ()
    assert len((await ada.call(Search(q="badger"))).items) == 1
    await ada.call(RedactMessage(room="build", message=sent.id))
    assert (await ada.call(Search(q="badger"))).items == ()


async def test_other_rooms_are_never_found_and_membership_counts_at_query_time(surface_hub: TestHub) -> None:
    ada, eve = await surface_hub.agent("ada"), await surface_hub.agent("eve")
    await ada.call(CreateRoom(room="build", open_to="all"))
    await eve.call(CreateRoom(room="own"))
    await ada.call(PostMessage(room="build", text="confidential"))
    assert (await eve.call(Search(q="confidential"))).items == ()
    await eve.call(JoinRoom(room="build"))
    page = await eve.call(Search(q="confidential"))
    assert len(page.items) == 1
    assert page.indexed_to["build"] >= page.items[0].seq


async def test_a_thrown_away_index_is_filled_again(hub: TestHub) -> None:
    ada = await hub.agent("ada")
    await ada.call(CreateRoom(room="build"))
    await ada.call(PostMessage(room="build", text="phoenix"))
    assert len((await ada.call(Search(q="phoenix"))).items) == 1
    hub.app.dispatch.service(SearchIndex).close()
    (hub.app.settings.home / "search.db").write_bytes(b"not a database at all, really not" * 100)
    assert len((await ada.call(Search(q="phoenix"))).items) == 1


async def test_an_expired_or_redacted_text_leaves_the_index_without_a_search(hub: TestHub) -> None:
    ada = await hub.agent("ada")
    await ada.call(CreateRoom(room="build"))
    await ada.call(PostMessage(room="build", text="zebrafish one", ttl_s=10))
    two = await ada.call(PostMessage(room="build", text="xylophone two"))
    await ada.call(PostMessage(room="build", text="plain three"))
    assert len((await ada.call(Search(q="zebrafish"))).items) == 1
    hub.clock.advance(11)
    await hub.app.dispatch.service(Clockwork).run_due()
    await ada.call(RedactMessage(room="build", message=two.id))
    index, stream = hub.app.dispatch.service(SearchIndex), hub.app.dispatch.tails.rewritten.copy().pop()
    assert await clean(hub.app.store, index, stream) == 2
    index.close()
    for file in hub.app.settings.home.glob("search.db*"):
        assert not any(word in file.read_bytes() for word in (b"zebrafish", b"xylophone")), file
    assert [m.text for m in (await ada.call(Search(q="plain"))).items] == ["plain three"]


@given(st.text(max_size=60))
def test_no_input_is_a_syntax_error(text: str) -> None:
    import sqlite3

    connection = sqlite3.connect(":memory:")
    connection.execute("create virtual table t using fts5(text)")
    try:
        connection.execute("select * from t where t match ?", [fts_query(text)]).fetchall()
    except Invalid:
        pass
    finally:
        connection.close()


def test_an_index_whose_making_was_cut_short_is_made_again(tmp_path: Path) -> None:
    half = sqlite3.connect(tmp_path / "search.db")
    half.execute("create table message (id integer primary key, text text)")
    half.close()
    index = SearchIndex(tmp_path / "search.db")
    index.add(1, 1, 5, [(5, "found again")])
    assert index.search("again", [1], 10) == [(1, 5)]
    assert index.streams() == [1]
    index.close()
