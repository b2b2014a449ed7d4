"""The commit guard: a git pre-commit hook that looks for files which somebody else has reserved.

Only git and files here; what is reserved comes in from the caller. An existing hook is never lost: it is moved aside,
runs first, and comes back when the guard is removed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hub.features.reservations.contract import Reservation
from hub.features.reservations.globs import Index, parse, path

MARK: Final = "# mcp-bridge guard"
ASIDE: Final = "pre-commit.before-mcp-bridge"
SECTION: Final = "mcp-bridge"
_SCRIPT: Final = f"""#!/bin/sh
{MARK}: refuses a commit that changes files which another agent has reserved.
# `mcp-bridge guard remove` takes it away; a hook that was here before runs first and comes back then.
before="$(dirname "$0")/{ASIDE}"
if [ -x "$before" ]; then "$before" "$@" || exit $?; fi
python={{python}}
if [ ! -x "$python" ]; then
  echo "mcp-bridge guard: $python is gone, so nothing was checked; run: mcp-bridge guard install" >&2
  exit 0
fi
exec "$python" -P -m mcp_bridge guard check
"""


class GuardError(Exception):
    """What stands in the way, and what to do."""


def git(*arguments: str, at: Path, missing_ok: bool = False) -> str:
    """Output of a git command. Raises GuardError with git's own words."""
    done = subprocess.run(["git", *arguments], cwd=at, capture_output=True, timeout=60)
    if done.returncode and not missing_ok:
        raise GuardError(done.stderr.decode(errors="replace").strip() or f"git {arguments[0]} failed")
    return done.stdout.decode(errors="surrogateescape")


@dataclass(frozen=True, slots=True)
class Plan:
    """What the guard of one repository was told."""

    room: str
    repo: str
    warn: bool
    agent: str
    override: str


def read_plan(at: Path) -> Plan:
    """The guard's settings in git's configuration. Raises GuardError when it is not installed."""

    def value(name: str) -> str:
        return git("config", "--get", f"{SECTION}.{name}", at=at, missing_ok=True).strip()

    room = value("room")
    if not room:
        raise GuardError("the guard is not set up in this repository; run: mcp-bridge guard install --room ROOM")
    return Plan(room, value("repo"), value("mode") == "warn", value("agent"), value("override"))


def hooks_folder(at: Path) -> Path:
    """Where this repository's hooks are. Raises GuardError for a folder that other repositories share."""
    if git("config", "--get", "core.hooksPath", at=at, missing_ok=True).strip():
        top = Path(git("rev-parse", "--show-toplevel", at=at).strip())
        folder = (top / git("rev-parse", "--git-path", "hooks", at=top).strip()).resolve()
        if not folder.is_relative_to(top.resolve()):
            raise GuardError(
                f"core.hooksPath sends hooks to {folder}, which other repositories may share; unset it first"
            )
        return folder
    return (at / git("rev-parse", "--git-path", "hooks", at=at).strip()).resolve()


def install(at: Path, room: str, repo: str, *, warn: bool, agent: str = "") -> Path:
    """Put the hook in place and write down its settings; the hook's path. Safe to repeat."""
    hook = hooks_folder(at) / "pre-commit"
    hook.parent.mkdir(parents=True, exist_ok=True)
    if hook.exists() and not _ours(hook):
        aside = hook.with_name(ASIDE)
        if aside.exists():
            raise GuardError(f"both {hook} and {aside} exist and are not the guard's; move one of them away first")
        hook.rename(aside)
    hook.write_text(_SCRIPT.format(python=_quoted(sys.executable)), "utf-8")
    hook.chmod(0o755)
    settings = {"room": room, "repo": repo, "mode": "warn" if warn else "refuse", "agent": agent}
    for name, value in settings.items():
        if value:
            git("config", f"{SECTION}.{name}", value, at=at)
        else:
            git("config", "--unset-all", f"{SECTION}.{name}", at=at, missing_ok=True)
    return hook


def remove(at: Path) -> bool:
    """Take the guard away and bring back what was there before; whether there was one."""
    hook = hooks_folder(at) / "pre-commit"
    git("config", "--remove-section", SECTION, at=at, missing_ok=True)
    if not hook.exists() or not _ours(hook):
        return False
    aside = hook.with_name(ASIDE)
    if aside.exists():
        aside.replace(hook)
    else:
        hook.unlink()
    return True


def _ours(hook: Path) -> bool:
    return MARK in hook.read_text("utf-8", errors="replace")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def staged(at: Path) -> list[str]:
    """Paths that the next commit changes, from the repository's root; a rename counts with both its names."""
    out = git("diff", "--cached", "--name-only", "--no-renames", "-z", at=at)
    return [name for name in out.split("\0") if name]


@dataclass(frozen=True, slots=True)
class Hit:
    """A changed file and the reservation by somebody else that covers it."""

    file: str
    reservation: Reservation


def hits(files: Sequence[str], held: Iterable[Reservation], me: str) -> list[Hit]:
    """What others hold of these files, exclusive ones first; shared holds count as a warning only."""
    index = Index((parse(pattern), one) for one in held if one.by != me for pattern in one.paths)
    found: dict[tuple[str, str], Hit] = {}
    for file in files:
        for _, _, one in index.overlapping([path(file)], 1_000_000):
            found[file, one.id] = Hit(file, one)
    return sorted(found.values(), key=lambda hit: (hit.reservation.mode, hit.file))
