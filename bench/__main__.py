"""Runs the scenarios: subject and reference alternately, medians and ratios. `python -m bench [--quick] [NAME …]`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from bench import scenarios
from bench.servers import Server, hub, reference

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


def rounds(name: str, run: Callable[[Server, Server], scenarios.Pair], times: int) -> Result:
    """Alternate subject and reference; medians, spread and the ratio of each round's pair."""
    pairs: list[scenarios.Pair] = []
    with world() as (subject, bare):
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


def main() -> int:
    """Run, print, write JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"scenarios (default: all): {', '.join(scenarios.ALL)}")
    parser.add_argument("--quick", action="store_true", help="one short round each: for correctness, not for figures")
    parser.add_argument("--out", type=Path, help="write the results as JSON")
    options = parser.parse_args()
    if unknown := set(options.names) - set(scenarios.ALL):
        parser.error(f"unknown scenario {', '.join(sorted(unknown))}; there are: {', '.join(scenarios.ALL)}")
    scenarios.SECONDS = 0.4 if options.quick else 2.0
    results = [
        rounds(name, run, 1 if options.quick else 3)
        for name, run in scenarios.ALL.items()
        if not options.names or name in options.names
    ]
    if options.out:
        options.out.write_text(json.dumps({"machine": machine(), "results": results}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
