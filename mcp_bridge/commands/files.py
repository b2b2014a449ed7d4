"""`files …`: put, get, list, remove."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

import click

from hub.client import HubClient
from hub.client.transfer import Progress
from hub.core.visible import visible
from hub.features.files.contract import DeleteFile, GetFile, ListFiles
from hub.kernel.files.contract import SharedFile
from mcp_bridge.commands.common import json_option, show, table, with_client

_RESERVED: Final = frozenset({"con", "prn", "aux", "nul", *(f"{n}{i}" for n in ("com", "lpt") for i in range(10))})


class FileExists(click.ClickException):
    """The command line does not write over a file unless told to."""


@click.group()
def files() -> None:
    """Share files with a room, fetch them, list and remove them."""


@files.command("put")
@click.argument("room")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", help="Share it under this name (default: the file's own).")
@click.option("--text", help="Post this message with the file attached.")
@click.option("--key", help="Idempotency key: the same key shares once, however often you call.")
@json_option
@with_client
async def put(
    client: HubClient, room: str, path: Path, name: str | None, text: str | None, key: str | None, as_json: bool
) -> None:
    """Share the file PATH with ROOM (- for standard input, with --name)."""
    if str(path) == "-" and name is None:
        raise click.UsageError("standard input has no name; give one with --name")
    source = sys.stdin.buffer.read() if str(path) == "-" else path
    with bar("sending") as progress:
        shared = await client.share_file(room, source, name=name or path.name, text=text, key=key, progress=progress)
    said = "was there already" if shared.unchanged else f"is version {shared.version}, {shared.size_bytes:,} bytes"
    show(shared, as_json, lambda: f"{visible(shared.name)} ({shared.id}) {said}")


@files.command("get")
@click.argument("room")
@click.argument("file")
@click.option("--version", type=int, help="This version instead of the newest.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Write to this path (- for standard output).")
@click.option("--force", is_flag=True, help="Write over an existing file.")
@json_option
@with_client
async def get(
    client: HubClient, room: str, file: str, version: int | None, output: Path | None, force: bool, as_json: bool
) -> None:
    """Fetch FILE (name or id) of ROOM into this directory, complete or not at all."""
    found = await client.call(GetFile.model_validate({"room": room, "file": file, "version": version}))
    if str(output) == "-":
        await client.fetch_file(room, found.id, sys.stdout.buffer)
        return
    target = output or Path(safe_here(found.name))
    with whole(target, force=force) as part, bar("fetching") as progress:
        await client.fetch_file(room, found.id, part, progress=progress)
    show(found, as_json, lambda: f"{target}: version {found.version}, {found.size_bytes:,} bytes")


@files.command("ls")
@click.argument("room")
@click.argument("name", required=False)
@json_option
@with_client
async def list_files(client: HubClient, room: str, name: str | None, as_json: bool) -> None:
    """List the files of ROOM, or all versions of NAME."""
    page = await client.call(ListFiles(room=room, name=name, limit=500))
    empty = f"no files: mcp-bridge files put {room} PATH"
    headings = ("id", "name", "version", "bytes", "type", "by", "at")
    show(page, as_json, lambda: table([_row(item) for item in page.items], headings) if page.items else empty)


@files.command("rm")
@click.argument("room")
@click.argument("file")
@click.option("--version", type=int, help="This version instead of the newest.")
@with_client
async def remove(client: HubClient, room: str, file: str, version: int | None) -> None:
    """Delete one version of FILE (what you shared; owners of the room: any)."""
    found = await client.call(GetFile.model_validate({"room": room, "file": file, "version": version}))
    await client.call(DeleteFile(room=room, file=found.id))
    click.echo(f"deleted {visible(found.name)} version {found.version}")


def _row(item: SharedFile) -> tuple[str, ...]:
    size = f"{item.size_bytes:,}"
    return (item.id, visible(item.name), str(item.version), size, item.media_type, item.sender, item.at[:19])


def safe_here(name: str) -> str:
    """The name if a file of this name in the current directory can do no harm. Others choose names; raises UsageError."""
    if name.startswith((".", "-", "~")) or ":" in name or name.split(".")[0].lower() in _RESERVED:
        raise click.UsageError(f"{name!r} is not a name to write here unasked; say where with --output")
    return name


@contextmanager
def whole(target: Path, *, force: bool) -> Iterator[BinaryIO]:
    """A file that appears at `target` when the block ended well. Raises FileExists."""
    if not force and os.path.lexists(target):
        raise FileExists(f"{target} exists; choose another place with --output, or write over it with --force")
    part = target.with_name(f".{target.name[:100]}.{os.urandom(4).hex()}.part")
    try:
        with part.open("xb") as file:
            yield file
        if force:
            part.replace(target)
        else:
            os.link(part, target)  # unlike a rename it never replaces what somebody made meanwhile
    except FileExistsError:
        raise FileExists(f"{target} appeared meanwhile; choose another place with --output") from None
    except OSError as error:
        raise click.ClickException(f"{target} cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            part.unlink()


@contextmanager
def bar(doing: str) -> Iterator[Progress | None]:
    """Progress on a terminal's standard error; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return

    def told(done: int, size: int) -> None:
        sys.stderr.write(f"\r{doing} {100 * done // max(size, 1):3d} % of {size:,} bytes")
        sys.stderr.flush()

    yield told
    sys.stderr.write("\r\x1b[K")
