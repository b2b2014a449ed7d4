"""`mcp-bridge listen monitor|rewake|hook`: what clients start in a session. Standard library only.

`monitor` prints each text as a line, which the client takes as an event; it waits as long as the session lives.
`rewake` waits for one text, prints it on stderr and exits with 2, which wakes the session; where a monitor or another
waiting hook is there already, or nobody sits at the session (`claude -p`), it exits at once and disturbs nothing. These two
are of our Claude Code plugin. `hook` is a hook of Gemini CLI: it reads what happened and prints what the relay answers.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Final

from hub.running import is_running
from hub.settings import default_home
from mcp_bridge.push.listeners import Kind, Link, folder, names, read

FIND_S: Final = 0.5
PATIENCE_S: Final = 30.0  # a relay starts with the session; longer than this there is none
PASSED_ON: Final = {"event": "hook_event_name", "transcript": "transcript_path", "prompt": "prompt"}


def find(home: Path) -> tuple[int, str] | None:
    """Port and secret of this session's relay, if there is one."""
    for name in names(os.environ, os.getppid()):
        told = read(folder(home) / f"{name}.json")
        if told.get("port") and is_running(int(told.get("pid", 0))):
            return int(told["port"]), str(told["secret"])
    return None


def connect(kind: Kind, home: Path) -> Link | None:
    """The relay, waiting for us to print; None when there is none, or it has no use for us."""
    found = find(home)
    if found is None:
        return None
    with contextlib.suppress(OSError):
        link = Link(socket.create_connection(("127.0.0.1", found[0]), 5))
        link.write({"kind": kind, "secret": found[1]})
        if link.read().get("busy") is False:
            return link
        link.close()
        return None
    return None


def monitor(home: Path) -> int:
    """Print for as long as the client lives."""
    client = int(os.environ.get("CLAUDE_PID") or os.getppid())
    while is_running(client):
        if (link := connect("monitor", home)) is None:
            time.sleep(FIND_S)
            continue
        while text := link.wait():
            print(text, flush=True)
            with contextlib.suppress(OSError):  # the relay waits no more: connect again
                link.write({"done": True})
        link.close()
    return 0


def rewake(home: Path) -> int:
    """Print one text and say by the exit code that the session should wake."""
    if os.environ.get("CLAUDE_CODE_ENTRYPOINT", "cli") != "cli":
        return 0
    until = time.monotonic() + PATIENCE_S
    while find(home) is None and time.monotonic() < until:
        time.sleep(FIND_S)
    link = connect("rewake", home)
    text = link.wait() if link is not None else ""
    if link is None or not text:
        return 0
    print(text, file=sys.stderr, flush=True)
    link.write({"done": True})
    return 2


def hook(home: Path) -> int:
    """Print a hook's output. Without a relay there is nothing to say, and a hook that fails would be shown to the user."""
    said: object = {}
    with contextlib.suppress(OSError, ValueError):
        happened = json.load(sys.stdin)
        if isinstance(happened, dict) and (found := find(home)) is not None:
            link = Link(socket.create_connection(("127.0.0.1", found[0]), 5))
            given = {ours: happened.get(theirs, "") for ours, theirs in PASSED_ON.items()}
            link.write({"kind": "hook", "secret": found[1], "given": given})
            said = link.read().get("said", {})
            link.close()
    print(json.dumps(said), flush=True)
    return 0


def main(argv: list[str]) -> None:
    """Exits with 2 when a text should wake the session."""
    home = Path(os.environ.get("BRIDGE_HOME") or default_home())
    if argv not in (["monitor"], ["rewake"], ["hook"]):
        print("Usage: mcp-bridge listen monitor|rewake|hook (clients start it in a session)", file=sys.stderr)
        raise SystemExit(2 if argv != ["--help"] else 0)
    if argv == ["hook"]:
        raise SystemExit(hook(home))
    sys.stdin.close()
    try:
        raise SystemExit(monitor(home) if argv == ["monitor"] else rewake(home))
    except (KeyboardInterrupt, BrokenPipeError, OSError):
        raise SystemExit(0) from None
