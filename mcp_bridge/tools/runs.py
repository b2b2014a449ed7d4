"""run_code: execute code in the hub's sandbox."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final, Literal

from pydantic import Field

from hub.core.errors import Invalid
from hub.core.visible import visible
from hub.features.runs.contract import CancelRun, GetRun, Run, StartRun
from hub.features.runs.rules import SandboxStarting
from hub.server.parse import build
from mcp_bridge.desk import Desk
from mcp_bridge.toolbox import Answer, Args, RoomArg, tool

_TEXT_BYTES: Final = 8 * 1024  # per stream; the whole output is in the room's event and GET …/runs/{id}
_TRIES, _RETRY_S = 10, 0.5
_SHOWN: Final = ("exit_code", "killed_reason", "reason", "duration_ms", "cpu_ms", "peak_memory_bytes")


class RunCodeArgs(Args):
    language: Literal["python", "javascript", "bash"] | None = None
    code: str | None = None
    room: RoomArg = None
    files: list[str] = Field([], description="room files (or *.csv) to read in /room")
    save: list[str] = Field([], description="globs in /work to share with the room")
    timeout_s: float = Field(10, gt=0, le=300)
    run: str | None = Field(None, description="an earlier run's id: see or cancel it")
    action: Literal["run", "cancel"] = "run"
    wait_s: float = Field(50, ge=0, le=50)


@tool("Run code", {"id": "string", "state": "string", "stdout": "string"})
async def run_code(desk: Desk, args: RunCodeArgs) -> Answer:
    """Run code in the hub's sandbox (no network, limits) and get its output. The room sees code and output. A run still
    going after wait_s: call again with its id in run."""
    room = await desk.room(args.room)
    found = await _run(desk, args, room)
    if not found.settled() and args.wait_s and args.action == "run":
        found = await desk.call(GetRun(room=room, run=found.id, wait_s=args.wait_s))
    data = _brief(found)
    return Answer(data, _text(data), peer_text=True)


async def _run(desk: Desk, args: RunCodeArgs, room: str) -> Run:
    if args.action == "cancel":
        if args.run is None:
            raise Invalid("name the run to cancel: run='…'")
        return await desk.call(CancelRun(room=room, run=args.run))
    if args.run is not None:
        return await desk.call(GetRun(room=room, run=args.run, wait_s=args.wait_s))
    if args.language is None or args.code is None:
        raise Invalid("a new run needs language (python, javascript, bash) and code")
    asked = args.model_dump(include={"language", "code", "timeout_s", "files", "save"})
    request = build(StartRun, {"room": room, **asked})
    for _ in range(_TRIES):
        with suppress(SandboxStarting):  # the first run after a start: the test takes a moment
            return await desk.call(request)
        await asyncio.sleep(_RETRY_S)
    return await desk.call(request)


def _brief(run: Run) -> dict[str, Any]:
    """What a model needs: the ends of long outputs, where errors are."""
    data: dict[str, Any] = {"id": run.id, "state": run.state}
    data |= {name: value for name in _SHOWN if (value := getattr(run, name)) not in (None, "")}
    if run.files:
        data["files"] = [f"{file.name} ({file.id}, version {file.version})" for file in run.files]
    if run.not_saved:
        data["not_saved"] = [visible(why) for why in run.not_saved]
    return data | {"stdout": _end(run.stdout), "stderr": _end(run.stderr)}


def _end(text: str) -> str:
    raw = visible(text).encode()
    if len(raw) <= _TEXT_BYTES:
        return raw.decode()
    return f"[{len(raw) - _TEXT_BYTES} bytes before]\n" + raw[-_TEXT_BYTES:].decode(errors="ignore")


def _text(data: dict[str, Any]) -> str:
    head = " ".join(f"{name}={value}" for name, value in data.items() if name not in ("stdout", "stderr"))
    streams = [f"{name}:\n{data[name]}" for name in ("stdout", "stderr") if data[name]]
    return "\n".join([head, *streams])
