"""Opening a file of this machine for an agent: only ordinary files, only below declared folders, never by a link.

Standard library only, because the relay uses it. The walk goes from folder to folder by descriptor and follows no
link, so nobody can swap a part of the path between the check and the opening.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Final

_OPEN: Final = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_PIECE_BYTES: Final = 64 * 1024
_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)


class NotShared(Exception):
    """This path is not shared; the message says why and what can be."""


def share_roots(environment: Mapping[str, str], project: Path, home: Path | None = None) -> list[Path]:
    """Folders whose files may be shared by path: BRIDGE_SHARE_ROOTS, else the project.

    A working directory that holds the person's home (a desktop program starts in `/`) is no project.
    """
    if declared := environment.get("BRIDGE_SHARE_ROOTS"):
        return [Path(part).expanduser() for part in declared.split(os.pathsep) if part]
    home = home or Path.home()
    return [] if home.resolve().is_relative_to(project.resolve()) else [project]


def open_shared(roots: Sequence[Path], path: str) -> BinaryIO:
    """The file at `path` (relative ones are in the first folder). Raises NotShared."""
    root, parts = _below(roots, Path(path))
    if hidden := next((part for part in parts if part.startswith(".")), None):
        raise NotShared(f"{hidden!r} is hidden, and hidden files are not shared by path; send its text as content")
    try:
        descriptor = _walk(root, parts) if os.open in os.supports_dir_fd else _resolved(root, parts)
    except OSError as error:
        raise NotShared(f"{path!r} cannot be opened without following a link: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotShared(f"{path!r} is not an ordinary file")
    return os.fdopen(descriptor, "rb")


def pieces(file: BinaryIO, size_bytes: int) -> Iterator[bytes]:
    """The first `size_bytes` of a file from its start, also when it grows meanwhile."""
    file.seek(0)
    while size_bytes and (data := file.read(min(_PIECE_BYTES, size_bytes))):
        size_bytes -= len(data)
        yield data


def _below(roots: Sequence[Path], path: Path) -> tuple[Path, tuple[str, ...]]:
    """The folder a path is in, and the way from there."""
    if ".." in path.parts:
        raise NotShared("a path with '..' is not shared; give it from the project's folder")
    for root in roots:
        for start in (root, root.resolve()):
            if not path.is_absolute() or path.is_relative_to(start):
                parts = path.parts if not path.is_absolute() else path.relative_to(start).parts
                if parts:
                    return root.resolve(), parts
    where = ", ".join(map(str, roots)) or "none; BRIDGE_SHARE_ROOTS declares some"
    raise NotShared(f"{str(path)!r} is not below a shared folder ({where})")


def _walk(root: Path, parts: Sequence[str]) -> int:
    folder = os.open(root, _OPEN | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            inner = os.open(part, _OPEN | os.O_DIRECTORY | _NO_FOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(parts[-1], _OPEN | _NO_FOLLOW | os.O_NONBLOCK, dir_fd=folder)
    finally:
        os.close(folder)


def _resolved(root: Path, parts: Sequence[str]) -> int:
    """Where folders cannot be walked by descriptor (Windows): what the path really names must be that very path."""
    path = root.joinpath(*parts)
    if path.resolve() != path:
        raise OSError(None, "it is a link")
    return os.open(path, _OPEN)
