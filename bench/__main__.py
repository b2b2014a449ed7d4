"""Runs the scenarios: subject and reference alternately, medians and ratios. `python -m bench [--quick] [NAME …]`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from bench import goals, scenarios
from bench.pair import Pair, Run, Size
from bench.queues import Missing
from bench.servers import Server, apart, hub, reference

Result = dict[str, Any]


def machine() -> dict[str, str]:
    """What the figures were taken on."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    names = ("multi-agent-bridge", "starlette", "uvicorn", "uvloop", "pydantic", "orjson")
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cpu": f"{os.cpu_count()} × {model}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **{name: version(name) for name in names},
    }


@contextmanager
def world() -> Iterator[tuple[Server, Server]]:
    """The hub and the bare reference, side by side."""
    with reference() as bare, hub() as subject:
        yield subject, bare


def rounds(name: str, run: Run, times: int) -> Result:
    """Alternate subject and reference; medians, spread and the ratio of each round's pair."""
    pairs: list[Pair] = []
    with nullcontext() if name in scenarios.SPREAD else apart(), world() as (subject, bare):
        scenarios.prepare(subject)
        for _ in range(times):
            pairs.append(run(subject, bare))
    ratios = sorted(pair.ratio for pair in pairs)
    made = {
        "scenario": name,
        "unit": pairs[0].unit,
        "subject": round(median(pair.subject for pair in pairs), 2),
        "reference": round(median(pair.reference for pair in pairs), 2),
        "ratio": round(median(ratios), 3),
        "ratio_min": round(ratios[0], 3),
        "ratio_max": round(ratios[-1], 3),
        "detail": pairs[-1].detail,
    }
    print(
        f"{name:34} {made['subject']:>12} {made['reference']:>12} {made['unit']:8} "
        f"ratio {made['ratio']} ({made['ratio_min']}–{made['ratio_max']})  {made['detail']}",
        flush=True,
    )
    return made


class Gate(NamedTuple):
    """What a ratio must reach, or stay under (`lower`); None is for information. `against` names the reference."""

    limit: float | None
    against: str
    lower: bool = False

    def verdict(self, ratio: float) -> str:
        if self.limit is None:
            return "–"
        reached = ratio <= self.limit if self.lower else ratio >= self.limit
        return f"{'≤ ' if self.lower else ''}{self.limit}: {'reached' if reached else '**not reached**'}"


NATS = "NATS JetStream, `sync_interval: always`"
REDIS = "Redis stream, `appendfsync always`"
GATES = {  # goals as ratios; a scenario without one is for information
    "send-http-16": Gate(0.3, "the bare Starlette echo"),
    "send-http-64": Gate(0.4, "the bare Starlette echo"),
    "send-nats-16": Gate(0.8, NATS),
    "send-nats-64": Gate(1.0, NATS),
    "send-redis-16": Gate(None, REDIS),
    "send-redis-64": Gate(None, REDIS),
    "send-websocket-16x16": Gate(0.2, "the bare WebSocket echo"),
    "websocket-nats-4x256": Gate(2.0, NATS),
    "websocket-redis-4x256": Gate(None, REDIS),
    "send-under-reads": Gate(0.12, "the same sends without readers"),
    "batch-100": Gate(0.1, "raw SQLite, batches of 100"),
    "wake-redis-p50": Gate(2.0, f"{REDIS}, a blocked XREAD", lower=True),
    "wake-redis-p99": Gate(3.0, f"{REDIS}, a blocked XREAD", lower=True),
    "fan-out-100": Gate(3.0, "a bare broadcast, one frame per event"),
    "fan-out-1000": Gate(3.0, "a bare broadcast, one frame per event"),
    "paced-1000": Gate(1.0, "the limit", lower=True),
    "idle-1000-memory": Gate(1.0, "the limit", lower=True),
    "idle-1000-cpu": Gate(1.0, "the limit", lower=True),
    "pollers-1000": Gate(5.0, "their own median", lower=True),
    "growth-history": Gate(1.5, "the smallest", lower=True),
    "growth-rooms": Gate(1.5, "the smallest", lower=True),
    "growth-members": Gate(1.5, "the smallest", lower=True),
    "page-of-a-million": Gate(1.0, "the limit", lower=True),
    "ready-with-a-million": Gate(1.0, "the limit", lower=True),
    "mcp-call": Gate(1.6, "the SDK's own trivial tool", lower=True),
    "stdio-first-frame": Gate(1.0, "the limit", lower=True),
    "memory": Gate(1.0, "the limit", lower=True),
    "wake-latency": Gate(None, "the send's own round trip"),
    "send-against-raw-sqlite": Gate(None, "raw SQLite, batches of 64"),
    "sandbox-overhead": Gate(None, "a plain `python3`"),
    "latency-beside-runs": Gate(None, "the same hub at rest (aim: ≤ 1.5)"),
    "claim-ack-redis": Gate(0.2, "Redis Streams consumer group, `appendfsync always`"),
    "claim-ack-10-redis": Gate(None, "Redis Streams, `COUNT 10`, `appendfsync always`"),
    "claim-ack-next-redis": Gate(None, "Redis Streams, XACK + XREADGROUP pipelined, `appendfsync always`"),
    "claim-ack-nats-sync": Gate(None, "NATS JetStream pull consumer, `sync_interval: always`"),
    "claim-ack-nats": Gate(None, "NATS JetStream pull consumer (its default: no fsync per message)"),
}
HEAD = """<!-- Generated by `python -m bench --page docs/performance.md`; do not edit. -->

# Performance

`make bench` measures ratios against references of the same run, subject and reference alternating; absolute figures
drift with the machine, and with what else runs on it. The load generator has one core for itself, servers, ours and the
others, have the rest; where code runs beside the hub everything shares all cores. All features are on: authentication,
limits (raised), validation, projections, idempotency, metrics, `synchronous=FULL`. A gate that is not reached is listed
as such.
"""


