"""Five agents build a small program together: debate, vote, board, reservations, files, tests, review.

    python examples/collaborative_development.py            # watch it; nothing of yours is touched
    python examples/collaborative_development.py --keep     # keep the room's data and the workspace to look at

Each agent is a process of its own with its own MCP server over stdio (`mcp-bridge mcp`), as Claude Code or Codex would
run it. They are scripted instead of thinking, so that the outcome is the same every time; all they know of each other
is what the room tells them. The first version of their program has two faults, on purpose: the tester finds one by
running it, the reviewer the other by reading it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from hub.client import HubClient
from hub.features.files.contract import ListFiles
from hub.features.kanban.contract import GetBoard
from hub.features.voting.contract import ListProposals
from hub.kernel.inbox.contract import ReadEvents
from hub.settings import Settings
from mcp_bridge.commands.talk import describe
from mcp_bridge.serve import serving

ROOM = "roman"
DEBATED = "Convert by a table"
LIMIT_S = 150
Message = dict[str, Any]

SPEC = """# Roman numerals
- I V X L C D M are 1 5 10 50 100 500 1000; larger ones stand first.
- 4 9 40 90 400 900 are written by subtraction: IV IX XL XC CD CM.
- Without overlines the numbers are 1 to 3999; anything else is a ValueError.
"""
TESTS = """import unittest
from roman import to_roman

class Roman(unittest.TestCase):
    def test_every_kind_of_digit(self):
        known = {1: "I", 3: "III", 8: "VIII", 14: "XIV", 49: "XLIX", 1994: "MCMXCIV", 3999: "MMMCMXCIX"}
        self.assertEqual({n: to_roman(n) for n in known}, known)
"""
ADDITIVE = '(1000, "M"), (500, "D"), (100, "C"), (50, "L"), (10, "X"), (5, "V"), (1, "I")'
SUBTRACTIVE = (
    '(1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"),\n'
    '    (50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),'
)
CHECK = '    if not 1 <= number <= 3999:\n        raise ValueError(f"{number} has no Roman numeral: 1 to 3999")\n'


def program(pairs: str, check: str = "") -> str:
    """The source of roman.py."""
    return f'''"""Roman numerals, by a table from the largest down."""

PAIRS = [
    {pairs}
]


def to_roman(number: int) -> str:
{check}    text = ""
    for value, sign in PAIRS:
        text += sign * (number // value)
        number %= value
    return text
'''


class Refused(Exception):
    """A tool said no; the text says why."""


class Agent:
    """What every agent does: listen, vote, answer, take a card that fits, do it. Subclasses know their trade."""

    name: ClassVar[str]
    role: ClassVar[str]
    side: ClassVar[str] = "pro"
    argument: ClassVar[str] = ""

    def __init__(self, client: Client, workspace: Path) -> None:
        self.client, self.workspace = client, workspace
        self.started = self.over = False

    async def use(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """A tool's structured answer. Raises Refused."""
        result = await self.client.call_tool(tool, {k: v for k, v in arguments.items() if v is not None})
        if result.is_error:
            raise Refused(getattr(result.content[0], "text", "refused"))
        return dict(result.structured_content or {})

    async def say(self, text: str, **fields: Any) -> None:
        await self.use("send", text=text, room=ROOM, **fields)

    async def live(self) -> None:
        """Take part until the coordinator says that it is over."""
        await self.use("join", room=ROOM, role=self.role, template="build", topic="A program for Roman numerals")
        while not self.over:
            await self.listen()
            if self.started:
                await self.work()

    async def listen(self, wait_s: float = 2) -> None:
        """Hear what is new, waiting a little for it."""
        for message in (await self.use("poll", wait_s=wait_s)).get("messages", []):
            about = message.get("about", {})
            if about.get("type") == "proposal.opened":
                await self.consider(about["id"])
            elif message["from"] == Coordinator.name and message["text"].startswith(("Go.", "Over.")):
                self.started, self.over = True, message["text"].startswith("Over.")
            else:
                await self.hear(message)

    async def consider(self, proposal: str) -> None:
        """Argue where it is not decided yet what is right; vote at once where it is."""
        if DEBATED in (await self.use("vote", proposal=proposal, action="see"))["title"]:
            await self.use("vote", action="argue", proposal=proposal, choice=self.side, text=self.argument)
        else:
            await self.vote(proposal, "approve", "it is tested and reviewed")

    async def vote(self, proposal: str, choice: str, reason: str) -> None:
        try:
            await self.use("vote", proposal=proposal, choice=choice, reason=reason)
        except Refused as refusal:
            if "[proposal-closed]" not in str(refusal):  # the others made it certain before I could
                raise

    async def hear(self, message: Message) -> None:
        """A message or notice that is not about voting or the end."""
        if found := re.match(r"You have all argued; vote on (p\S+)", message["text"]):
            await self.vote(found[1], "approve" if self.side == "pro" else "reject", self.argument)

    async def work(self) -> None:
        """Do the next card that fits, if there is one."""
        card = (await self.use("board", action="take", column="in_progress")).get("card")
        if card:
            await self.do(card)

    async def do(self, card: dict[str, Any]) -> None:
        raise NotImplementedError(f"{self.name} cannot do {card['title']!r}")

    async def change(self, card: str, action: str = "move", **fields: Any) -> dict[str, Any]:
        """Change a card as it is now; look again whenever somebody was faster."""
        while True:
            seen = (await self.use("board", action="card", card=card))["card"]
            try:
                return dict(
                    (await self.use("board", action=action, card=card, version=seen["version"], **fields))["card"]
                )
            except Refused as refusal:
                if "[card-stale]" not in str(refusal):
                    raise

    async def share(self, name: str, text: str) -> None:
        """Put a file of the workspace into the room."""
        content = (self.workspace / name).read_text("utf-8")
        await self.use("file", action="put", file=name, content=content, text=text, room=ROOM)


