"""Who may run, and which run starts next. Pure.

A run starts at once when its agent, its room and a hub have a place for it; else it waits. Runs start in the order they
came, except that one whose agent or room is at its limit lets others pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hub.core.errors import Forbidden, HubError, NotFound, RateLimited, Unavailable

PER_AGENT: Final = 1
PER_ROOM: Final = 2
WAITING: Final = 32
MOST_SLOTS: Final = 4


class RunNotFound(NotFound):
    code, title = "run-not-found", "Run not found"


class RunsOff(Forbidden):
    code, title = "runs-off", "Runs are off in this room"


class RunQueueFull(RateLimited):
    code, title = "run-queue-full", "Too many runs are waiting"


class SandboxUnavailable(HubError):
    code, status, title = "sandbox-unavailable", 501, "No sandbox can run this here"


class SandboxStarting(Unavailable):
    code, title = "sandbox-starting", "The sandbox is being tested"


@dataclass(frozen=True, slots=True)
class Runner:
    """A hub that runs code: how many at once, and for each language its engine."""

    id: str
    slots: int
    languages: Mapping[str, str]
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Live:
    """A run that is not over. `runner` says who executes it; None: it waits."""

    log: int
    seq: int
    agent: int
    language: str
    runner: str | None = None


def must_be_on(runs: bool, room: str) -> None:
    """Raises RunsOff."""
    if not runs:
        raise RunsOff(
            f"runs are off in room {room!r}; a person who owns it switches them on with "
            f"`mcp-bridge rooms set {room} --runs`"
        )


def must_be_possible(runners: Sequence[Runner], language: str) -> None:
    """Raises SandboxUnavailable, with why and what to do, unless somebody runs this language."""
    if any(language in runner.languages for runner in runners):
        return
    if not runners:
        raise SandboxStarting("the hub is still testing its sandbox; try again in a moment", retry_after_s=1)
    spoken = sorted({name for runner in runners for name in runner.languages})
    here = f"here run: {', '.join(spoken)}. " if spoken else ""
    why = next((runner.refusal for runner in runners if runner.refusal), "")
    raise SandboxUnavailable(f"no sandbox of this hub runs {language}. {here}{why} (`mcp-bridge doctor` shows more)")


def starting(live: Sequence[Live], runners: Sequence[Runner]) -> list[tuple[Live, Runner]]:
    """Which waiting runs start now, and where. `live` is in the order of asking."""
    agents, rooms, places = Counter[int](), Counter[int](), Counter({runner.id: runner.slots for runner in runners})
    for run in live:
        if run.runner is not None:
            _count(run, run.runner, agents, rooms, places)
    found = []
    for run in live:
        if run.runner is None and agents[run.agent] < PER_AGENT and rooms[run.log] < PER_ROOM:
            runner = max(
                (r for r in runners if run.language in r.languages and places[r.id] > 0),
                key=lambda r: places[r.id],
                default=None,
            )
            if runner is not None:
                found.append((run, runner))
                _count(run, runner.id, agents, rooms, places)
    return found


def _count(run: Live, runner: str, agents: Counter[int], rooms: Counter[int], places: Counter[str]) -> None:
    agents[run.agent] += 1
    rooms[run.log] += 1
    places[runner] -= 1


def admit(live: Sequence[Live], runners: Sequence[Runner], new: Live) -> None:
    """Raises RunQueueFull when `new` would have to wait and too many wait already."""
    if any(run == new for run, _ in starting([*live, new], runners)):
        return
    waiting = sum(1 for run in live if run.runner is None)
    if waiting >= WAITING:
        raise RunQueueFull(f"{waiting} runs wait already, the most this hub lets wait; try again soon", retry_after_s=2)
