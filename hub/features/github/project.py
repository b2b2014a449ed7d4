"""Rows of openings from their events, and rows to values."""

from __future__ import annotations

from typing import LiteralString

import orjson

from hub.core.event import Placed
from hub.core.names import make_id, split_id
from hub.core.times import optional_rfc3339, rfc3339
from hub.features.github import rules
from hub.features.github.contract import (
    OPENING_LETTER,
    GithubAllowed,
    GithubAsked,
    GithubNotOpened,
    GithubOpened,
    GithubRetried,
    Opening,
)
from hub.log.log import agent_name, load_stream, projects
from hub.log.tail import OWN_TOPICS
from hub.storage.interface import Row, Tx

TOPIC = -(OWN_TOPICS + 7)  # wakes the workers
NEVER = 1 << 62
LOOK_THEN_SEND = "look, then send"  # a step of a call, besides "send" and "look"
SELECT: LiteralString = (
    "select o.*, c.due_at, c.reason as waiting from github_opening o"
    " left join github_call c on c.log = o.log and c.seq = o.seq"
)


@projects(GithubAllowed)
def allowed(tx: Tx, at: Placed, body: GithubAllowed) -> None:
    tx.run(
        "insert into github_room (log, repositories) values (:log, :repositories)"
        " on conflict (log) do update set repositories = excluded.repositories",
        log=at.log,
        repositories=orjson.dumps(body.repositories).decode(),
    )


@projects(GithubAsked)
def asked(tx: Tx, at: Placed, body: GithubAsked) -> None:
    about = orjson.dumps(body.about).decode()
    row = (at.log, at.seq, at.actor, body.kind, body.repo, body.title, about, body.head, body.base)
    tx.stage("github_opening", (*row, "queued", None, None, "", "", "[]", at.at_ms))


def _seq(opening: str) -> int:
    return split_id(OPENING_LETTER, opening)[1]


@projects(GithubRetried)
def retried(tx: Tx, at: Placed, body: GithubRetried) -> None:
    tx.run(
        "update github_opening set state = 'queued', code = '', reason = '' where log = :log and seq = :seq",
        log=at.log,
        seq=_seq(body.opening),
    )


@projects(GithubOpened)
def opened(tx: Tx, at: Placed, body: GithubOpened) -> None:
    tx.run(
        "update github_opening set state = 'opened', number = :number, url = :url, not_linked = :not_linked, code = '',"
        " reason = '' where log = :log and seq = :seq",
        number=body.number,
        url=body.url,
        not_linked=orjson.dumps(body.not_linked).decode(),
        log=at.log,
        seq=_seq(body.opening),
    )


@projects(GithubNotOpened)
def not_opened(tx: Tx, at: Placed, body: GithubNotOpened) -> None:
    tx.run(
        "update github_opening set state = :state, code = :code, reason = :reason where log = :log and seq = :seq",
        state=body.state,
        code=body.code,
        reason=body.reason,
        log=at.log,
        seq=_seq(body.opening),
    )


def load_repositories(tx: Tx, log: int) -> tuple[str, ...]:
    """Where the room may send, the usual one first."""
    row = tx.row("select repositories from github_room where log = :log", log=log)
    return () if row is None else tuple(orjson.loads(row[0]))


def find_opening(tx: Tx, log: int, opening: str) -> Row:
    """The row of an opening in a room. Raises OpeningNotFound."""
    in_log, seq = split_id(OPENING_LETTER, opening, rules.OpeningNotFound)
    row = tx.row(SELECT + " where o.log = :log and o.seq = :seq", log=log, seq=seq) if in_log == log else None
    if row is None:
        raise rules.OpeningNotFound(f"{opening!r} is not in this room; github.list shows what was asked for here")
    return row


def about_of(row: Row) -> tuple[str, ...]:
    return tuple(orjson.loads(row["about"]))


def view(tx: Tx, row: Row) -> Opening:
    """An opening as everyone sees it."""
    queued = row["state"] == "queued"
    return Opening(
        id=make_id(OPENING_LETTER, row["log"], row["seq"]),
        room=load_stream(tx, row["log"]).name,
        kind=row["kind"],
        repo=row["repo"],
        state=row["state"],
        by=agent_name(tx, row["agent"]),
        at=rfc3339(row["at"]),
        title=row["title"],
        about=about_of(row),
        head=row["head"],
        base=row["base"],
        number=row["number"],
        url=row["url"],
        reason=(row["waiting"] or "") if queued else row["reason"],
        code=row["code"],
        next_try_at=optional_rfc3339(row["due_at"]) if queued and row["waiting"] else None,
        not_linked=tuple(orjson.loads(row["not_linked"])),
    )


def load_missing(tx: Tx, now_ms: int) -> str:
    """What the hubs that run now lack to reach GitHub; empty when one lacks nothing."""
    rows = tx.rows("select missing from github_hub where until > :now order by missing", now=now_ms)
    return rows[0][0] if rows else rules.STARTING
