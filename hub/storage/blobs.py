"""Bytes on disk under names nobody chose: received in streams, complete and on disk before anything refers to them.

    blobs/incoming/<random>           being received; no transaction ever names it
    blobs/ab/<sha256>-<random>        complete; rows name it by this *place*

Every reception gets a place of its own, also for bytes that are there already. So whoever collects garbage and
whoever receives the same bytes again can never mean the same file, in one process or in several: what a deleted row
named may be unlinked at any time later. No SQL here; which places are needed is the kernel's knowledge.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from hub.core.errors import NotFound, StorageFull, TooLarge, Unavailable
from hub.core.media import Sniffer, StoredBlob

CHUNK_BYTES: Final = 256 * 1024
MARK: Final = "belongs-to"  # a file in the directory; places are one folder down
_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class BytesMissing(NotFound):
    """The log knows the file, the disk does not: restored without its blobs, or on another hub's disk."""

    code, title = "bytes-missing", "The file's bytes are not here"


class FilesElsewhere(Unavailable):
    """The directory is not this database's, or not the one of the other hubs on it."""

    code, title = "files-elsewhere", "This hub does not reach the files"


@dataclass(frozen=True, slots=True)
class FileLimits:
    """How large one file and all files of one room may be."""

    file_bytes: int = 25 * 1024 * 1024
    room_bytes: int = 1024 * 1024 * 1024


class BlobStore:
    """The blob directory of one hub, or of several on a shared file system."""

    def __init__(self, directory: Path, limits: FileLimits | None = None) -> None:
        self.directory = directory
        self.limits = limits or FileLimits()
        self.elsewhere = ""  # why this directory is not to be used
        self._received: set[str] | None = set()  # places of this process, until it has looked for older ones

    def prepare(self) -> None:
        """Make the directories."""
        for part in (self.directory, self.directory / "incoming"):
            part.mkdir(mode=0o700, parents=True, exist_ok=True)

    def drop_unfinished(self) -> None:
        """Where no other hub uses the directory: what is being received there is of a dead one. Blocks."""
        for left in (self.directory / "incoming").iterdir():
            left.unlink(missing_ok=True)

    def mark(self, new: str) -> str:
        """The directory's mark: `new` if it had none. Two that ask at once get the same. Blocks."""
        made = self.directory / "incoming" / new
        made.write_text(new)
        try:
            os.link(made, self.directory / MARK)
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            with suppress(FileExistsError), (self.directory / MARK).open("x") as file:
                file.write(new)
        finally:
            made.unlink(missing_ok=True)  # another hub may be clearing up
        return (self.directory / MARK).read_text().strip()

    def must_be_here(self) -> None:
        """Raises FilesElsewhere."""
        if self.elsewhere:
            raise FilesElsewhere(self.elsewhere)

    def receive(self, most_bytes: int | None = None) -> Incoming:
        """A place for bytes that come in. Call `abort` whatever happens; after `finish` it does nothing.

        Raises FilesElsewhere.
        """
        self.must_be_here()
        most = self.limits.file_bytes if most_bytes is None else min(most_bytes, self.limits.file_bytes)
        return Incoming(self.directory, most, self.limits.room_bytes, self._place)

    def _place(self, place: str) -> None:
        if (received := self._received) is not None:
            received.add(place)

    def path(self, place: str) -> Path:
        """Where the bytes are, for mounts; never give it away writable."""
        return self.directory / place

    def open(self, place: str) -> BinaryIO:
        """The bytes for reading, at the start. Blocks. Raises BytesMissing, FilesElsewhere."""
        self.must_be_here()
        try:
            descriptor = os.open(self.directory / place, os.O_RDONLY | _NO_FOLLOW)
        except FileNotFoundError:
            raise BytesMissing(
                "the bytes of this file are not on this hub's disk (restored without its files, or stored by another "
                "hub: set the same BRIDGE_FILES_DIR for all); share the file again"
            ) from None
        return os.fdopen(descriptor, "rb", buffering=0)

    def remove(self, place: str) -> None:
        """Unlink the bytes; gone already is fine."""
        (self.directory / place).unlink(missing_ok=True)

    def left_over(self) -> list[str]:
        """Complete places from before this process; asked once, soon after the start, by the only hub there is."""
        received = self._received or set()
        found = [place for place in self.places(0) if not place.startswith("incoming/") and place not in received]
        self._received = None
        return found

    def places(self, older_than_s: float) -> Iterator[str]:
        """Places, the unfinished ones too, that were last written to longer ago than this."""
        before = time.time() - older_than_s
        for folder in sorted(self.directory.iterdir()):
            for entry in os.scandir(folder) if folder.is_dir() else ():
                if entry.stat(follow_symlinks=False).st_mtime <= before:
                    yield f"{folder.name}/{entry.name}"