def page(about: dict[str, str], results: list[Result], earlier: str = "") -> str:
    """The results as the page of the documentation; rows of an earlier page that were not measured now stay."""
    told = ", ".join(f"{name} {value}" for name, value in about.items()) + "."
    ran = f"Last run: {told}"
    now = {result["scenario"] for result in results}
    kept = [
        line for line in earlier.splitlines() if line.startswith("| ") and line[2:].split(" ")[0] in GATES.keys() - now
    ]
    if kept:
        ran = "\n\n".join(_runs(earlier, now, told))
    lines = [HEAD, ran, ""]
    lines += [
        "| scenario | hub | reference | ratio, median (min–max) | gate | detail |",
        "|---|---|---|---|---|---|",
        *kept,
    ]
    lines += [_row(result) for result in results]
    curves = [kind for kind in ("history", "rooms", "members") if (goals.IMAGES / f"growth-{kind}.svg").exists()]
    if curves:
        lines += [
            "",
            "## Growth",
            "",
            "The cost of one send and one poll, relative to the smallest size; red is the gate.",
            "",
        ]
        lines += [f"![Cost against {kind}](images/growth-{kind}.svg)" for kind in curves]
    return "\n".join(lines) + "\n"


def _runs(earlier: str, now: set[str], told: str) -> list[str]:
    """When which rows were measured: `now` of them as `told`, the others as the earlier page says."""
    lines = []
    for line in earlier.splitlines():
        if line.startswith("Last run of "):
            names, _, before = line.removeprefix("Last run of ").partition(": ")
            left = set(names.split(", ")) - now
            if left and before == told:
                now = now | left
            elif left:
                lines.append(f"Last run of {', '.join(sorted(left))}: {before}")
        elif line.startswith("Last run"):
            lines.append(line)
    return [*lines, f"Last run of {', '.join(sorted(now))}: {told}"]


def _row(result: Result) -> str:
    gate = GATES[result["scenario"]]
    digits = 0 if result["unit"].endswith("/s") else 2
    cells = (
        result["scenario"],
        f"{result['subject']:,.{digits}f} {result['unit']}",
        f"{result['reference']:,.{digits}f}, {gate.against}",
        f"{result['ratio']} ({result['ratio_min']}–{result['ratio_max']})",
        gate.verdict(result["ratio"]),
        result["detail"],
    )
    return f"| {' | '.join(cells)} |"


def main() -> int:
    """Run, print, write JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"scenarios (default: all): {', '.join(scenarios.ALL)}")
    parser.add_argument("--quick", action="store_true", help="one short round each: for correctness, not for figures")
    parser.add_argument("--out", type=Path, help="write the results as JSON")
    parser.add_argument("--page", type=Path, help="write the results as a page of the documentation")
    options = parser.parse_args()
    if unknown := set(options.names) - set(scenarios.ALL):
        parser.error(f"unknown scenario {', '.join(sorted(unknown))}; there are: {', '.join(scenarios.ALL)}")
    Size.quick = options.quick
    results = []
    for name, run in scenarios.ALL.items():
        if not options.names or name in options.names:
            try:
                results.append(rounds(name, run, 1 if options.quick or name in scenarios.ONCE else 3))
            except Missing as missing:
                print(f"{name:34} skipped: {missing} is not installed", flush=True)
    if options.out:
        options.out.write_text(json.dumps({"machine": machine(), "results": results}, indent=1) + "\n")
    if options.page:
        earlier = options.page.read_text("utf-8") if options.names and options.page.exists() else ""
        options.page.write_text(page(machine(), results, earlier), "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