class Coordinator(Agent):
    """Sees that it is decided, split into cards, and finished."""

    name, role = "cora", "coordinator"

    async def live(self) -> None:
        await self.use("join", room=ROOM, role=self.role, template="build", topic="A program for Roman numerals")
        while len((await self.use("who", room=ROOM))["members"]) <= len(CAST):  # the person is a member too
            await self.listen(0.2)
        self.started = True
        while not self.over:
            await self.work()
            await self.listen()

    async def do(self, card: dict[str, Any]) -> None:
        steps = {"Say what": self.tell, "Decide how": self.decide, "Split": self.split, "Release": self.release}
        await next(step for title, step in steps.items() if card["title"].startswith(title))()
        await self.change(card["id"], column="done")
        if card["title"].startswith("Split"):
            await self.say("Go. The cards are on the board.", intent="request")
        if card["title"].startswith("Release"):
            await self.say("Over. roman.py is released; thank you all.")
            self.over = True

    async def tell(self) -> None:
        await self.say("We build roman.py with to_roman(number). It is done when its tests pass and it was reviewed.")

    async def decide(self) -> None:
        """Ask the researcher, let everybody argue, then vote."""
        asked = await self.use(
            "ask", text="Which numbers have a Roman numeral?", to="@researcher", room=ROOM, wait_s=30
        )
        assert asked["answered"], "the researcher answers"
        proposal = (await self.use("propose", room=ROOM, title=f"{DEBATED}, not digit by digit?"))["id"]
        while len((await self.use("vote", proposal=proposal, action="see")).get("remarks", [])) < len(CAST) - 1:
            await self.listen()
        await self.say(f"You have all argued; vote on {proposal} now.", intent="request")
        await self.outcome(proposal)

    async def outcome(self, proposal: str) -> None:
        """Cast my ballot and wait for the end of the vote."""
        await self.vote(proposal, "approve", "it is what we need")
        while (found := await self.use("vote", proposal=proposal, action="see"))["state"] == "open":
            await self.listen()
        assert found["outcome"] == "approve", found

    async def split(self) -> None:
        code = await self.add("Write roman.py", role="coder", priority="high", text="By a table; see spec.md.")
        tests = await self.add("Write the tests", role="tester", priority="high", text="test_roman.py; see spec.md.")
        review = await self.add("Review roman.py", role="reviewer", blocked_by=[code, tests])
        await self.add("Release", role="coordinator", blocked_by=[review])

    async def add(self, title: str, **fields: Any) -> str:
        return str((await self.use("board", action="add", title=title, **fields))["card"]["id"])

    async def release(self) -> None:
        rule = {"rule": "supermajority", "quorum": 0.8}
        await self.outcome((await self.use("propose", room=ROOM, title="Release roman.py?", **rule))["id"])


class Researcher(Agent):
    """Knows what the program must do."""

    name, role = "rhea", "researcher"
    argument = "A table: the subtractive pairs are then just six more rows."

    async def hear(self, message: Message) -> None:
        if message.get("kind") == "question":
            (self.workspace / "spec.md").write_text(SPEC, "utf-8")
            await self.share("spec.md", "What Roman numerals are")
            await self.say("1 to 3999; the rules are in spec.md.", reply_to=message["id"])
        else:
            await super().hear(message)


