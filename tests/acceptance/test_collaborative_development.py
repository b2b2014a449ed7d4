"""The example of five agents, as a user runs it: real MCP processes over stdio, and what they built really works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def numeral(number: int) -> str:
    """A second opinion: digit by digit, not by a table."""
    digits = ("", "x", "xx", "xxx", "xv", "v", "vx", "vxx", "vxxx", "xy")
    places = (
        {"x": "M"},
        {"x": "C", "v": "D", "y": "M"},
        {"x": "X", "v": "L", "y": "C"},
        {"x": "I", "v": "V", "y": "X"},
    )
    parts = zip(f"{number:04d}", places, strict=True)
    return "".join(names[sign] for digit, names in parts for sign in digits[int(digit)])


@pytest.mark.timeout(200)
def test_five_agents_with_roles_build_a_program_that_works(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "collaborative_development.py"), "--keep"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=190,
    )
    out = done.stdout
    assert done.returncode == 0, out[-4000:] + done.stderr[-4000:]
    assert "✗" not in out
    assert out.count("✓") >= 9
    for agent in ("cora", "rhea", "cody", "rita", "tess"):
        assert re.search(rf"· {agent} member\.joined", out) or f"{agent} room.created" in out, f"{agent} was there"
    story = (
        "Which numbers have a Roman numeral",
        "proposal.opened Convert by a table",
        "argument",
        "You have all argued",
        "proposal.closed Convert by a table",
        "card.claimed .* Write roman.py",
        "It does not pass",
        "card.claimed .* 4 comes out as IIII",
        "Please release roman.py",
        "card.claimed .* Review roman.py",
        "card.claimed .* 0 has a numeral",
        "proposal.closed Release roman.py",
        "Over. roman.py is released",
    )
    assert re.search(".*".join(story), out, re.DOTALL), "the story is told in this order"
    _the_program_works(tmp_path)


def _the_program_works(place: Path) -> None:
    """For every number there is, by another way of converting, in a process of its own."""
    workspace = next(place.glob("bridge-example-*/workspace"))
    assert numeral(1994) == "MCMXCIV"
    wanted = "\n".join(numeral(number) for number in range(1, 4000))
    code = "import roman; print('\\n'.join(map(roman.to_roman, range(1, 4000))), end='')"
    found = subprocess.run([sys.executable, "-c", code], cwd=workspace, capture_output=True, text=True, check=True)
    assert found.stdout == wanted
    for wrong in ("0", "4000", "-1"):
        refused = subprocess.run(
            [sys.executable, "-c", f"import roman; roman.to_roman({wrong})"],
            cwd=workspace,
            capture_output=True,
            text=True,
        )
        assert "ValueError" in refused.stderr, wrong
