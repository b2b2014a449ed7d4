"""Reading and writing configuration files whole: encoding kept, written atomically, a backup first, exact undo."""

from __future__ import annotations

import codecs
import difflib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hub.storage.directory import make_private
from mcp_bridge.setup.edit import CannotEdit

_MARKS = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def decode(data: bytes) -> tuple[str, str]:
    """Text (with its BOM as a character) and the encoding it was in. Raises CannotEdit."""
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding), encoding
    except UnicodeDecodeError as error:
        raise CannotEdit(f"not valid {encoding}: save the file as UTF-8 first") from error


@dataclass(frozen=True, slots=True)
class Change:
    """A file before and after. `before` is None when it did not exist; `after` is None when it should not."""

    path: Path
    before: bytes | None
    after: bytes | None

    @property
    def needed(self) -> bool:
        return self.before != self.after

    def diff(self) -> str:
        """The change as a unified diff."""
        old, new = (decode(data)[0] if data is not None else "" for data in (self.before, self.after))
        lines = difflib.unified_diff(
            old.splitlines(keepends=True), new.splitlines(keepends=True), str(self.path), str(self.path)
        )
        return "".join(line if line.endswith("\n") else line + "\n" for line in lines)


def read(path: Path) -> bytes | None:
    """The file's bytes; None when there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def edited(path: Path, edit: Callable[[str], str]) -> Change:
    """What `edit` would make of the file."""
    before = read(path)
    text, encoding = decode(before or b"")
    return Change(path, before, edit(text).encode(encoding))


class Writes(Protocol):
    """What puts something of ours into one file, and takes it out."""

    @property
    def path(self) -> Path: ...

    def put(self, text: str) -> str: ...

    def take(self, text: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Both:
    """Several changes to one file."""

    path: Path
    parts: tuple[Writes, ...]

    def put(self, text: str) -> str:
        for part in self.parts:
            text = part.put(text)
        return text

    def take(self, text: str) -> str:
        for part in self.parts:
            text = part.take(text)
        return text


class Ledger:
    """Remembers what files were before we wrote them: `backups/` in the bridge's home, owner-only."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._folder = home / "backups"
        self._index = self._folder / "index.json"

    def apply(self, change: Change) -> Path | None:
        """Write it (once more checked against what was read), keeping a backup; the backup's path, if any."""
        target = change.path.resolve()  # a symbolic link stays one
        if read(target) != change.before:
            raise CannotEdit(f"{target} changed meanwhile; run the command again")
        make_private(self._home)
        backup = self._keep(target, change.before)
        if change.after is None:
            target.unlink(missing_ok=True)
        else:
            write(target, change.after)
        index = self._entries()
        entry = index.get(str(target))
        if entry is None or change.before is None or digest(change.before) != entry["after"]:
            entry = {"before": str(backup) if backup else None}  # somebody wrote in between: undo goes back to that
        index[str(target)] = {**entry, "after": digest(change.after)}
        write(self._index, json.dumps(index, indent=2).encode())
        return backup

    def undo(self, path: Path, remove: Callable[[str], str]) -> Change:
        """Take our entry out: the old bytes when nobody wrote since, else only our keys."""
        current = read(path)
        entry = self._entries().get(str(path.resolve()))
        if current is not None and entry is not None and entry["after"] == digest(current):
            kept = entry["before"]
            if kept is None:
                return Change(path, current, None)
            if (old := read(Path(kept))) is not None and remove(decode(old)[0]) == decode(old)[0]:
                return Change(path, current, old)
        if current is None:
            return Change(path, None, None)
        return edited(path, remove)

    def forget(self, path: Path) -> None:
        """Undone: the next setup starts from what is there then."""
        index = self._entries()
        if index.pop(str(path.resolve()), None) is not None:
            write(self._index, json.dumps(index, indent=2).encode())

    def _entries(self) -> dict[str, dict[str, str | None]]:
        try:
            found: dict[str, dict[str, str | None]] = json.loads(self._index.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return found

    def _keep(self, target: Path, before: bytes | None) -> Path | None:
        if before is None:
            return None
        backup = self._folder / f"{target.name}.{digest(before)[:12]}.{time.time_ns()}"
        write(backup, before)
        return backup


def digest(data: bytes | None) -> str:
    return hashlib.sha256(data if data is not None else b"\0absent").hexdigest()


def write(path: Path, data: bytes) -> None:
    """Replace a file atomically, keeping its mode; new ones are for the owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            Path(name).chmod(path.stat().st_mode & 0o7777)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