class Coder(Agent):
    """Writes the program, and repairs it where others find faults."""

    name, role = "cody", "coder"
    argument = "A table: one loop, nothing to get wrong. Almost."
    versions: ClassVar[dict[str, tuple[str, str]]] = {
        "Write": (ADDITIVE, ""),
        "4 comes out": (SUBTRACTIVE, ""),
        "0 has": (SUBTRACTIVE, CHECK),
    }

    async def do(self, card: dict[str, Any]) -> None:
        await self.reserve(card["title"])
        pairs, check = next(v for title, v in self.versions.items() if card["title"].startswith(title))
        (self.workspace / "roman.py").write_text(program(pairs, check), "utf-8")
        await self.use("reserve", action="release", room=ROOM)
        await self.share("roman.py", card["title"])
        await self.change(card["id"], column="review")
        await self.say(f"{card['id']} is ready to be tested.", to=["@tester"], intent="request")

    async def reserve(self, reason: str) -> None:
        """Hold roman.py; while somebody else does, ask them to let go and wait."""
        asked = False
        while True:
            try:
                await self.use("reserve", action="reserve", paths=["roman.py"], reason=reason, room=ROOM)
                return
            except Refused as refusal:
                if "[reservation-conflict]" not in str(refusal):
                    raise
            if not asked:
                await self.say("Please release roman.py, I have a repair for it.", to=[Tester.name], intent="request")
            asked = True
            await self.listen()


class Tester(Agent):
    """Runs what others wrote, and says exactly what came out."""

    name, role = "tess", "tester"
    side = "con"
    argument = "Digit by digit is easier to test; with a table somebody will forget the fours and nines."
    code = ""

    async def do(self, card: dict[str, Any]) -> None:
        spec = (await self.use("file", action="get", file="spec.md", room=ROOM))["content"]
        assert "IV IX XL XC CD CM" in spec, "the spec says what to test"
        (self.workspace / "test_roman.py").write_text(TESTS, "utf-8")
        await self.share("test_roman.py", card["title"])
        await self.change(card["id"], column="done")

    async def hear(self, message: Message) -> None:
        if found := re.match(r"(c\S+) is ready to be tested", message["text"]):
            await self.test(found[1])
        elif "release roman.py" in message["text"]:
            await self.use("reserve", action="release", room=ROOM)
            await self.say("It is yours.", reply_to=message["id"])
        else:
            await super().hear(message)

    async def test(self, card: str) -> None:
        """Run the tests while nobody changes the program. A failure becomes a card; I hold the file until it is asked for."""
        self.code = self.code or card
        await self.use("reserve", action="reserve", paths=["*.py"], mode="shared", reason="testing", room=ROOM)
        while not (self.workspace / "test_roman.py").exists():  # cody was faster than me
            await self.work()
        report = await run(sys.executable, "-m", "unittest", "-q", "test_roman", cwd=self.workspace)
        if "OK" not in report:
            wrong = next((line for line in report.splitlines() if line.startswith("AssertionError")), report)[:800]
            await self.use("board", action="comment", card=card, text=f"It does not pass:\n{wrong}")
            bug = {"title": "4 comes out as IIII", "role": "coder", "priority": "critical", "text": wrong}
            made = (await self.use("board", action="add", **bug))["card"]["id"]
            await self.change(card, "update", blocked_by=[made])
            return
        await self.use("reserve", action="release", room=ROOM)
        await self.change(card, column="done")
        if (await self.use("board", action="card", card=self.code))["card"]["column"] != "done":
            await self.change(self.code, column="done")


class Reviewer(Agent):
    """Reads what others wrote against what it should do."""

    name, role = "rita", "reviewer"
    argument = "A table reads like the spec, so I can compare them line by line."
    card = ""

    async def do(self, card: dict[str, Any]) -> None:
        self.card = card["id"]
        await self.review()

    async def hear(self, message: Message) -> None:
        if self.card and f"no longer blocked: {self.card}" in message["text"]:
            await self.review()
        else:
            await super().hear(message)

    async def review(self) -> None:
        code = (await self.use("file", action="get", file="roman.py", room=ROOM))["content"]
        if "ValueError" in code:
            await self.use("board", action="comment", card=self.card, text="Every line of the spec is there.")
            await self.change(self.card, column="done")
            return
        finding = {
            "title": "0 has a numeral",
            "text": "to_roman: nothing refuses what is not 1 to 3999 (spec.md, line 4).",
        }
        made = (await self.use("board", action="add", role="coder", priority="high", **finding))["card"]["id"]
        await self.change(self.card, "update", blocked_by=[made])


CAST: dict[str, type[Agent]] = {agent.name: agent for agent in (Coordinator, Researcher, Coder, Reviewer, Tester)}


