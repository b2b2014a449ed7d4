"""Rows of hooks from their events, and loading them back."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from hub.core.event import Placed
from hub.core.names import make_id, split_id
from hub.core.times import rfc3339
from hub.features.hooks.contract import Happening, Hook, HookCreated, HookRemoved, Source
from hub.features.hooks.rules import HookNotFound
from hub.log.log import agent_name, load_stream, projects
from hub.storage.interface import Row, Tx


@projects(HookCreated)
def created(tx: Tx, at: Placed, body: HookCreated) -> None:
    moves = orjson.dumps(body.moves, option=orjson.OPT_SORT_KEYS).decode()
    tx.stage("hook", (at.log, at.seq, at.actor, body.source, body.channel, moves, at.at_ms))


@projects(HookRemoved)
def removed(tx: Tx, at: Placed, body: HookRemoved) -> None:
    seq = split_id("h", body.hook)[1]
    tx.run("delete from hook where log = :log and seq = :seq", log=at.log, seq=seq)


@dataclass(frozen=True, slots=True)
class Known:
    """A hook as the one who checks a call needs it."""

    log: int
    seq: int
    agent: int
    source: Source
    channel: str
    moves: dict[Happening, str]
    secret: str


def load_hook(tx: Tx, hook: str) -> Known:
    """The hook with its secret. Raises HookNotFound."""
    log, seq = split_id("h", hook, HookNotFound)
    row = tx.row(
        "select agent, source, channel, moves, secret from hook join hook_secret s on s.log = hook.log and s.seq = hook.seq"
        " where hook.log = :log and hook.seq = :seq",
        log=log,
        seq=seq,
    )
    if row is None:
        raise HookNotFound(f"hook {hook!r} not found; list them with hooks.list")
    return Known(log, seq, row[0], row[1], row[2], orjson.loads(row[3]), row[4])


def view(tx: Tx, row: Row) -> Hook:
    """A hook without its secret."""
    hook = make_id("h", row["log"], row["seq"])
    return Hook(
        id=hook,
        room=load_stream(tx, row["log"]).name,
        source=row["source"],
        channel=row["channel"],
        path=f"/v1/hooks/{hook}",
        moves=orjson.loads(row["moves"]),
        by=agent_name(tx, row["agent"]),
        at=rfc3339(row["at"]),
    )
