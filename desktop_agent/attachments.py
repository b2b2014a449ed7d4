"""Files of the room that belong to a question: brought to this machine for the window, and gone when the job ends."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from desktop_agent.jobs import AWAY
from desktop_agent.window import Refused
from hub.core.caller import Caller
from hub.core.errors import HubError
from hub.features.files.contract import MOST_READ_BYTES, GetFile, ReadFile
from hub.features.jobs.contract import Leased
from hub.kernel.files.contract import SharedFile

_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


class Attachments:
    """The files of one agent's jobs, in a folder that only its owner reads; there is one job at a time."""

    def __init__(self, hub: Caller, folder: Path) -> None:
        self._hub = hub
        self._folder = folder

    async def listed(self, job: Leased) -> tuple[SharedFile, ...]:
        """What is attached to the question. Raises Refused when one of them is gone."""
        try:
            return tuple([await self._hub.call(GetFile(room=job.room, file=file)) for file in job.question.attachments])
        except AWAY:
            raise
        except HubError as error:
            raise Refused(f"a file of the question cannot be had: {error.detail}") from error

    @contextmanager
    def kept(self) -> Iterator[None]:
        """The files are there while the body runs, and nothing of them before and after."""
        shutil.rmtree(self._folder, ignore_errors=True)
        try:
            yield
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def fetch(self, job: Leased) -> tuple[Path, ...]:
        """The files on this machine, whole, each under a name like its own. What was fetched is not fetched again."""
        files = await self.listed(job)
        paths = tuple(self._folder / name for name in names_of(files))
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for file, path in zip(files, paths, strict=True):
            if not path.exists():
                await self._bring(job, file, path)
        return paths

    async def _bring(self, job: Leased, file: SharedFile, path: Path) -> None:
        draft, digest, offset = self._folder / f".{file.id}.part", hashlib.sha256(), 0
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            while True:
                asked = ReadFile(room=job.room, file=file.id, offset=offset, max_bytes=MOST_READ_BYTES, base64=True)
                part = await self._hub.call(asked)
                data = b64decode(part.content_base64 or "")
                out.write(data)
                digest.update(data)
                if part.next_offset is None:
                    break
                offset = part.next_offset
        if digest.hexdigest() != file.sha256:
            raise Refused(f"the file {file.name!r} did not arrive as it was shared")
        draft.replace(path)


def names_of(files: tuple[SharedFile, ...]) -> list[str]:
    """Names for this machine: others choose names, so none is a device, is hidden, or has what Windows forbids."""
    names: list[str] = []
    for number, file in enumerate(files, 1):
        name = re.sub(r'[<>:"|?*\x00-\x1f/\\]', "_", file.name).rstrip(". ").lstrip(".") or "file"
        name = f"_{name}" if _RESERVED.fullmatch(name) else name
        taken = {one.casefold() for one in names}
        names.append(name if name.casefold() not in taken else f"{number}-{name}")
    return names


class Litter:
    """Whether files may still be attached in a window without having been sent. On disk, so that a restart knows it.

    Nothing can look into a window's attachments, so only sending them, or a person, ends this.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> str:
        """Names of the files; empty when the window is clean."""
        try:
            return self._path.read_text("utf-8")
        except FileNotFoundError:
            return ""

    def put(self, paths: tuple[Path, ...]) -> None:
        """These may be in the window from now on."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.write(", ".join(path.name for path in paths))

    def clear(self) -> None:
        self._path.unlink(missing_ok=True)
