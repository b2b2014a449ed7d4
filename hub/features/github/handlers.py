"""One function per operation: load, decide, append, return. Nothing here speaks to GitHub; worker.py does."""

from __future__ import annotations

from typing import Any

from hub.core.call import Call
from hub.core.names import make_id
from hub.features.github import contract as c
from hub.features.github import rules
from hub.features.github.project import (
    LOOK_THEN_SEND,
    NEVER,
    SELECT,
    TOPIC,
    about_of,
    find_opening,
    load_missing,
    load_repositories,
    view,
)
from hub.features.github.worker import sources
from hub.kernel.rooms.project import Entered, enter, enter_to_write, refuse_direct
from hub.log.handler import handles
from hub.log.log import append
from hub.storage.interface import Row, Tx


@handles(c.GITHUB)
def get_github(tx: Tx, call: Call, request: c.GetGithub) -> c.Github:
    return _github(tx, call, enter(tx, call, request.room))


def _github(tx: Tx, call: Call, entered: Entered) -> c.Github:
    repositories = load_repositories(tx, entered.log)
    return c.Github(room=entered.room.name, repositories=repositories, missing=load_missing(tx, call.now_ms))


@handles(c.ALLOW)
def allow_github(tx: Tx, call: Call, request: c.AllowGithub) -> c.Github:
    refuse_direct(request.room, "GitHub")
    entered = enter_to_write(tx, call, request.room, "owner")
    wanted = tuple({repo.casefold(): repo for repo in reversed(request.repositories)}.values())[::-1]
    if wanted != load_repositories(tx, entered.log):
        append(tx, call, entered.log, c.GithubAllowed(repositories=wanted))
    return _github(tx, call, entered)


@handles(c.ISSUE)
def open_issue(tx: Tx, call: Call, request: c.OpenIssue) -> c.Opening:
    return _ask(tx, call, request, "issue", labels=request.labels, assignees=request.assignees)


@handles(c.PULL)
def open_pull(tx: Tx, call: Call, request: c.OpenPull) -> c.Opening:
    return _ask(tx, call, request, "pull", head=request.head, base=request.base, draft=request.draft)


def _ask(tx: Tx, call: Call, request: c.OpenIssue | c.OpenPull, kind: c.Kind, **more: Any) -> c.Opening:
    entered = enter_to_write(tx, call, request.room)
    log = entered.log
    repo = rules.choose_repository(load_repositories(tx, log), request.repo)
    if missing := load_missing(tx, call.now_ms):
        raise rules.GithubOff(missing)
    found = sources(tx, call, request.room, request.about)
    rules.title_of(request.title, found)
    if not request.again:
        _must_be_new(tx, log, kind, repo, request)
    _must_not_be_too_many(tx, log)
    given = request.model_dump(include={"title", "body", "about"})
    seq = append(tx, call, log, c.GithubAsked(kind=kind, repo=repo, **given, **more)).seq
    _plan(tx, call, log, seq, "send")
    return _view(tx, log, seq)


def _must_be_new(tx: Tx, log: int, kind: c.Kind, repo: str, request: c.OpenIssue | c.OpenPull) -> None:
    rows = tx.rows(
        SELECT + " where o.log = :log and o.kind = :kind and o.repo = :repo and o.state <> 'failed'"
        " and o.about <> '[]' order by o.seq desc",
        log=log,
        kind=kind,
        repo=repo,
    )
    row = rules.same(((about_of(row), row) for row in rows), request.about)
    if row is not None:
        there = view(tx, row)
        raise rules.AlreadyAtGithub(
            f"{there.by} asked for this {c.NAMES[kind]} already: {there.id} is {there.state}"
            f"{f', {there.url}' if there.url else ''}. Open another one with again=true, if it is really another",
            opening=there.model_dump(mode="json"),
        )


def _must_not_be_too_many(tx: Tx, log: int) -> None:
    row = tx.row("select count(*) from github_call where log = :log and due_at < :never", log=log, never=NEVER)
    if row is not None and row[0] >= rules.MOST_WAITING:
        raise rules.GithubBusy(f"{row[0]} issues and pull requests of this room wait to be sent; try again later")


def _plan(tx: Tx, call: Call, log: int, seq: int, step: str) -> None:
    """Note what is to be done, before anything is done. The marker finds it at GitHub after a crash."""
    tx.run(
        "insert into github_call (log, seq, step, marker, tries, due_at, owner, asked_at, reason)"
        " values (:log, :seq, :step, :marker, 0, :now, '', :now, '')"
        " on conflict (log, seq) do update set step = excluded.step, tries = 0, due_at = excluded.due_at, owner = ''",
        log=log,
        seq=seq,
        step=step,
        marker=f"opened-by-multi-agent-bridge:{call.random(16).hex()}",
        now=call.now_ms,
    )
    tx.wake(TOPIC)


def _view(tx: Tx, log: int, seq: int) -> c.Opening:
    return view(tx, find_opening(tx, log, make_id(c.OPENING_LETTER, log, seq)))


@handles(c.PREVIEW)
def preview(tx: Tx, call: Call, request: c.PreviewOpening) -> c.Preview:
    entered = enter(tx, call, request.room)
    repo = rules.choose_repository(load_repositories(tx, entered.log), request.repo)
    found = sources(tx, call, request.room, request.about)
    return c.Preview(
        kind=request.kind,
        repo=repo,
        title=rules.title_of(request.title, found),
        body=rules.compose(request.body, found, request.room, call.principal.name),
        about=request.about,
        head=request.head,
        base=request.base,
    )


@handles(c.LIST)
def list_openings(tx: Tx, call: Call, request: c.ListOpenings) -> c.Openings:
    log = enter(tx, call, request.room).log
    rows = tx.rows(
        SELECT + " where o.log = :log and (:about = '' or o.about like :like) order by o.seq desc limit :limit",
        log=log,
        about=request.about or "",
        like=f'%"{request.about}"%',  # ids hold no character that `like` takes for another
        limit=request.limit + 1,
    )
    items = tuple(view(tx, row) for row in rows[: request.limit])
    return c.Openings(items=items, has_more=len(rows) > request.limit)


@handles(c.GET)
def get_opening(tx: Tx, call: Call, request: c.GetOpening) -> c.Opening:
    log = enter(tx, call, request.room).log
    call.watch(log)
    return view(tx, find_opening(tx, log, request.opening))


@handles(c.RETRY)
def retry_opening(tx: Tx, call: Call, request: c.RetryOpening) -> c.Opening:
    log = enter_to_write(tx, call, request.room).log
    row = find_opening(tx, log, request.opening)
    _must_be_retryable(tx, row)
    if missing := load_missing(tx, call.now_ms):
        raise rules.GithubOff(missing)
    rules.choose_repository(load_repositories(tx, log), row["repo"])
    append(tx, call, log, c.GithubRetried(opening=request.opening))
    _plan(tx, call, log, row["seq"], LOOK_THEN_SEND if row["state"] == "unknown" else "send")
    return _view(tx, log, row["seq"])


def _must_be_retryable(tx: Tx, row: Row) -> None:
    if row["state"] not in ("failed", "unknown"):
        there = view(tx, row)
        what = f"open: {there.url}" if there.url else "still waiting to be sent"
        raise rules.NotRetryable(f"{there.id} is {what}; there is nothing to try again", state=there.state)
