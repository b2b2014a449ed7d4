"""Bytes between a client's disk and the hub: read and written in pieces, checked by their digest."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import httpx2

from hub.core.errors import HubUnreachable
from hub.kernel.files.contract import DigestMismatch, NotAFile, SharedFile

Progress = Callable[[int, int], None]
PIECE_BYTES: Final = 128 * 1024


@contextmanager
def opened(source: Path | bytes) -> Iterator[BinaryIO]:
    """The bytes as a file. Raises NotAFile instead of reading a device or waiting for a pipe."""
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(source, flags)
    except OSError as error:
        raise NotAFile(f"{source} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotAFile(f"{source} is not an ordinary file; only those can be shared")
    with os.fdopen(descriptor, "rb") as file:
        yield file


def measure(file: BinaryIO) -> tuple[int, str]:
    """Size and SHA-256 of everything in a file."""
    file.seek(0)
    digest, size = hashlib.sha256(), 0
    while data := file.read(PIECE_BYTES):
        digest.update(data)
        size += len(data)
    return size, digest.hexdigest()


async def stream(file: BinaryIO, size_bytes: int, progress: Progress | None) -> AsyncIterator[bytes]:
    """The file from its start, in pieces: a new stream for every try."""
    await asyncio.to_thread(file.seek, 0)
    sent = 0
    while data := await asyncio.to_thread(file.read, min(PIECE_BYTES, size_bytes - sent)):
        yield data
        sent += len(data)
        if progress is not None:
            progress(sent, size_bytes)


class Download:
    """One file on its way to `target`; `go_on` continues where the last try stopped."""

    def __init__(
        self, http: httpx2.AsyncClient, path: str, shared: SharedFile, target: BinaryIO, progress: Progress | None
    ) -> None:
        self._http = http
        self._path = path
        self._shared = shared
        self._target = target
        self._progress = progress
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    async def go_on(self) -> httpx2.Response:
        """Ask for what is missing. Raises a transport error when it breaks off again."""
        etag = f'"{self._shared.sha256}"'
        headers = {"accept-encoding": "identity"}
        if self.size_bytes:
            headers |= {"range": f"bytes={self.size_bytes}-", "if-range": etag}
        async with self._http.stream("GET", self._path, headers=headers) as answer:
            if answer.status_code >= 400:
                await answer.aread()
                return answer
            if answer.status_code != (206 if self.size_bytes else 200):
                raise HubUnreachable(f"the hub answered {answer.status_code} to a download; nothing is confirmed")
            async for data in answer.aiter_raw():  # as they come, so that a break loses none
                await asyncio.to_thread(self._target.write, data)
                self._digest.update(data)
                self.size_bytes += len(data)
                if self._progress is not None:
                    self._progress(self.size_bytes, self._shared.size_bytes)
        return answer

    def check(self) -> None:
        """Raises DigestMismatch unless the bytes are the ones that were shared."""
        if self._digest.hexdigest() != self._shared.sha256:
            raise DigestMismatch(f"what arrived is not {self._shared.name!r} as it was shared; fetch it again")
