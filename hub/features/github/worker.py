"""Sends what rooms asked for to GitHub, once, and links what came of it.

Before GitHub is called the row in `github_call` says "look": whoever finds it after a crash looks for the marker in
GitHub's own list and never sends again by itself. It acts with the rights the asker has at that moment.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

from pydantic import ValidationError

from hub.core.access import ALL_SCOPES, Principal
from hub.core.call import Call
from hub.core.errors import HubError, Invalid
from hub.core.names import make_id, split_id
from hub.features.discussion.contract import Decision, ListDecisions
from hub.features.github import rules
from hub.features.github.contract import (
    NAMES,
    OPENING_LETTER,
    GithubAsked,
    GithubNotOpened,
    GithubOpened,
)
from hub.features.github.project import LOOK_THEN_SEND, NEVER, TOPIC, about_of, load_repositories
from hub.features.github.remote import GithubApi, Wanted
from hub.features.github.rules import Absent, Doubtful, Later, Made, Outcome, Refused, Source
from hub.features.hooks.contract import ListHooks
from hub.features.kanban.contract import Card, GetCard, MoveCard, UpdateCard
from hub.features.messages.contract import GetMessage
from hub.kernel.agents.project import load_agent
from hub.kernel.messages.draft import Draft
from hub.kernel.messages.post import answering, post
from hub.kernel.rooms.project import Entered, load_member, load_room
from hub.log.handler import HANDLERS
from hub.log.log import agent_name, append, hold, load_body, read_event
from hub.log.worker import Host, Worker
from hub.storage.interface import Row, Tx

log = logging.getLogger(__name__)
LEASE_MS: Final = 120_000  # longer than any call to GitHub takes
ALIVE_MS: Final = 30_000
_LONG_S: Final = 3600.0


# --- what an issue is made from ----------------------------------------------------------------------------------


def sources(tx: Tx, call: Call, room: str, about: Sequence[str]) -> list[Source]:
    """Messages, cards and decisions as the caller may read them. Raises SourceNotFound or what reading raises."""
    readers = {"m": _message, "c": _card, "d": _decision}
    return [readers[rules.need_source_kind(thing)](tx, call, room, thing) for thing in about]


def _message(tx: Tx, call: Call, room: str, thing: str) -> Source:
    found = HANDLERS[GetMessage](tx, call, GetMessage(room=room, message=thing)).message
    if found.tombstone is not None:
        raise rules.SourceNotFound(f"{thing} was {found.tombstone}; there is nothing left to quote")
    return Source(thing, "Message", found.sender, found.at, found.text.strip().split("\n", 1)[0], found.text)


def _card(tx: Tx, call: Call, room: str, thing: str) -> Source:
    card: Card = HANDLERS[GetCard](tx, call, GetCard(room=room, card=thing))
    items = "\n".join(f"- [{'x' if item.done else ' '}] {item.text}" for item in card.checklist)
    text = "\n\n".join(part for part in (card.title, card.body, items) if part)
    return Source(thing, "Card", card.by, card.created_at, card.title, text)


def _decision(tx: Tx, call: Call, room: str, thing: str) -> Source:
    in_log, seq = split_id("d", thing, rules.SourceNotFound)
    after = make_id("d", in_log, seq + 1)
    found = HANDLERS[ListDecisions](tx, call, ListDecisions(room=room, before=after, limit=1)).items
    if not found or found[0].id != thing:
        raise rules.SourceNotFound(f"decision {thing} is not in this room; decisions.list shows its register")
    one: Decision = found[0]
    text = f"{one.what}\n\nOutcome: {one.outcome}. By: {', '.join(one.by)}."
    return Source(thing, "Decision", ", ".join(one.by), one.at, one.what, text)


# --- sending -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Job:
    """One thing to do now: send it, or look whether it is at GitHub."""

    log: int
    seq: int
    step: str
    wanted: Wanted


class GithubWorker:
    """This hub among those that speak to GitHub. `pause_s` lies between two calls that make something."""

    def __init__(self, host: Host, api: GithubApi | None, missing: str) -> None:
        self._host, self.api, self.missing = host, api, missing
        self.id = secrets.token_hex(8)
        self.pause_s = 1.0  # GitHub's advice for requests that create content

    async def run(self) -> None:
        """Do what is due, until cancelled."""
        while True:
            stamp, waits = self._host.tails.stamp, True
            try:
                while await self.work():
                    pass
                waits = await self._host.store.read(_something_waits)
            except HubError as error:
                log.warning("GitHub will be called again: %s", error.detail)
            except Exception:  # a bug of ours: the row says how far it came
                log.exception("sending to GitHub failed and will be tried again")
            await self._host.tails.wait([TOPIC], stamp, self._patience_s(waits=waits))
            if self._host.store.locking:
                with suppress(HubError):
                    await self._host.store.write(self.appear)

    def _patience_s(self, *, waits: bool) -> float:
        if waits:
            return 1.0
        return ALIVE_MS / 3000 if self._host.store.locking else _LONG_S

    async def work(self) -> bool:
        """Do one thing that is due; whether there was one."""
        job = await self._host.store.write(lambda tx: _take(tx, self._host.system_call(), self.id))
        if job is None:
            return False
        if isinstance(job, Job) and self.api is not None:
            sending = job.step == "send"
            outcome = await (self.api.open(job.wanted) if sending else self.api.find(job.wanted))
            await self._record(job, outcome)
            if sending:
                await asyncio.sleep(self.pause_s)
        return True

    async def _record(self, job: Job, outcome: Outcome) -> None:
        await self._host.store.write(
            lambda tx: record(tx, self._host.system_call(), self.id, job, outcome), locks=(job.log,)
        )
        name = make_id(OPENING_LETTER, job.log, job.seq)
        log.info("github: %s %s: %s", name, job.step, type(outcome).__name__.lower())

    def arrive(self, tx: Tx) -> None:
        """Begin: what was left over is looked for before it is sent, for the data may be an older copy of itself."""
        if not self._host.store.locking:  # the only hub over this data: whoever else was there is dead
            tx.run("delete from github_hub")
            tx.run("update github_call set due_at = 0, owner = '' where owner <> '' and due_at < :never", never=NEVER)
        tx.run("update github_call set step = :look where step = 'send'", look=LOOK_THEN_SEND)
        self.appear(tx)

    def appear(self, tx: Tx) -> None:
        """Be known as a hub that can, or cannot, speak to GitHub."""
        now_ms = self._host.system_call().now_ms
        tx.run(
            "insert into github_hub (id, missing, until) values (:id, :missing, :until)"
            " on conflict (id) do update set until = excluded.until",
            id=self.id,
            missing=self.missing,
            until=now_ms + ALIVE_MS if self._host.store.locking else NEVER,
        )

    def leave(self, tx: Tx) -> None:
        tx.run("delete from github_hub where id = :id", id=self.id)


def _something_waits(tx: Tx) -> bool:
    return tx.row("select 1 from github_call where due_at < :never limit 1", never=NEVER) is not None


def _call_row(tx: Tx, stream: int, seq: int) -> Row | None:
    return tx.row("select * from github_call where log = :log and seq = :seq", log=stream, seq=seq)


def _opening_row(tx: Tx, stream: int, seq: int) -> Row | None:
    return tx.row("select * from github_opening where log = :log and seq = :seq", log=stream, seq=seq)


def _take(tx: Tx, call: Call, hub: str) -> Job | bool | None:
    """What this hub does next; True when something was settled without GitHub, None when nothing is due."""
    first = tx.row(
        "select log, seq from github_call where due_at <= :now order by due_at, log, seq limit 1", now=call.now_ms
    )
    if first is None:
        return None
    stream, seq = first[0], first[1]
    hold(tx, stream)
    row, opening = _call_row(tx, stream, seq), _opening_row(tx, stream, seq)
    if row is None or row["due_at"] > call.now_ms:
        return True  # another hub was quicker
    if opening is None:
        tx.run("delete from github_call where log = :log and seq = :seq", log=stream, seq=seq)
        return True
    try:
        wanted = _wanted(tx, call, row, opening, sending=row["step"] == "send")
    except HubError as refused:
        _not_opened(tx, call, row, opening, "failed", refused.code, refused.detail)
        return True
    job = Job(stream, seq, row["step"], wanted)
    step = "look" if row["step"] == "send" else row["step"]
    _put_off(tx, row, step, row["tries"], call.now_ms + LEASE_MS, "", owner=hub)
    return job


def _put_off(tx: Tx, row: Row, step: str, tries: int, due_at: int, reason: str, *, owner: str = "") -> None:
    tx.run(
        "update github_call set step = :step, tries = :tries, due_at = :due, reason = :reason, owner = :owner"
        " where log = :log and seq = :seq",
        step=step,
        tries=tries,
        due=due_at,
        reason=reason,
        owner=owner,
        log=row["log"],
        seq=row["seq"],
    )


def _wanted(tx: Tx, call: Call, row: Row, opening: Row, *, sending: bool) -> Wanted:
    """What is to be sent, as it is now. Raises HubError when the asker may not, or nothing is left of it."""
    stream, room = row["log"], load_room(tx, row["log"])
    event = read_event(tx, stream, row["seq"])
    asked = load_body(event.type, event.data) if event is not None and event.tombstone is None else None
    given = asked if isinstance(asked, GithubAsked) else GithubAsked(kind=opening["kind"], repo=opening["repo"])
    title, body = "", ""
    if sending:
        rules.may_send(_member_of(tx, stream, opening["agent"]), archived=room.archived_at is not None)
        rules.choose_repository(load_repositories(tx, stream), opening["repo"])
        found = _still_there(tx, _as(tx, call, opening["agent"]), room.name, about_of(opening))
        title = rules.title_of(opening["title"], found)
        body = rules.compose(given.body, found, room.name, agent_name(tx, opening["agent"]), row["marker"])
    return Wanted(
        kind=opening["kind"],
        repo=opening["repo"],
        title=title,
        body=body,
        marker=row["marker"],
        asked_at_ms=row["asked_at"],
        labels=given.labels,
        assignees=given.assignees,
        head=opening["head"],
        base=opening["base"],
        draft=given.draft,
    )


def _member_of(tx: Tx, stream: int, agent: int) -> str | None:
    member = load_member(tx, stream, agent)
    return None if member is None else member.access


def _still_there(tx: Tx, call: Call, room: str, about: Sequence[str]) -> list[Source]:
    """The sources that were not blanked since."""
    found = []
    for thing in about:
        with suppress(HubError):
            found += sources(tx, call, room, (thing,))
    return found


def _as(tx: Tx, call: Call, agent: int) -> Call:
    """A call with the asker's rights in rooms."""
    known = load_agent(tx, agent)
    who = Principal(agent=agent, name=known.name, kind=known.kind, scopes=ALL_SCOPES, owner=known.owner)
    return Call(who, call.now_ms, call.random, call.presence)


