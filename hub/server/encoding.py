"""Content codings of requests and responses: gzip always, br and zstd where their packages are (extra `compression`)."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from hub.core.errors import Malformed, TooLarge, UnsupportedMediaType


def _optional(name: str) -> Any:
    """The module, or None where it is not installed."""
    return import_module(name) if find_spec(name) else None


brotli, zstandard = _optional("brotli"), _optional("zstandard")

SMALLEST: Final = 4096  # below, compressing costs more than it saves
_WINDOW: Final = 8 * 1024 * 1024  # most memory a zstd frame may ask for
_PIECE: Final = 64 * 1024


def decode(raw: bytes, coding: bytes, most: int) -> bytes:
    """The body that was compressed. Raises TooLarge as soon as it exceeds `most` bytes, however it was packed."""
    unpack = _UNPACK.get(coding.strip().lower())
    if unpack is None:
        raise UnsupportedMediaType(
            f"Content-Encoding {coding.decode('latin-1')[:40]!r} is not understood; use one of: "
            + ", ".join(name.decode() for name in _UNPACK)
        )
    body = unpack(raw, most + 1)
    if len(body) > most:
        raise TooLarge(f"the decompressed body is larger than {most // 1024} KiB; share larger content as a file")
    return body


def _broken(why: object) -> Malformed:
    return Malformed(f"the compressed body cannot be read ({str(why)[:100]})")


def _gunzip(raw: bytes, most: int) -> bytes:
    inflate = zlib.decompressobj(wbits=31)
    try:
        body = inflate.decompress(raw, most)
    except zlib.error as error:
        raise _broken(error) from None
    if len(body) < most and (not inflate.eof or inflate.unused_data):
        raise _broken("it ends too early" if not inflate.eof else "something follows it")
    return body


def _unbrotli(raw: bytes, most: int) -> bytes:
    inflate = brotli.Decompressor()
    parts, size, rest = [], 0, raw
    try:
        while size < most and (rest or not inflate.can_accept_more_data()):
            part = inflate.process(rest, output_buffer_limit=min(_PIECE, most - size))
            parts.append(part)
            size, rest = size + len(part), b""
            if not part and inflate.can_accept_more_data():
                break
    except brotli.error as error:
        raise _broken(error) from None
    if size < most and not inflate.is_finished():
        raise _broken("it ends too early")
    return b"".join(parts)


def _unzstd(raw: bytes, most: int) -> bytes:
    reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(io.BytesIO(raw))
    parts, size = [], 0
    try:
        promised = zstandard.get_frame_parameters(raw).content_size
        while size < most and (part := reader.read(min(_PIECE, most - size))):
            parts.append(part)
            size += len(part)
    except zstandard.ZstdError as error:
        raise _broken(error) from None
    if size < most and promised not in (size, zstandard.CONTENTSIZE_UNKNOWN):
        raise _broken("it ends too early")
    return b"".join(parts)


_UNPACK: Final[dict[bytes, Callable[[bytes, int], bytes]]] = {b"gzip": _gunzip}
_PACK: Final[dict[bytes, Callable[[bytes], Any]]] = {}
if zstandard is not None:
    _UNPACK[b"zstd"] = _unzstd
    _PACK[b"zstd"] = lambda body: zstandard.ZstdCompressor(level=3).compress(body)
if brotli is not None:
    _UNPACK[b"br"] = _unbrotli
    _PACK[b"br"] = lambda body: brotli.compress(body, quality=3)
_PACK[b"gzip"] = lambda body: gzip.compress(body, compresslevel=3, mtime=0)  # in the order of preference


def choose(accepted: bytes | None, size: int) -> bytes | None:
    """The coding for a response of this size, or None to leave it as it is (RFC 9110, 12.5.3)."""
    if accepted is None or size < SMALLEST:
        return None
    wanted = _qualities(accepted)
    best = [(wanted.get(name, wanted.get(b"*", 0.0)), -rank, name) for rank, name in enumerate(_PACK)]
    quality, _, name = max(best)
    return name if quality > 0 else None


def _qualities(accepted: bytes) -> dict[bytes, float]:
    found: dict[bytes, float] = {}
    for part in accepted[:1000].lower().split(b","):
        name, _, parameter = part.strip().partition(b";")
        weight = parameter.strip().removeprefix(b"q=")
        try:
            found[name.strip()] = float(weight) if weight else 1.0
        except ValueError:
            found[name.strip()] = 0.0
    return found


def encode(body: bytes, coding: bytes) -> bytes:
    """The body in a coding that `choose` chose."""
    return bytes(_PACK[coding](body))
