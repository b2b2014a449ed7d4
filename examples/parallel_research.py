"""One coordinator, as many browser tabs as have joined: every part of a question goes to its own tab, in parallel.

    python examples/parallel_research.py ROOM "first part" "second part" "third part"

The hub is found like everywhere (BRIDGE_URL and BRIDGE_TOKEN, else the running local hub). Parts beyond the number of
tabs wait in line. The collected report is posted to the room.
"""

from __future__ import annotations

import asyncio
import sys

from hub.client import HubClient
from hub.features.jobs.contract import GetJob
from hub.features.messages.contract import GetAnswers, PostMessage
from hub.kernel.messages.contract import Message
from hub.kernel.rooms.contract import JoinRoom


async def ask_a_tab(hub: HubClient, room: str, part: str) -> Message:
    """The one answer of whichever tab is free. Says what it waits for meanwhile."""
    asked = await hub.call(PostMessage(room=room, text=part, kind="question", intent="request", to=("@browser",)))
    tab, said = asked.to[0], ""
    print(f"{tab} ← {part}")
    while True:
        answers = await hub.call(GetAnswers(room=room, question=asked.id, wait_s=10))
        if answers.items:
            return answers.items[0]
        job = await hub.call(GetJob(room=room, job=asked.id, agent=tab))
        if job.pending and job.pending != said:
            said = job.pending
            print(f"{tab}: {said}")


async def research(room: str, parts: list[str]) -> str:
    """Ask all parts at once; the report, with every failure said as such."""
    async with HubClient() as hub:
        await hub.call(JoinRoom(room=room))
        answers = await asyncio.gather(*(ask_a_tab(hub, room, part) for part in parts))
        sections = [f"## {part}\n\n{a.text}\n\n({a.sender})" for part, a in zip(parts, answers, strict=True)]
        report = "\n\n".join(sections)
        await hub.call(PostMessage(room=room, text=report))
        return report


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    print(asyncio.run(research(sys.argv[1], sys.argv[2:])))
