"""`queues …`: make, fill and empty queues; run any program as a worker."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from typing import Any, get_args

import click
import orjson

from hub.client import HubClient
from hub.client.fanout import bar
from hub.core.errors import HubError, Invalid
from hub.core.visible import visible
from hub.features.queues.contract import (
    AckTask,
    ClaimTasks,
    CreateQueue,
    DrainQueue,
    EnqueueTask,
    ExtendTask,
    GetQueue,
    GetTask,
    ListDead,
    ListQueues,
    ListWorkers,
    NackTask,
    PauseQueue,
    Priority,
    QueueInfo,
    QueueMode,
    RedriveQueue,
    RemoveWorker,
    ResumeQueue,
    SetWorker,
    Strategy,
    Task,
)
from mcp_bridge.commands.common import json_option, show, table, with_client

_WAIT_S = 50.0
priority_option = click.option("--priority", type=click.Choice(get_args(Priority)), default="normal")


@click.group()
def queues() -> None:
    """Hand out work, do it, look after queues."""


@queues.command("list")
@json_option
@with_client
async def list_(client: HubClient, as_json: bool) -> None:
    """The queues you may use."""
    found = await client.call(ListQueues())
    rows = [_row(item) for item in found.items]
    heads = ("queue", "mode", "open", "ready", "leased", "dead", "state")
    show(found, as_json, lambda: table(rows, heads) if rows else "no queues yet: mcp-bridge queues create NAME")


def _row(item: QueueInfo) -> tuple[str, ...]:
    state = "paused" if item.paused else "draining" if item.draining else ""
    mode = f"push, {item.strategy}" if item.mode == "push" else "pull"
    counts = (str(item.open), _most(item.ready), str(item.leased), _most(item.dead))
    return (item.queue, mode, *counts, state)


def _most(count: int) -> str:
    return "100+" if count >= 100 else str(count)


@queues.command("create")
@click.argument("queue")
@click.option("--for-all", is_flag=True, help="Open to every agent, not only to yours.")
@click.option("--mode", type=click.Choice(get_args(QueueMode)), default="pull", show_default=True)
@click.option("--strategy", type=click.Choice(get_args(Strategy)), default="round_robin", help="For push queues.")
@click.option("--max-attempts", type=int, default=5, show_default=True)
@json_option
@with_client
async def create(client: HubClient, queue: str, for_all: bool, as_json: bool, **fields: Any) -> None:
    """Make QUEUE."""
    made = CreateQueue.model_validate({"queue": queue, "open_to": "all" if for_all else "owner", **fields})
    found = await client.call(made)
    show(found, as_json, lambda: f"made queue {found.queue} ({found.mode})")


@queues.command("send")
@click.argument("queue")
@click.argument("body", required=False)
@priority_option
@click.option("--group", help="Tasks of a group run one at a time, in order.")
@click.option("--delay-s", type=float, default=0)
@click.option("--wait", is_flag=True, help="Wait for the result and print it.")
@json_option
@with_client
async def send(client: HubClient, queue: str, body: str | None, wait: bool, as_json: bool, **fields: Any) -> None:
    """Put one task into QUEUE; BODY (text or JSON) or standard input."""
    asked = {"queue": queue, "body": _value(sys.stdin.read() if body is None else body), **fields}
    made = await client.call(EnqueueTask.model_validate(asked))
    while wait and not made.settled():
        made = await client.call(GetTask(task=made.id, wait_s=_WAIT_S))
    show(made, as_json, lambda: _text(made))
    if wait and made.state != "done":
        raise SystemExit(1)


def _value(text: str) -> Any:
    """JSON objects and lists as they are, anything else as text."""
    if text.lstrip()[:1] in ("{", "["):
        with suppress(ValueError):
            return orjson.loads(text)
    return text.rstrip("\n")


def _text(task: Task) -> str:
    if task.state == "open":
        return task.id
    return visible(_plain(task.result)) if task.state == "done" else f"{task.state}: {visible(task.reason or '')}"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


@queues.command("map")
@click.argument("queue")
@click.option("--concurrency", type=click.IntRange(1, 100), default=32, show_default=True)
@click.option("--retries", type=int, default=0, help="How often a dead letter starts over.")
@click.option("--timeout-s", type=float)
@priority_option
@with_client
async def map_(client: HubClient, queue: str, **options: Any) -> None:
    """One task per line of standard input; a line of JSON per outcome, as they come, on standard output."""
    lines = [line for line in sys.stdin.read().splitlines() if line.strip()]
    shown, failed = sys.stderr.isatty(), 0

    def progress(done: int, total: int) -> None:
        if shown:
            click.echo("\r" + bar(done, total), nl=done == total, err=True)

    async for outcome in client.map(queue, [_value(line) for line in lines], progress=progress, **options):
        failed += not outcome.ok
        made = {name: getattr(outcome, name) for name in ("index", "body", "state", "result", "worker", "reasons")}
        click.echo(orjson.dumps({k: v for k, v in made.items() if v is not None and v != ()}).decode())
    if failed:
        click.echo(f"{failed} of {len(lines)} did not finish", err=True)
        raise SystemExit(1)


@queues.command("work")
@click.argument("queue")
@click.argument("command", nargs=-1, required=True)
@click.option("--lease-s", type=click.FloatRange(5, 3600), default=60, show_default=True)
@click.option("--count", type=int, help="Stop after so many tasks.")
@click.option("--until-empty", is_flag=True, help="Stop when nothing is ready.")
@with_client
async def work(
    client: HubClient, queue: str, command: tuple[str, ...], lease_s: float, count: int | None, until_empty: bool
) -> None:
    """Run COMMAND for each task of QUEUE: the body on standard input, the result on standard output.

    A failing command fails the task, with the end of its standard error as the reason.
    Example: `mcp-bridge queues work research -- claude -p`
    """
    if (await client.call(GetQueue(queue=queue))).mode == "push":
        await client.call(SetWorker(queue=queue, agent="me"))
    done = 0
    while count is None or done < count:
        wait_s = 0 if until_empty else _WAIT_S
        items = (await client.call(ClaimTasks(queue=queue, lease_s=lease_s, wait_s=wait_s))).items
        if not items and until_empty:
            return
        task = items[0] if items else None
        while task is not None:
            done += 1
            task = await _perform(client, task, command, lease_s, last=done == count)


async def _perform(
    client: HubClient, task: Task, command: tuple[str, ...], lease_s: float, *, last: bool
) -> Task | None:
    """Run the command for the task and report; the next task, if this was not the last and one was ready."""
    pipe = asyncio.subprocess.PIPE
    token = task.lease_token or ""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    )
    keeping = asyncio.create_task(_keep(client, task.id, token, lease_s, process))
    try:
        out, err = await process.communicate(_plain(task.body).encode())
    finally:
        keeping.cancel()
        _end(process)
    text = out.decode(errors="replace")
    following: Task | None = None
    try:
        if process.returncode == 0:
            ack = AckTask(task=task.id, lease_token=token, result=_value(text), next_lease_s=None if last else lease_s)
            following = (await client.call(ack)).next
        else:
            reason = f"exit code {process.returncode}: {err.decode(errors='replace')[-1000:].strip()}"
            await client.call(NackTask(task=task.id, lease_token=token, reason=reason))
        click.echo(f"{task.id} {'done' if process.returncode == 0 else 'failed'}")
    except HubError as error:
        click.echo(f"{task.id} not accepted: {error.detail}", err=True)
    return following


async def _keep(client: HubClient, task: str, token: str, lease_s: float, process: asyncio.subprocess.Process) -> None:
    """Extend the lease while the command runs; end the command when the lease is lost."""
    while True:
        await asyncio.sleep(lease_s / 3)
        try:
            await client.call(ExtendTask(task=task, lease_token=token, lease_s=lease_s))
        except HubError:
            _end(process)
            return


def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@queues.command("show")
@click.argument("name")
@json_option
@with_client
async def show_(client: HubClient, name: str, as_json: bool) -> None:
    """A queue with its workers, or a task by its id."""
    try:
        found = await client.call(GetQueue(queue=name))
    except HubError as missing:
        with suppress(HubError):
            task = await client.call(GetTask(task=name))
            show(task, as_json, lambda: orjson.dumps(task.model_dump(), option=orjson.OPT_INDENT_2).decode())
            return
        raise missing from None
    workers = (await client.call(ListWorkers(queue=name))).items
    rows = [
        (w.agent, f"{w.load}/{w.capacity}", f"{w.weight:g}", f"{w.latency_ms or 0:.0f} ms", w.breaker, "yes" * w.alive)
        for w in workers
    ]
    head = "  ".join(f"{k}: {v}" for k, v in found.model_dump(exclude_defaults=True).items())
    text = head + ("\n\n" + table(rows, ("worker", "load", "weight", "latency", "breaker", "alive")) if rows else "")
    show(found, as_json, lambda: text)


def _setting(name: str, request: Any, help_: str) -> None:
    @queues.command(name, help=help_)
    @click.argument("queue")
    @json_option
    @with_client
    async def change(client: HubClient, queue: str, as_json: bool) -> None:
        found = await client.call(request(queue=queue))
        show(found, as_json, lambda: "  ".join(_row(found)))


_setting("pause", PauseQueue, "Stop handing out tasks; leases that run may finish.")
_setting("drain", DrainQueue, "Accept no new tasks; what is there is still handed out.")
_setting("resume", ResumeQueue, "Accept and hand out tasks again.")


@queues.command("dead")
@click.argument("queue")
@json_option
@with_client
async def dead(client: HubClient, queue: str, as_json: bool) -> None:
    """Dead letters with the reason of each attempt."""
    found = await client.call(ListDead(queue=queue))
    rows = [(t.id, str(t.attempt), visible(t.reason or ""), visible(_plain(t.body))[:60]) for t in found.items]
    show(found, as_json, lambda: table(rows, ("task", "attempts", "reason", "body")) if rows else "no dead letters")


@queues.command("redrive")
@click.argument("queue")
@click.option("--limit", type=click.IntRange(1, 1000), default=1000, show_default=True)
@json_option
@with_client
async def redrive(client: HubClient, queue: str, limit: int, as_json: bool) -> None:
    """Bring dead letters back, oldest first."""
    found = await client.call(RedriveQueue(queue=queue, limit=limit))
    show(found, as_json, lambda: f"{found.redriven} back in the queue")


@queues.command("worker")
@click.argument("queue")
@click.argument("agent")
@click.option("--weight", type=float, default=1)
@click.option("--capacity", type=int, default=1)
@click.option("--remove", is_flag=True)
@json_option
@with_client
async def worker(
    client: HubClient, queue: str, agent: str, weight: float, capacity: int, remove: bool, as_json: bool
) -> None:
    """Register AGENT (or `me`) as a worker of QUEUE, or change or remove it."""
    if remove:
        if weight != 1 or capacity != 1:
            raise Invalid("--remove takes no weight and no capacity")
        gone = await client.call(RemoveWorker(queue=queue, agent=agent))
        show(gone, as_json, lambda: "removed")
        return
    found = await client.call(SetWorker(queue=queue, agent=agent, weight=weight, capacity=capacity))
    show(found, as_json, lambda: f"{found.agent}: weight {found.weight:g}, capacity {found.capacity}")
