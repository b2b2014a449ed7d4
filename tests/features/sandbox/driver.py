"""Runs the probes as whoever starts it, with only the standard library: `driver.py hardened|naive|hang DIR`.

Prints, as JSON, the probes that escaped and what the self-test said.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[2])

from hub.features.sandbox.engines import bwrap
from hub.features.sandbox.engines.engine import Limits, RunSpec, SandboxUnavailable
from tests.features.sandbox.probes import PROBES


class Naive(bwrap.Bwrap):
    """What a README suggests: everything read-only, and hope."""

    def _arguments(self, spec: RunSpec) -> list[str]:
        made = [str(self._binary), "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"]
        return [*made, "--tmpfs", "/work", "--chdir", "/work"]


async def report(kind: str, home: Path) -> dict[str, object]:
    engine = Naive() if kind == "naive" else bwrap.Bwrap()
    (home / "secret").write_text("secret")
    (home / "room").mkdir(exist_ok=True)
    os.environ["PLANTED"] = "PLANTED"
    listener, abstract = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX)
    name = f"bridge-probe-{os.getpid()}"
    abstract.bind(f"\0{name}")
    abstract.listen()
    port = str(listener.getsockname()[1])
    escaped, ran = [], 0
    for probe, code in PROBES.items():
        code = code.replace("SECRET", str(home / "secret")).replace("PORT", port).replace("ABSTRACT", name)
        result = await engine.run(RunSpec("python", code, room_dir=home / "room", limits=Limits(wall_s=30)))
        ran += result.killed_reason is None
        if b"ESCAPED" in result.stdout:
            escaped.append(probe)
    try:
        await engine.self_test()
        said = "held"
    except SandboxUnavailable as error:
        said = str(error)
    return {"ran": ran, "escaped": escaped, "self_test": said, "uid": os.getuid()}


async def hang() -> None:
    print("started", flush=True)
    await bwrap.Bwrap().run(
        RunSpec("bash", f": {sys.argv[3]}; sleep 61 & setsid sleep 61 & sleep 61", limits=Limits(wall_s=60))
    )


if __name__ == "__main__":
    if sys.argv[1] == "hang":
        asyncio.run(hang())
    else:
        print(json.dumps(asyncio.run(report(sys.argv[1], Path(sys.argv[2])))))
