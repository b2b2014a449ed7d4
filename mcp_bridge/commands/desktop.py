"""`desktop`: chat windows without MCP take part, with a person's hands or by keys and mouse."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import click

from desktop_agent import profile as profiles
from desktop_agent.asking import Ask, Asker, Terminal, answer_of
from desktop_agent.assist import Assistant, Person
from desktop_agent.attachments import Attachments, Litter
from desktop_agent.backends import open_desktop
from desktop_agent.calibrate import calibrate as point
from desktop_agent.clipboard import SystemClipboard
from desktop_agent.control import Pace, Rate, Stopped, Switch, Watch
from desktop_agent.doorbell import Doorbell
from desktop_agent.driver import Driver
from desktop_agent.indicator import Indicator
from desktop_agent.jobs import LeasedJobs, Outbox
from desktop_agent.journal import FileJournal
from desktop_agent.loop import Agrees, Limits, Worker, serve
from desktop_agent.profile import Profile, ProfileError
from desktop_agent.tag import prompt, tag_of
from desktop_agent.window import Desktop, Hitch, NoDesktop
from hub.client import HubClient
from hub.client.client import locate
from hub.core.errors import NameTaken
from hub.core.visible import visible
from hub.features.jobs.contract import Leased
from hub.kernel.agents.contract import GetMe, RegisterAgent
from hub.kernel.files.contract import SharedFile
from hub.kernel.rooms.contract import JoinRoom
from hub.settings import default_home
from mcp_bridge.commands.common import with_client

_PACE: Final = Pace(time.monotonic, asyncio.sleep)


@click.group()
def desktop() -> None:
    """Bring a chat window without MCP into the room."""


def folder() -> Path:
    """Where the desktop agent keeps profiles, tokens, its log and answers that wait."""
    return Path(os.environ.get("BRIDGE_HOME") or default_home()) / "desktop"


@desktop.command()
@click.option("--room", help="Join this room first.")
@click.option("--give-up-s", type=click.FloatRange(min=1), default=900, show_default=True)
@click.option("--once", is_flag=True, help="Stop after one question.")
@with_client
async def assist(client: HubClient, room: str | None, give_up_s: float, once: bool) -> None:
    """Offer each question to this agent on the clipboard; you paste it, and copy the answer back.

    Needs BRIDGE_TOKEN of an agent of kind desktop (`mcp-bridge agents register NAME --kind desktop`). You are asked
    before each message. Of what you copy, only text between the message's own marks is ever sent.
    """
    me = await client.call(GetMe())
    if me.kind != "desktop":
        raise click.UsageError(
            f"{me.name} is of kind {me.kind}: run `mcp-bridge agents register NAME --kind desktop` "
            "and set BRIDGE_TOKEN to its token"
        )
    if room:
        await client.call(JoinRoom(room=room))
    clipboard = SystemClipboard()
    jobs = LeasedJobs(client, Outbox(folder() / "outbox" / me.name), note=click.echo)
    terminal = Terminal(click.echo)
    terminal.start()
    agrees = agreeing("Put it on the clipboard, in place of what is there?", [terminal])
    person = Person(agrees, click.echo, attesting([terminal]))
    assistant = Assistant(jobs, clipboard, person, _PACE, give_up_s, Attachments(client, folder() / "files" / me.name))
    try:
        clipboard.read()
        await _offer(client, assistant, once)
    except Hitch as error:
        raise click.ClickException(str(error)) from error


async def _offer(client: HubClient, assistant: Assistant, once: bool) -> None:
    """Carry one question after the other."""
    bell = Doorbell(client.http)
    listening = asyncio.create_task(bell.listen())
    click.echo("Waiting for questions; stop with Ctrl-C.")
    try:
        while True:
            job = await assistant.jobs.next()
            if job is None:
                await bell.wait()
                continue
            ending = await assistant.work(job, tag=tag_of(locate()[1], job.job))
            click.echo(f"{job.job}: {ending.value}")
            if once:
                return
    finally:
        listening.cancel()


def agreeing(question: str, askers: Sequence[Asker]) -> Agrees:
    """Ask the person about each prompt, wherever they answer first. Nobody to be asked is a no."""

    async def agrees(job: Leased, files: Sequence[SharedFile]) -> bool:
        answer = await answer_of(askers, _about(job, files, question))
        if answer is None:
            click.echo("nobody can be asked here: run it in a terminal, with the small window, or with --no-confirm")
        return bool(answer)

    return agrees


def attesting(askers: Sequence[Asker]) -> Callable[[str], Awaitable[bool]]:
    """Ask the person about something only they can see."""

    async def attests(question: str) -> bool:
        return bool(await answer_of(askers, Ask("Please look at the window", "", visible(question))))

    return attests


def _about(job: Leased, files: Sequence[SharedFile], question: str) -> Ask:
    text = job.question.text
    unseen = sum(not c.isprintable() and c not in "\n\t" for c in text)
    warning = f" It has {unseen} invisible characters." if unseen else ""
    shown = [f"[file {visible(file.name)}: {file.size_bytes:,} bytes, {file.media_type}]" for file in files]
    return Ask(f"{job.question.sender} in {job.room}", "\n".join([visible(text), *shown]), f"{question}{warning}")


@desktop.command()
@click.option("--window", "windows", multiple=True, required=True, metavar="AGENT=PROFILE", help="Repeatable.")
@click.option("--room", "rooms", multiple=True, help="Join this room first (repeatable).")
@click.option("--no-confirm", is_flag=True, help="Send without asking you before each prompt.")
@click.option("--dry-run", is_flag=True, help="Show each step for one question and do none of them.")
@click.option("--no-indicator", is_flag=True, help="Do without the small window with Pause and Stop.")
@click.option("--once", is_flag=True, help="Stop after one question for each window.")
@click.option("--per-hour", type=click.IntRange(min=1), default=30, show_default=True, help="Most prompts in an hour.")
@click.option("--send-s", type=click.FloatRange(min=1), default=900, show_default=True, help="Try to send this long.")
@click.option("--answer-s", type=click.FloatRange(min=1), default=900, show_default=True, help="Wait for an answer.")
def auto(windows: tuple[str, ...], rooms: tuple[str, ...], dry_run: bool, once: bool, **more: object) -> None:
    """Type questions into chat windows and read the answers back, by keys and mouse (X11, Windows, macOS).

    AGENT is the name the window has in the room; it is registered at the first start. PROFILE says how to find and use
    the window (`mcp-bridge desktop profiles`). Move the mouse, type, or take the focus, and it waits; put the pointer
    into a corner of the screen, and it stops with nothing sent.
    """
    try:
        asyncio.run(_auto(windows, rooms, dry_run, once, more))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except (NoDesktop, Hitch, ProfileError) as error:
        raise click.ClickException(str(error)) from error
    except Stopped as error:
        click.echo(str(error))


async def _auto(
    windows: tuple[str, ...], rooms: tuple[str, ...], dry_run: bool, once: bool, more: dict[str, object]
) -> None:
    pairs = [(agent, profiles.load(name, folder() / "profiles")) for agent, name in map(_pair, windows)]
    machine, switch, hands = open_desktop(), Switch(), asyncio.Lock()
    rate = Rate(per_hour=int(str(more["per_hour"])))
    limits = Limits(float(str(more["send_s"])), float(str(more["answer_s"])))
    async with AsyncExitStack() as stack:
        stack.callback(machine.close)
        indicator = None if dry_run or more["no_indicator"] else await Indicator.start(switch)
        if indicator is not None:
            stack.push_async_callback(indicator.close)
        terminal = Terminal(click.echo)
        if not (more["no_confirm"] or dry_run):
            terminal.start()
        askers: list[Asker] = [terminal] if indicator is None else [terminal, indicator]
        agrees = _always if more["no_confirm"] else agreeing("Type it into the window and send it?", askers)
        tasks: list[Awaitable[None]] = []
        for agent, profile in pairs:
            client = await stack.enter_async_context(HubClient(token=await token_of(agent), tries=3))
            for room in rooms:
                await client.call(JoinRoom(room=room))
            journal = FileJournal(folder() / "journal.jsonl", agent, _saying(agent, indicator))
            watch = Watch(machine, switch, _PACE)
            litter = Litter(folder() / "attached" / agent)
            driver = Driver(machine, SystemClipboard(), profile, watch, _PACE, journal, litter)
            attachments = Attachments(client, folder() / "files" / agent)
            jobs = LeasedJobs(client, Outbox(folder() / "outbox" / agent), note=journal.note)
            secret = str(client.http.headers["authorization"])
            worker = Worker(
                jobs, driver, journal, _PACE, rate, hands, agrees, attesting(askers), attachments, secret, limits
            )
            tasks.append(_explain(worker) if dry_run else _serve(worker, client, once))
        click.echo("Waiting for questions; stop with Ctrl-C, or with the pointer in a corner of the screen.")
        await _together(tasks, indicator)


async def _together(tasks: list[Awaitable[None]], indicator: Indicator | None) -> None:
    """Run all to their end; the first that fails, and the Stop button, end the others."""
    work: asyncio.Future[object] = asyncio.ensure_future(_all(tasks))
    obey: asyncio.Future[object] = asyncio.ensure_future(_forever() if indicator is None else indicator.obey())
    try:
        await asyncio.wait([work, obey], return_when=asyncio.FIRST_COMPLETED)
        await (obey if obey.done() else work)
    finally:
        for task in (work, obey):
            task.cancel()
        await asyncio.gather(work, obey, return_exceptions=True)


async def _all(tasks: list[Awaitable[None]]) -> None:
    await asyncio.gather(*tasks)


async def _forever() -> None:
    await asyncio.Event().wait()


async def _serve(worker: Worker, client: HubClient, once: bool) -> None:
    bell = Doorbell(client.http)
    listening = asyncio.create_task(bell.listen())
    try:
        await serve(worker, bell.wait, once=once)
    finally:
        listening.cancel()


async def _explain(worker: Worker) -> None:
    """The steps for the next question, which stays open."""
    job = await worker.jobs.next()
    if job is None:
        click.echo("no question waits; ask one, then try again")
        return
    try:
        files = [visible(file.name) for file in await worker.attachments.listed(job)]
        steps = worker.driver.steps(prompt(job.question.text, tag_of(worker.secret, job.job)), files)
        click.echo(f"{job.job} from {job.question.sender}:")
        for number, step in enumerate(steps, 1):
            click.echo(f"{number}. {step}")
    finally:
        await worker.jobs.release(job)


def _saying(agent: str, indicator: Indicator | None) -> Callable[[str], None]:
    def say(line: str) -> None:
        click.echo(f"{agent}: {line}")
        if indicator is not None:
            indicator.show(f"{agent}: {line}")

    return say


async def _always(job: Leased, files: Sequence[SharedFile]) -> bool:
    return True


def _pair(text: str) -> tuple[str, str]:
    agent, found, name = text.partition("=")
    if not found or not agent or not name:
        raise click.UsageError(f"--window {text!r}: give AGENT=PROFILE, such as helper=claude-desktop")
    return agent, name


async def token_of(agent: str) -> str:
    """The agent's token: kept here since its first start, else registered now with the local user's token."""
    file = folder() / "tokens" / agent
    if file.is_file():
        return file.read_text("utf-8").strip()
    async with HubClient(tries=3) as local:
        me = await local.call(GetMe())
        if me.name == agent:
            return locate()[1]
        try:
            made = await local.call(RegisterAgent(name=agent, kind="desktop"))
        except NameTaken as error:
            raise click.UsageError(f"{error.detail}; choose another AGENT, or set BRIDGE_TOKEN to its token") from error
    assert made.token is not None, "a new agent comes with its token"
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write(made.token)
    return made.token


@desktop.command("profiles")
def list_profiles() -> None:
    """Names of the window profiles; yours are in the folder it prints last."""
    own = folder() / "profiles"
    for name in profiles.names(own):
        profile = profiles.load(name, own)
        click.echo(f"{name}: window title {profile.title}")
    click.echo(f"yours: {own}")


@desktop.command()
@click.argument("name")
def calibrate(name: str) -> None:
    """Make the profile NAME by pointing at the window's text box and at its conversation."""
    if not profiles.NAME.fullmatch(name):
        raise click.UsageError("a profile's name has lower-case letters, digits, dots, dashes and underscores")
    try:
        machine: Desktop = open_desktop()
        made: Profile = point(
            machine, name, lambda text: click.pause(f"{text}, then press Enter here (keep it there).")
        )
    except (NoDesktop, Hitch) as error:
        raise click.ClickException(str(error)) from error
    file = folder() / "profiles" / f"{name}.toml"
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.write_text(profiles.dump(made), "utf-8")
    click.echo(f"{file}:\n{profiles.dump(made)}Try it: mcp-bridge desktop auto --window AGENT={name} --dry-run")
