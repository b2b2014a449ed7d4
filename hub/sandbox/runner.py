"""The runner: a small process beside the hub that starts sandboxes and watches them.

Apart from the hub for three reasons: forking a large process and looking at /proc would stall the hub's event loop;
bubblewrap's `--die-with-parent` means the thread that started it, and here there is only one; and a hub that runs as
root gives its rights up here once, before anything is started. It ends with the hub: its end of the socket closes,
however the hub died, and every sandbox dies with its parent.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from typing import Any, Final

from hub.sandbox.bwrap import Bwrap
from hub.sandbox.cgroup import Groups, NoGroups, claim, own_folder
from hub.sandbox.engine import Given, Limits, RunResult, RunSpec, SandboxUnavailable
from hub.sandbox.wire import Wire

UNUSED_UID: Final = 61184  # in no distribution's ranges: never the kernel's root, never another service


def main() -> None:
    """`runner FD BWRAP`: serve the hub at the other end of FD until it is gone."""
    sock = socket.socket(fileno=int(sys.argv[1]))
    groups, note = _groups()
    give_up_rights()
    os.umask(0o077)
    os.chdir("/")
    asyncio.run(serve(sock, Bwrap(sys.argv[2] or None, groups, note)))


def _groups() -> tuple[Groups | None, str]:
    """Where to make control groups, while we still may say so; else why not."""
    try:
        return claim(own_folder(), UNUSED_UID if os.geteuid() == 0 else None), ""
    except NoGroups as error:
        return None, str(error)


def give_up_rights() -> None:
    """Root becomes a user that owns nothing; an ordinary user stays who it is."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(UNUSED_UID, UNUSED_UID, UNUSED_UID)
        os.setresuid(UNUSED_UID, UNUSED_UID, UNUSED_UID)


async def serve(sock: socket.socket, engine: Bwrap) -> None:
    """Until the hub is gone. Then leave at once: what still runs dies with this process."""
    gone = asyncio.Event()
    desk = _Desk(engine)
    desk.wire = Wire(sock, desk.receive, gone.set)
    await gone.wait()
    os._exit(0)


class _Desk:
    """Takes requests, one task each."""

    wire: Wire

    def __init__(self, engine: Bwrap) -> None:
        self._engine = engine
        self._stops: dict[int, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def receive(self, head: dict[str, Any], _body: bytes, fds: list[int]) -> None:
        number = int(head["id"])
        if head["do"] == "stop":
            if number in self._stops:
                self._stops[number].set()
            return
        if head["do"] == "run":
            self._stops[number] = asyncio.Event()  # before the task begins: the stop may be right behind
        work = self._test(number) if head["do"] == "test" else self._run(number, head, fds)
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _test(self, number: int) -> None:
        try:
            languages = await self._engine.self_test()
            found = {"languages": languages, "enforcement": self._engine.enforcement, "note": self._engine.note}
            self.wire.send({"id": number, **found})
        except SandboxUnavailable as error:
            self.wire.send({"id": number, "unavailable": str(error)})
        except Exception as error:
            self.wire.send({"id": number, "unavailable": f"the self-test failed: {error!r}"})

    async def _run(self, number: int, head: dict[str, Any], fds: list[int]) -> None:
        stop = self._stops[number]
        try:
            result = await self._engine.run(
                _spec(head, fds), lambda name, data: self.wire.send({"id": number, "out": name}, data), stop
            )
            self._report(number, result)
        except SandboxUnavailable as error:
            self.wire.send({"id": number, "unavailable": str(error)})
        except Exception as error:  # a bug of ours must not leave the hub waiting
            self.wire.send({"id": number, "unavailable": f"the runner failed: {error!r}"})
        finally:
            del self._stops[number]
            for fd in fds:
                os.close(fd)

    def _report(self, number: int, result: RunResult) -> None:
        fields = {name: getattr(result, name) for name in REPORTED}
        produced = [(file.name, file.size_bytes) for file in result.produced]
        head = {"id": number, "result": fields, "produced": produced}
        self.wire.send(head, fds=[file.fd for file in result.produced], give=True)


REPORTED: Final = (
    "exit_code", "signal", "killed_reason", "duration_ms", "engine", "memory_enforcement", "cpu_ms",
    "peak_memory_bytes", "stopped", "not_saved",
)  # fmt: skip


def _spec(head: dict[str, Any], fds: list[int]) -> RunSpec:
    """The first descriptor holds the code, the others the files."""
    with os.fdopen(os.dup(fds[0]), "rb") as file:
        code = file.read().decode()
    files = tuple(Given(name, fd) for name, fd in zip(head["files"], fds[1:], strict=True))
    return RunSpec(head["language"], code, files, tuple(head["save"]), Limits(**head["limits"]))


def request(number: int, spec: RunSpec) -> dict[str, Any]:
    """The head of a run request; see `_spec`."""
    names = [given.name for given in spec.files]
    limits = {name: getattr(spec.limits, name) for name in Limits.__dataclass_fields__}
    head = {"id": number, "do": "run", "language": spec.language, "files": names, "save": spec.save, "limits": limits}
    assert len(json.dumps(head)) < 100_000, "names and globs are limited by the contract"
    return head
