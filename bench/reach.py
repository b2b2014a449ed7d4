"""How long a message takes into the next request of a live, idle Claude Code session: `python -m bench.reach [TRIES]`.

Real client, model on loopback; needs `npm ci` in tests/clients. The time is from the send's start to the request.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import median, quantiles

from tests.clients.stage import Stage


def main(tries: int = 40) -> None:
    """Print median and p95."""
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        try:
            stage.open("hello")
            took = [_once(stage, number) for number in range(tries)]
        finally:
            stage.close()
    print(f"into an idle session: median {median(took):.2f} s, p95 {quantiles(took, n=20)[-1]:.2f} s, {tries} messages")


def _once(stage: Stage, number: int) -> float:
    stage.send(f"REACH-{number}-WORD", "claude-proj")
    return stage.arrives(f"REACH-{number}-WORD")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
