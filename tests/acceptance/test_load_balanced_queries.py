"""The example, as a user runs it: real processes, two of five workers killed."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from hub.settings import Settings
from hub.storage.interface import Tx
from mcp_bridge.serve import serving

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(150)
async def test_two_of_five_workers_die_and_every_query_has_exactly_one_accepted_result(tmp_path: Path) -> None:
    """For each strategy and for pull. The hub's own log is the witness."""
    settings = Settings(home=tmp_path, port=0, log_level="error", writes_per_s=1e6, write_burst=1e6)
    async with serving(settings) as served:
        env = {**os.environ, "BRIDGE_URL": served.url, "BRIDGE_TOKEN": served.token, "PYTHONPATH": str(ROOT)}
        example = await asyncio.create_subprocess_exec(
            sys.executable,
            str(ROOT / "examples" / "load_balanced_queries.py"),
            env=env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(example.communicate(), 140)
        assert example.returncode == 0, out.decode() + err.decode()[-3000:]
        assert out.decode().count("100/100 answered") == 7
        assert await served.hub.store.read(_ends) == dict.fromkeys(range(7), 100)


def _ends(tx: Tx) -> dict[int, int]:
    """Per queue: tasks with exactly one `task.done`, and no other end."""
    ended: dict[int, dict[int, list[str]]] = {}
    for row in tx.rows("select log, type, data from event where type in ('task.done', 'task.dead', 'task.cancelled')"):
        data: dict[str, Any] = orjson.loads(bytes(row[2]))
        ended.setdefault(row[0], {}).setdefault(data["task"], []).append(row[1])
    return {
        number: sum(ends == ["task.done"] for ends in tasks.values())
        for number, tasks in enumerate(ended[log] for log in sorted(ended))
    }
