"""Whether our hooks in Codex run: it asks its user before they do, and says in `hooks/list` what the user answered."""

from __future__ import annotations

import asyncio
import shutil
from typing import Final

from mcp_bridge.doctor.check import Check
from mcp_bridge.push.codex import CodexSession
from mcp_bridge.push.ways import PushFailed
from mcp_bridge.setup.clients import Client, Place
from mcp_bridge.setup.hooks import SERVER

TRUST: Final = "start codex and choose `Trust all and continue`, or look at them one by one in /hooks"


async def check_hooks(client: Client, place: Place) -> list[Check]:
    """A check of Codex's hooks when it has ours; other clients ask nobody, or have none."""
    target = client.hooks(place, "user", [], wanted=True)
    if target is None or not target.asks_first or not target.in_place():
        return []
    program = shutil.which(client.program, path=place.environment.get("PATH")) or ""
    session = CodexSession(target.path.parent, program)
    try:
        states = await asyncio.to_thread(trust, session, str(place.project))
    except PushFailed as error:
        return [Check("codex hooks", False, f"whether they are trusted is not known ({error})", TRUST, optional=True)]
    found = ", ".join(sorted(set(states))) or "codex does not list them"
    fine = bool(states) and set(states) <= {"trusted", "managed"}
    return [Check("codex hooks", fine, f"{len(states)} of ours: {found}", TRUST, optional=True)]


def trust(session: CodexSession, folder: str) -> list[str]:
    """What the user said of each hook of ours: `trusted`, `untrusted`, `modified`, or `managed`. Raises PushFailed."""
    answer = session.ask([{"method": "hooks/list", "params": {"cwds": [folder]}}])
    entries = (answer.get("result") or {}).get("data") or []
    hooks = [hook for entry in entries for hook in entry.get("hooks", ())]
    return [str(hook.get("trustStatus")) for hook in hooks if hook.get("server") == SERVER]
