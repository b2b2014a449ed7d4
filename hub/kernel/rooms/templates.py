"""Room templates: what a new room of a kind starts with. Features put their part in through `furnishes`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hub.core.call import Call
from hub.kernel.rooms.contract import TemplateName
from hub.storage.interface import Tx


@dataclass(frozen=True, slots=True)
class StarterColumn:
    """A column of the board: its name, the most cards it may hold, whether its cards are finished."""

    name: str
    wip: int | None = None
    done: bool = False


@dataclass(frozen=True, slots=True)
class StarterCard:
    """A first card; `after` is the place (from 0) of the card that blocks it."""

    title: str
    role: str | None = None
    priority: str = "normal"
    after: int | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """What a room starts with."""

    name: TemplateName
    title: str
    roles: tuple[str, ...]
    channels: tuple[tuple[str, str], ...]
    columns: tuple[StarterColumn, ...]
    cards: tuple[StarterCard, ...]
    agreement: str


_REVIEW: Final = Template(
    name="review",
    title="Review a change",
    roles=("coder", "reviewer", "tester"),
    channels=(("findings", "one finding per thread"), ("tests", "what was run and what came out")),
    columns=(
        StarterColumn("found"),
        StarterColumn("fixing", 3),
        StarterColumn("check", 3),
        StarterColumn("settled", done=True),
    ),
    cards=(
        StarterCard("Say what changes and why, and how to try it", "coder", "high"),
        StarterCard("Read the change", "reviewer", "high", after=0),
        StarterCard("Run the tests and try the change", "tester", after=0),
    ),
    agreement=(
        "- A finding is a card with the place, what is wrong, and what would be right; its priority says how bad it is.\n"
        "- Who wrote the change fixes it; who found the fault checks the fix and settles the card.\n"
        "- The author may disagree: argue in the card's comments, then open a proposal.\n"
        "- The change goes in when no card of high or critical priority is unsettled."
    ),
)
_RESEARCH: Final = Template(
    name="research",
    title="Find something out",
    roles=("coordinator", "researcher", "reviewer"),
    channels=(("sources", "where things were found"), ("findings", "what they say")),
    columns=(
        StarterColumn("questions"),
        StarterColumn("searching", 4),
        StarterColumn("checking", 3),
        StarterColumn("answered", done=True),
    ),
    cards=(
        StarterCard("Write down the question and what an answer must contain", "coordinator", "high"),
        StarterCard("Split it into questions that can be answered alone", "coordinator", after=0),
        StarterCard("Write the answer with its sources", "coordinator", after=1),
    ),
    agreement=(
        "- One question, one card; whoever takes it answers it in the comments with links to the sources.\n"
        "- Say how sure you are, and what would change your mind.\n"
        "- Somebody else checks every answer against its sources before the card is answered.\n"
        "- Nobody reports as found what was only assumed."
    ),
)
_INCIDENT: Final = Template(
    name="incident",
    title="Handle an incident",
    roles=("coordinator", "coder", "tester", "observer"),
    channels=(("timeline", "what happened when, one line each"), ("updates", "what people outside are told")),
    columns=(
        StarterColumn("open"),
        StarterColumn("doing", 3),
        StarterColumn("watching"),
        StarterColumn("closed", done=True),
    ),
    cards=(
        StarterCard("Say what is broken, since when, for whom", "coordinator", "critical"),
        StarterCard("Stop the damage", "coder", "critical"),
        StarterCard("Find the cause", None, "high"),
        StarterCard("Repair the cause", "coder", "high", after=2),
        StarterCard("Show that it works again", "tester", "high", after=3),
        StarterCard("Write down what happened and what will be different", "coordinator", after=4),
    ),
    agreement=(
        "- The coordinator decides; everybody else proposes. One change at a time, said here before it is made.\n"
        "- First stop the damage, then look for the cause.\n"
        "- What you see goes to #timeline with its time, also what turns out not to matter.\n"
        "- Nothing that cannot be undone without a yes from a person."
    ),
)
_BUILD: Final = Template(
    name="build",
    title="Build something together",
    roles=("coordinator", "researcher", "coder", "reviewer", "tester"),
    channels=(("design", "how it should be"), ("review", "findings on what was built")),
    columns=(
        StarterColumn("todo"),
        StarterColumn("in_progress", 4),
        StarterColumn("review", 3),
        StarterColumn("done", done=True),
    ),
    cards=(
        StarterCard("Say what is to be built and when it is done", "coordinator", "high"),
        StarterCard("Decide how: write the options down, then vote", None, "high", after=0),
        StarterCard("Split the work into cards", "coordinator", after=1),
    ),
    agreement=(
        "- Take a card before you work; work on one card at a time and move it along.\n"
        "- Reserve the files you edit, and release them when you are done.\n"
        "- Nobody reviews their own work. A card is done when its tests pass and somebody else has read it.\n"
        "- Questions of taste end with a vote, not with the last word."
    ),
)
TEMPLATES: Final[dict[str, Template]] = {made.name: made for made in (_REVIEW, _RESEARCH, _INCIDENT, _BUILD)}

Furnish = Callable[[Tx, Call, int, Template], None]
FURNISHERS: Final[list[Furnish]] = []


def furnishes(function: Furnish) -> Furnish:
    """Register what a feature puts into a new room; runs in the transaction that makes the room."""
    FURNISHERS.append(function)
    return function
