"""What a disk holds after a power cut: every write since a file's last sync may be there, missing, or torn.

A run is recorded with strace: the bytes of each write, each sync, and the lines with which the run reported what was
acknowledged. From that any moment can be cut: synced bytes are certain, and of what came later each 512-byte sector
is there or not. Nothing here knows the hub; `judge` looks at an image with plain SQLite.
"""

from __future__ import annotations

import json
import os
import random
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.faults.world import ROOT

SECTOR: Final = 512
CALLS: Final = "pwrite64,write,fdatasync,fsync,ftruncate"
_LINE: Final = re.compile(r"^(\d+) +(\w+)\(\d+<([^>]*)>(?:, )?(.*)$", re.DOTALL)
_DATA: Final = re.compile(r'^"([^"]*)", (\d+)(?:, (\d+))?')
_RESUMED: Final = re.compile(r"^(\d+) +<\.\.\. (fdatasync|fsync) resumed>.*= 0")


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes at an offset; a truncation has no bytes."""

    file: str
    offset: int
    data: bytes | None


@dataclass(frozen=True, slots=True)
class Sync:
    """A sync that returned: what was written to the file before step `since` is on disk."""

    file: str
    since: int


@dataclass(frozen=True, slots=True)
class Told:
    """A line of the report: what a client had been told by now."""

    line: str


Step = Write | Sync | Told


def record(home: Path, report: Path, trace: Path, rounds: int, synchronous: str) -> None:
    """Run the script once and write down its system calls."""
    command = ["strace", "-f", "-qq", "--seccomp-bpf", "-y", "-xx", "-s", "200000", "-e", f"trace={CALLS}"]
    script = [sys.executable, "-m", "tests.faults.talk_script", str(home), str(report), str(rounds), synchronous]
    done = subprocess.run(
        [*command, "-o", str(trace), *script],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    assert report.read_text().endswith("over\n")


def steps(trace: Path, files: Sequence[str], report: str) -> list[Step]:
    """What happened to these files and to the report, in order."""
    made: list[Step] = []
    begun: dict[str, tuple[str, int]] = {}
    with trace.open() as lines:
        for line in lines:
            if (resumed := _RESUMED.match(line)) and resumed[1] in begun:
                file, since = begun.pop(resumed[1])
                made.append(Sync(file, since))
            elif match := _LINE.match(line):
                thread, call, name, rest = match[1], match[2], _plain(match[3]).decode().rsplit("/", 1)[-1], match[4]
                if name == report:
                    made += [Told(told) for told in _bytes_of(rest)[0].decode().splitlines()]
                elif name in files and call in ("fdatasync", "fsync"):
                    if "unfinished" in line:
                        begun[thread] = (name, len(made))
                    else:
                        made.append(Sync(name, len(made)))
                elif name in files and call == "ftruncate":
                    made.append(Write(name, int(rest.split(")")[0].split(" ")[0]), None))
                elif name in files:
                    data, offset = _bytes_of(rest)
                    made.append(Write(name, offset, data))
    return made


def _plain(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _bytes_of(rest: str) -> tuple[bytes, int]:
    found = _DATA.match(rest)
    assert found is not None, rest[:200]
    data = _plain(found[1])
    assert len(data) == int(found[2]), "the trace cut a write short"
    return data, int(found[3] or 0)


@dataclass
class Disk:
    """Certain bytes per file, and what may or may not have reached the disk since."""

    certain: dict[str, bytearray] = field(default_factory=dict)
    pending: list[tuple[int, Write]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def take(self, number: int, step: Step) -> None:
        """Go on by one step."""
        if isinstance(step, Told):
            self.told.append(step.line)
        elif isinstance(step, Write):
            self.pending.append((number, step))
        else:
            for at, write in self.pending:
                if write.file == step.file and at < step.since:
                    _apply(self.certain.setdefault(write.file, bytearray()), write)
            self.pending = [(at, w) for at, w in self.pending if w.file != step.file or at >= step.since]

    def image(self, dice: random.Random, share: float) -> dict[str, bytes]:
        """The files after a cut now, each uncertain sector being there with probability `share`."""
        made = {name: bytearray(data) for name, data in self.certain.items()}
        for _, write in self.pending:
            target = made.setdefault(write.file, bytearray())
            if write.data is None:
                if dice.random() < share:
                    _apply(target, write)
                continue
            for start in range(0, len(write.data), SECTOR):
                if dice.random() < share:
                    _apply(target, Write(write.file, write.offset + start, write.data[start : start + SECTOR]))
        return {name: bytes(data) for name, data in made.items()}


def _apply(target: bytearray, write: Write) -> None:
    if write.data is None:
        del target[write.offset :]
        target.extend(bytes(max(0, write.offset - len(target))))
        return
    target.extend(bytes(max(0, write.offset - len(target))))
    target[write.offset : write.offset + len(write.data)] = write.data


def cuts(run: Sequence[Step], dice: random.Random, images: int) -> Iterator[tuple[dict[str, bytes], list[str]]]:
    """Images spread over the whole run after the first report, with what had been told by then."""
    first = next(number for number, step in enumerate(run) if isinstance(step, Told))
    every = (len(run) - first) / images
    disk, due = Disk(), float(first)
    for number, step in enumerate(run):
        disk.take(number, step)
        while number >= due:
            due += every
            yield disk.image(dice, dice.choice((0.0, 0.1, 0.5, 0.9, 1.0))), list(disk.told)


RANK: Final = {"ready": 0, "claimed": 1, "done": 2, "dead": 2}


def judge(folder: Path, image: dict[str, bytes], told: Sequence[str]) -> list[str]:
    """What is wrong with an image, as sentences."""
    for name in ("hub.db", "hub.db-wal", "hub.db-shm"):
        (folder / name).unlink(missing_ok=True)
    for name, data in image.items():
        (folder / name).write_bytes(data)
    try:
        with closing(sqlite3.connect(folder / "hub.db")) as db:
            if (found := db.execute("pragma quick_check(1)").fetchone()[0]) != "ok":
                return [f"corrupt: {found}"]
            return _lost(db, told)
    except sqlite3.DatabaseError as error:
        return [f"cannot be read: {error}"]


def _lost(db: sqlite3.Connection, told: Sequence[str]) -> list[str]:
    streams = dict(db.execute("select name, id from log"))
    if not {"build", "work"} <= streams.keys():
        return ["the room or the queue is gone"]
    build, work = streams["build"], streams["work"]
    events = {
        seq: (data, tombstone)
        for seq, data, tombstone in db.execute("select seq, data, tombstone from event where log = ?", (build,))
    }
    states = dict(db.execute("select seq, state from task where log = ?", (work,)))
    leased = {row[0] for row in db.execute("select seq from lease where log = ?", (work,))}
    wrong = []
    if sorted(events) != list(range(1, len(events) + 1)):
        wrong.append("the numbers have gaps")
    for line in told:
        word, *rest = line.split()
        if word == "sent":
            data, _ = events.get(int(rest[0]), (b"{}", None))
            if not json.loads(data).get("text", "").startswith(f"{rest[1]} "):
                wrong.append(f"#{rest[0]} was acknowledged and is not there")
        elif word == "redacted" and events.get(int(rest[0]), (b"", None))[1] != "redacted":
            wrong.append(f"#{rest[0]} was redacted and is readable again")
        elif word == "task":
            seq = _number(rest[0])
            now = states.get(seq)
            rank = {"done": 2, "dead": 2, "open": 1 if seq in leased else 0}.get(str(now), -1)
            if rank < RANK[rest[1]] or (RANK[rest[1]] == 2 and now != rest[1]):
                wrong.append(f"task {rest[0]} was told to be {rest[1]} and is {now}")
    return wrong


def _number(task: str) -> int:
    """The sequence number in a task's id: Crockford's base32 after the dash."""
    value = 0
    for letter in task.rsplit("-", 1)[1]:
        value = value * 32 + "0123456789abcdefghjkmnpqrstvwxyz".index(letter)
    return value