# --- what came of it ---------------------------------------------------------------------------------------------


def record(tx: Tx, call: Call, hub: str, job: Job, outcome: Outcome) -> None:
    """Write down what became of a job. What another hub has taken over meanwhile is left to it, but not a success."""
    hold(tx, job.log)
    row, opening = _call_row(tx, job.log, job.seq), _opening_row(tx, job.log, job.seq)
    if row is None or opening is None:
        return
    if isinstance(outcome, Made):
        _opened(tx, call, opening, outcome)
    elif row["owner"] == hub and job.step == "send":
        _not_sent(tx, call, row, opening, outcome)
    elif row["owner"] == hub:
        _not_found(tx, call, row, opening, outcome)


def _not_sent(tx: Tx, call: Call, row: Row, opening: Row, outcome: Outcome) -> None:
    now_ms, tries = call.now_ms, row["tries"] + 1
    if isinstance(outcome, Refused):
        _not_opened(tx, call, row, opening, "failed", outcome.code, outcome.reason)
    elif isinstance(outcome, Later):
        wait_s = rules.pause_s(row["tries"]) if outcome.wait_s is None else outcome.wait_s
        if tries >= rules.SENDS or wait_s > rules.LONGEST_WAIT_S:
            reason = f"{outcome.reason}; nothing was sent, try it again later with github.retry"
            _not_opened(tx, call, row, opening, "failed", outcome.code, reason)
        else:
            _put_off(tx, row, "send", tries, now_ms + int(wait_s * 1000), outcome.reason)
    elif isinstance(outcome, Doubtful):
        _put_off(tx, row, "look", 0, now_ms + int(rules.pause_s(0) * 1000), outcome.reason)


