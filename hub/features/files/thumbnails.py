"""Small pictures of image files, drawn by a child process and kept in memory for a while."""

from __future__ import annotations

import asyncio
import sys
from collections import OrderedDict
from contextlib import suppress
from typing import BinaryIO, Final

from hub.core.media import IMAGES
from hub.features.files import draw
from hub.features.files.rules import NoThumbnail, ThumbnailsUnavailable
from hub.kernel.files.contract import SharedFile

_AT_ONCE: Final = 2
_WALL_S: Final = 10.0
_MOST_BYTES: Final = 512 * 1024
_KEPT_BYTES: Final = 8 * 1024 * 1024
_REASONS: Final = {
    3: f"the image has more than {draw.MOST_PIXELS // 1_000_000} million pixels; get its content instead",
}


class Thumbnails:
    """Draws two at a time; the last few megabytes are kept by the image's digest."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    async def of(self, shared: SharedFile, file: BinaryIO) -> bytes:
        """A PNG of at most 256 × 256 pixels. Raises NoThumbnail, ThumbnailsUnavailable."""
        if shared.media_type not in IMAGES:
            raise NoThumbnail(f"{shared.name!r} is {shared.media_type}, not an image")
        async with self._turn:
            if (kept := self._kept.get(shared.sha256)) is None:
                kept = self._kept[shared.sha256] = await _drawn(file)
            self._kept.move_to_end(shared.sha256)
            while sum(map(len, self._kept.values())) > _KEPT_BYTES:
                self._kept.popitem(last=False)
            return kept


async def _drawn(file: BinaryIO) -> bytes:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-I", draw.__file__, stdin=file, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env={}
    )  # fmt: skip
    assert child.stdout is not None
    picture = b""
    try:
        async with asyncio.timeout(_WALL_S):
            while len(picture) <= _MOST_BYTES and (data := await child.stdout.read(65536)):
                picture += data
            await child.wait()
    except TimeoutError:
        raise NoThumbnail("drawing the image takes too long; get its content instead") from None
    finally:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()
    if child.returncode == 4:
        raise ThumbnailsUnavailable("this hub draws no images: pip install 'multi-agent-bridge[images]'")
    if child.returncode != 0 or not picture.startswith(b"\x89PNG") or len(picture) > _MOST_BYTES:
        raise NoThumbnail(_REASONS.get(child.returncode or 1, "the bytes cannot be read as the image they begin as"))
    return picture