class Incoming:
    """Bytes on their way in. Memory holds at most one chunk; nothing of it is visible before `finish` returned."""

    def __init__(self, directory: Path, most_bytes: int, room_bytes: int, placing: Callable[[str], None]) -> None:
        self._directory = directory
        self._path = directory / "incoming" / secrets.token_hex(16)
        self._most_bytes = most_bytes
        self._room_bytes = room_bytes
        self._placing = placing
        self._hash = hashlib.sha256()
        self._sniffer = Sniffer()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._lock = threading.Lock()  # a cancelled caller goes on while its last write still runs in a thread
        self._descriptor: int | None = None
        self._over = False
        self.size_bytes = 0

    async def write(self, data: bytes) -> None:
        """Take the next bytes. Raises TooLarge, StorageFull, Unavailable."""
        self.size_bytes += len(data)
        if self.size_bytes > self._most_bytes:
            raise too_large(self._most_bytes)
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= CHUNK_BYTES:
            await asyncio.to_thread(self._flush)

    async def copy_from(self, source: BinaryIO) -> None:
        """Take everything a blocking file gives."""
        while data := await asyncio.to_thread(source.read, CHUNK_BYTES):
            await self.write(data)

    async def finish(self) -> StoredBlob:
        """Put the complete bytes in their place; they survive a power cut from here on."""
        return await asyncio.to_thread(self._finish)

    def abort(self) -> None:
        """Forget what came in so far, unless it was finished."""
        with self._lock:
            self._over = True
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None
                self._path.unlink(missing_ok=True)

    def _flush(self) -> None:
        with self._lock, _disk_errors():
            self._write_waiting()

    def _write_waiting(self) -> None:
        if self._over:
            raise Unavailable("the upload was given up; send it again")
        if self._descriptor is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW
            self._descriptor = os.open(self._path, flags, 0o600)
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        for data in waiting:
            self._hash.update(data)
            self._sniffer.feed(data)
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]

    def _finish(self) -> StoredBlob:
        with self._lock, _disk_errors():
            self._write_waiting()
            assert self._descriptor is not None, "opened by the write"
            os.fsync(self._descriptor)
            digest = self._hash.hexdigest()
            place = f"{digest[:2]}/{digest}-{secrets.token_hex(8)}"
            folder = self._directory / digest[:2]
            if not folder.exists():
                folder.mkdir(mode=0o700, exist_ok=True)
                _sync_directory(self._directory)
            os.close(self._descriptor)
            self._descriptor, self._over = None, True
            self._placing(place)
            self._path.replace(self._directory / place)
            _sync_directory(folder)
        return StoredBlob(digest, self.size_bytes, self._sniffer.looks(), place, self._room_bytes)


def too_large(most_bytes: int) -> TooLarge:
    """The refusal of one file that is too large."""
    return TooLarge(f"a file may have {most_bytes:,} bytes at most; split it, or compress it and share that")


def _sync_directory(path: Path) -> None:
    """Make what was renamed into a directory survive a power cut."""
    if os.name != "posix":
        return  # Windows has no way, and needs none
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _disk_errors() -> Iterator[None]:
    """The disk's refusals as the hub's errors. Nothing is stored then: no row names the bytes yet."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull("the disk is full; nothing was stored. Free space, then send it again") from error
        raise Unavailable("the disk refused the file; nothing was stored. Try again later", retry_after_s=5) from error
