"""Answering a search: index what is new, look, and show only what the caller may read now."""

from __future__ import annotations

import asyncio
from functools import partial

import orjson

from hub.core.call import Call
from hub.core.errors import Invalid
from hub.features.search.contract import SEARCH, Found, Search
from hub.features.search.rules import fts_query
from hub.kernel.messages.contract import Message
from hub.kernel.messages.project import find_view_row, message_row, message_seq, tombstone, view
from hub.kernel.rooms.project import enter, load_member, load_room, rooms_of
from hub.log.handler import Hub, answers
from hub.log.log import Stream, load_stream
from hub.storage.interface import Tx
from hub.storage.search import SearchIndex

_PAGE = 500


@answers(SEARCH)
async def search(hub: Hub, call: Call, request: Search) -> Found:
    query = fts_query(request.q)
    index = hub.service(SearchIndex)
    streams = await hub.store.read(lambda tx: _streams(tx, call, request.room))
    for stream in streams:
        await _catch_up(hub, index, stream)
    logs = [stream.log for stream in streams]
    if not logs:
        raise Invalid("you are in no room yet, so there is nothing to search; join one")
    hits = await asyncio.to_thread(index.search, query, logs, request.limit * 3 + 1)
    found = await hub.store.read(lambda tx: _visible(tx, call, hits, request))
    return Found(
        items=tuple(found[: request.limit]),
        has_more=len(found) > request.limit,
        indexed_to={stream.name: stream.head for stream in streams},
    )


def _streams(tx: Tx, call: Call, room: str | None) -> list[Stream]:
    logs = [enter(tx, call, room).log] if room else rooms_of(tx, call.agent)
    return [load_stream(tx, log) for log in logs]


async def _catch_up(hub: Hub, index: SearchIndex, stream: Stream) -> None:
    """Index the stream up to its head, a page at a time, off the loop."""
    async with index.turn:
        reached = await asyncio.to_thread(index.reached, stream.log, stream.epoch)
        while reached < stream.head:
            texts, gone, reached = await hub.store.read(partial(_texts, log=stream.log, after=reached), long=True)
            await asyncio.to_thread(index.add, stream.log, stream.epoch, reached, texts, gone)


def _texts(tx: Tx, log: int, after: int) -> tuple[list[tuple[int, str]], list[int], int]:
    """Texts by message number, numbers whose text is gone, and how far this page reached."""
    rows = tx.rows(
        "select seq, type, data, tombstone from event where log = :log and seq > :after order by seq limit :limit",
        log=log,
        after=after,
        limit=_PAGE,
    )
    texts: dict[int, str] = {}
    gone: list[int] = []
    for row in rows:
        if row[1] == "message.posted" and row[3] is None:
            texts[row[0]] = orjson.loads(bytes(row[2]))["text"]
        elif row[1] == "message.edited" and row[3] is None:
            data = orjson.loads(bytes(row[2]))
            texts[message_seq(log, data["message"])] = data["text"]
        elif row[1] == "message.redacted":
            seq = message_seq(log, orjson.loads(bytes(row[2]))["message"])
            texts.pop(seq, None)
            gone.append(seq)
    return list(texts.items()), gone, rows[-1][0] if rows else after + _PAGE


def _visible(tx: Tx, call: Call, hits: list[tuple[int, int]], request: Search) -> list[Message]:
    """The hits as messages, without what is gone, hidden, or from before the caller joined."""
    made = []
    for log, seq in hits:
        member = load_member(tx, log, call.agent)
        row = find_view_row(tx, log, seq)
        if member is None or row is None or tombstone(message_row(row), call.now_ms):
            continue
        if load_room(tx, log).settings.history == "since_join" and seq < member.joined_seq:
            continue
        message = view(tx, row, call.now_ms)
        if request.sender is None or message.sender == request.sender:
            made.append(message)
    return made