def _not_found(tx: Tx, call: Call, row: Row, opening: Row, outcome: Outcome) -> None:
    """It was looked for: send it if that was asked for, else look again, and in the end say that nobody knows."""
    if isinstance(outcome, Absent) and row["step"] == LOOK_THEN_SEND:
        _put_off(tx, row, "send", 0, call.now_ms, "")
        return
    why = "GitHub's list does not have it" if isinstance(outcome, Absent) else getattr(outcome, "reason", "")
    tries = row["tries"] + 1
    if tries < rules.LOOKS:
        wait_s = getattr(outcome, "wait_s", None) or rules.pause_s(tries)
        _put_off(tx, row, row["step"], tries, call.now_ms + int(wait_s * 1000), why)
        return
    reason = (
        f"nobody knows whether GitHub made it: the answer was lost, and now {why}. Look there; github.retry looks"
        " again and sends it only if it is not there"
    )
    _not_opened(tx, call, row, opening, "unknown", "unknown", reason)


def _not_opened(tx: Tx, call: Call, row: Row, opening: Row, state: Any, code: str, reason: str) -> None:
    name = make_id(OPENING_LETTER, row["log"], row["seq"])
    event = GithubNotOpened(opening=name, asker=opening["agent"], state=state, code=code, reason=reason[:1500])
    append(tx, call, row["log"], event, actor=0)
    if state == "unknown":  # its marker must stay: a later look may still find it
        _put_off(tx, row, "look", 0, NEVER, reason)
    else:
        tx.run("delete from github_call where log = :log and seq = :seq", log=row["log"], seq=row["seq"])


