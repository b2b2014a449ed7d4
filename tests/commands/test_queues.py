"""`mcp-bridge queues`: a dispatcher and a worker in two terminals."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.commands.test_commands import bridge, home  # noqa: F401 (a fixture)

WORDS = "import sys; text = sys.stdin.read(); sys.exit(3) if 'bad' in text else print(len(text.split()))"


def test_any_program_is_a_worker_and_a_list_is_mapped_over_it(home: Path) -> None:  # noqa: F811
    bridge(home, "queues", "create", "words", "--max-attempts", "1")
    bridge(home, "queues", "send", "words", "three small words")
    bridge(home, "queues", "send", "words", "a bad one")
    done = bridge(home, "queues", "work", "words", "--until-empty", "--", sys.executable, "-c", WORDS)
    assert (done.count("done"), done.count("failed")) == (1, 1)
    assert "exit code 3" in bridge(home, "queues", "dead", "words")
    assert "1 back" in bridge(home, "queues", "redrive", "words")
    listed = json.loads(bridge(home, "queues", "show", "words", "--json"))
    assert (listed["open"], listed["dead"], listed["mode"]) == (1, 0, "pull")
    bridge(home, "queues", "drain", "words")
    assert "queue-draining" in bridge(home, "queues", "send", "words", "no", code=1)
    assert "draining" in bridge(home, "queues", "list")
    bridge(home, "queues", "resume", "words")


def test_a_worker_can_be_registered_and_seen(home: Path) -> None:  # noqa: F811
    bridge(home, "queues", "create", "pushed", "--mode", "push", "--strategy", "weighted")
    assert "weight 3, capacity 2" in bridge(
        home, "queues", "worker", "pushed", "me", "--weight", "3", "--capacity", "2"
    )
    shown = bridge(home, "queues", "show", "pushed")
    assert "0/2" in shown
    assert "closed" in shown
    sent = json.loads(bridge(home, "queues", "send", "pushed", "x", "--json"))
    assert sent["worker"] == "local"
    assert "removed" in bridge(home, "queues", "worker", "pushed", "me", "--remove")