async def run(*command: str, **options: Any) -> str:
    """Everything a command prints."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, **options
    )
    return (await process.communicate())[0].decode()


async def play(name: str, workspace: Path) -> None:
    """Be one agent, through an MCP server of its own."""
    environment = {**os.environ, "BRIDGE_AUTOJOIN": "0"}
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "mcp_bridge", "mcp", "--name", name], env=environment
    )
    async with Client(stdio_client(server)) as client, asyncio.timeout(LIMIT_S):
        await CAST[name](client, workspace).live()


# --- the stage ------------------------------------------------------------------------------------------------


async def main(home: Path) -> int:
    """Start a hub and the five, show the room, check what became of it. The number of checks that failed."""
    workspace = home / "workspace"
    workspace.mkdir(parents=True)
    async with (
        serving(Settings(home=home / "hub", port=0, log_level="error")) as served,
        HubClient(served.url, served.token) as client,
    ):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
        environment["BRIDGE_HOME"] = str(home / "hub")
        agents = {
            name: await asyncio.create_subprocess_exec(
                sys.executable, __file__, "--agent", name, "--workspace", str(workspace), env=environment
            )
            for name in CAST
        }
        showing = asyncio.create_task(show(client))
        try:
            if failed := await first_failure(agents):
                print(f"{failed} failed")
                return 1
            await asyncio.wait({showing}, timeout=0.5)
        finally:
            showing.cancel()
        return await verify(client, workspace)


async def first_failure(agents: dict[str, asyncio.subprocess.Process]) -> str | None:
    """Wait for all to end well; at the first that does not, stop the rest and name it."""

    async def failure(name: str) -> str | None:
        return name if await agents[name].wait() else None

    ends = [asyncio.create_task(failure(name)) for name in agents]
    for end in asyncio.as_completed(ends):
        if name := await end:
            for agent in (agent for agent in agents.values() if agent.returncode is None):
                agent.terminate()
            await asyncio.wait(ends)
            return name
    return None


async def show(client: HubClient) -> None:
    """Print the room as it goes."""
    while True:
        try:
            async for event in client.tail(ROOM):
                print(f"  {line(event)}", flush=True)
        except Exception:  # the room is not there yet
            await asyncio.sleep(0.2)


def line(event: dict[str, Any]) -> str:
    """An event for people: messages as they are, of others what matters."""
    if event["type"] == "message.posted":
        return describe(event)
    names = ("card", "title", "column", "name", "version", "choice", "state", "outcome", "paths", "reason", "text")
    data = {**event["data"], **event["data"].get("fields", {})}
    said = " ".join(str(data[name])[:80] for name in names if data.get(name))
    return f"{event['at'][11:19]} · {event['actor']} {event['type']} {said}"


async def verify(client: HubClient, workspace: Path) -> int:
    """Compare the room and the program with what they must be."""
    sys.path.insert(0, str(workspace))
    to_roman: Callable[[int], str] = __import__("roman").to_roman
    board = await client.call(GetBoard(room=ROOM))
    proposals = (await client.call(ListProposals(room=ROOM))).items
    files = {file.name: file.version for file in (await client.call(ListFiles(room=ROOM))).items}
    events = (await client.call(ReadEvents(room=ROOM, limit=500))).items
    did = {card.title: card.assignee for card in board.cards}
    held = [e["type"] for e in events if e["type"].startswith("reservation.")]
    checks = {
        "the program is right": [to_roman(n) for n in (4, 1994, 3999)] == ["IV", "MCMXCIV", "MMMCMXCIX"],
        "every card is done": {card.column for card in board.cards} == {"done"} and len(board.cards) == 9,
        "nobody reviewed their own work": did["Review roman.py"] != did["Write roman.py"],
        "both votes came to an end": [p.outcome for p in proposals] == ["approve", "approve"],
        "everybody argued": [e["type"] for e in events].count("argument.made") == 4,
        "the program has three versions": files == {"spec.md": 1, "test_roman.py": 1, "roman.py": 3},
        "cody asked for a file that tess held": any("Please release" in str(e["data"].get("text")) for e in events),
        "what was reserved was released": held.count("reservation.made") == held.count("reservation.released") >= 6,
        "the log has no gap": [e["seq"] for e in events] == list(range(1, len(events) + 1)),
    }
    print()
    for text, fine in checks.items():
        print(f"  {'✓' if fine else '✗'} {text}", flush=True)
    return sum(not fine for fine in checks.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--agent", choices=list(CAST), help="be one of the five")
    parser.add_argument("--workspace", type=Path, help="where an agent works")
    parser.add_argument("--keep", action="store_true", help="keep the room's data and the workspace")
    options = parser.parse_args()
    if options.agent:
        asyncio.run(play(options.agent, options.workspace))
    else:
        place = Path(tempfile.mkdtemp(prefix="bridge-example-"))
        try:
            raise SystemExit(asyncio.run(main(place)))
        finally:
            if options.keep:
                print(f"kept in {place}")
            else:
                shutil.rmtree(place)