def _opened(tx: Tx, call: Call, opening: Row, made: Made) -> None:
    """It is there: link it to what it is about, tell the room, and be done."""
    stream, about = opening["log"], about_of(opening)
    not_linked = _link(tx, call, opening, made)
    event = GithubOpened(
        opening=make_id(OPENING_LETTER, stream, opening["seq"]),
        asker=opening["agent"],
        kind=opening["kind"],
        repo=opening["repo"],
        number=made.number,
        url=made.url,
        about=about,
        not_linked=tuple(not_linked),
    )
    append(tx, call, stream, event, actor=0)
    tx.run("delete from github_call where log = :log and seq = :seq", log=stream, seq=opening["seq"])


def _link(tx: Tx, call: Call, opening: Row, made: Made) -> list[str]:
    """Put the address on cards and under messages (decisions take it from the event); what did not work, and why."""
    room, member = load_room(tx, opening["log"]), load_member(tx, opening["log"], opening["agent"])
    if member is None or room.archived_at is not None:
        return [f"{thing}: the room is archived, or the asker left it" for thing in about_of(opening)]
    not_linked, acting = [], _as(tx, call, opening["agent"])
    for card in [thing for thing in about_of(opening) if thing.startswith("c")]:
        try:
            _link_card(tx, acting, room.name, card, made.url, pull=opening["kind"] == "pull")
        except HubError as refused:
            not_linked.append(f"{card}: {refused.detail[:200]}")
    entered = Entered(room, member)
    text = f"{agent_name(tx, opening['agent'])} opened {NAMES[opening['kind']]} {opening['repo']}#{made.number}: {made.url}"
    messages: list[str | None] = [thing for thing in about_of(opening) if thing.startswith("m")]
    for message in messages or [None]:
        try:
            _tell(tx, call, entered, opening, text, message, made.url)
        except HubError as refused:
            not_linked.append(f"{message or 'the room'}: {refused.detail[:200]}")
    return not_linked


def _tell(tx: Tx, call: Call, entered: Entered, opening: Row, text: str, message: str | None, url: str) -> None:
    """A line in the thread of the message, or in the room where it is about none."""
    others = [thing for thing in about_of(opening) if not thing.startswith("m")]
    shown = f"{text} ({', '.join(others)})" if others and message is None else text
    metadata = {"github": make_id(OPENING_LETTER, opening["log"], opening["seq"]), "url": url}
    draft = Draft(text=shown, reply_to=message, metadata=metadata, tags=("github",))
    owner = load_agent(tx, opening["agent"]).owner
    hub = Principal(agent=0, name="hub", kind="script", scopes=ALL_SCOPES, owner=owner)
    acting = Call(hub, call.now_ms, call.random, call.presence)
    post(tx, acting, entered, answering(tx, acting, entered, draft))


def _link_card(tx: Tx, call: Call, room: str, card: str, url: str, *, pull: bool) -> None:
    found: Card = HANDLERS[GetCard](tx, call, GetCard(room=room, card=card))
    if url not in found.links:
        try:
            change = UpdateCard(room=room, card=card, version=found.version, links=(*found.links, url))
        except ValidationError:
            raise Invalid(f"{card} has {len(found.links)} links and takes no more") from None
        found = HANDLERS[UpdateCard](tx, call, change)
    if pull and (column := _review_column(tx, call, room)) and found.column != column:
        # GitHub's own call may have come before the link was there
        with suppress(HubError):
            HANDLERS[MoveCard](tx, call, MoveCard(room=room, card=card, version=found.version, column=column))


def _review_column(tx: Tx, call: Call, room: str) -> str | None:
    """Where the room's GitHub hook sends cards whose pull request is opened."""
    hooks = HANDLERS[ListHooks](tx, call, ListHooks(room=room)).items
    return next((hook.moves["review"] for hook in hooks if hook.source == "github" and "review" in hook.moves), None)


def _say_why(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("nothing more is sent to GitHub until the hub is started again", exc_info=error)


@asynccontextmanager
async def running(host: Host) -> AsyncIterator[None]:
    """Speak to GitHub as long as the hub lives, if it has a token."""
    token, address = host.settings.github_token, host.settings.github_api
    missing = "" if token and find_spec("githubkit") else rules.UNINSTALLED if token else rules.UNCONFIGURED
    worker = GithubWorker(host, None if missing else GithubApi(token, address), missing)
    host.provide(worker)
    await host.store.write(worker.arrive)
    task = None if missing else asyncio.create_task(worker.run())
    if task is not None:
        task.add_done_callback(_say_why)
    try:
        yield
    finally:
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        with suppress(HubError):
            await host.store.write(worker.leave)


WORKERS: Final[list[Worker]] = [running]
