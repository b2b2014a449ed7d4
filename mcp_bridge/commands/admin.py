"""`admin …`: statistics, audit, backup, restore, export, import, inspection, upkeep."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import orjson

from hub import features
from hub.app import make_store
from hub.client import HubClient
from hub.features.runs.contract import AuditRuns
from hub.kernel.repair import rebuild_streams
from hub.settings import Settings, load
from hub.storage import maintenance, upkeep
from mcp_bridge.commands.common import json_option, show, table, with_client


@click.group()
def admin() -> None:
    """Statistics, audit, backup, restore, export, import, inspection, upkeep."""


@admin.command("stats")
@json_option
@with_client
async def stats(client: HubClient, as_json: bool) -> None:
    """Latencies (P50, P90, P95, P99) per operation."""
    found = (await client.http.get("/v1/admin/stats")).raise_for_status().json()
    rows = [
        (name, *(f"{values[f'p{q}_ms']:.2f}" for q in (50, 90, 95, 99)), str(values["count"]))
        for name, values in sorted(found["operations"].items())
    ]
    show(found, as_json, lambda: table(rows, ("operation", "p50 ms", "p90 ms", "p95 ms", "p99 ms", "calls")))


@admin.command("audit")
@click.option("--before", type=int, help="Entries before this number.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@json_option
@with_client
async def audit(client: HubClient, before: int | None, limit: int, as_json: bool) -> None:
    """Who ran code in which room, and who allowed it; the newest first."""
    found = await client.call(AuditRuns(before=before, limit=limit))
    rows = [
        (str(one.number), one.at, one.by, one.room, one.what, one.run or "", one.language or "", one.code_sha256 or "")
        for one in found.items
    ]
    head = ("number", "at", "by", "room", "what", "run", "language", "sha-256 of the code")
    show(found, as_json, lambda: table(rows, head) if rows else "no code was run and no room lets code run")


@admin.command("backup")
@click.argument("target", type=click.Path(path_type=Path))
@json_option
def backup(target: Path, as_json: bool) -> None:
    """Copy the database to TARGET while the hub runs, checked, and the rooms' files to TARGET.files."""
    settings = load()
    counts = maintenance.backup(settings.home, target, settings.blobs)
    show(counts, as_json, lambda: f"{target}: {counts['event']} events, {counts['file']} files, checked")


@admin.command("restore")
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.confirmation_option(
    prompt="Replace the database by this backup? (The hub must be stopped; the old one is kept.)"
)
@json_option
def restore(source: Path, as_json: bool) -> None:
    """Put a backup and its files in place; readers get a gap, never silence."""
    settings = load()
    counts = maintenance.restore(settings.home, source, settings.blobs)
    show(counts, as_json, lambda: f"restored {counts['event']} events; start the hub: mcp-bridge up")


@admin.command("inspect")
@click.argument("file", type=click.Path(path_type=Path, exists=True), required=False)
@json_option
def inspect(file: Path | None, as_json: bool) -> None:
    """Rows per table of the database, or of a backup."""
    counts = maintenance.inspect_file(file or load().home / maintenance.FILE)
    show(counts, as_json, lambda: table([(name, str(n)) for name, n in counts.items()], ("table", "rows")))


@admin.command("export")
@click.argument("room")
def export(room: str) -> None:
    """Every event of ROOM as JSON lines, oldest first."""
    for event in maintenance.export_events(load().home, room):
        click.echo(orjson.dumps(event).decode())


@admin.command("import")
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.argument("room")
@click.confirmation_option(prompt="Replace the room by what the backup has? (The hub must be stopped.)")
@json_option
def import_(source: Path, room: str, as_json: bool) -> None:
    """Bring one ROOM back as it is in SOURCE, a backup of this hub; everything else stays."""
    settings = load()
    events = upkeep.import_room(settings.home, source, room, settings.blobs)
    asyncio.run(_rebuild(settings, room))
    show({"room": room, "events": events}, as_json, lambda: f"{room}: {events} events are back; start the hub")


@admin.command("rebuild")
@click.argument("name", required=False, default="")
@json_option
def rebuild(name: str, as_json: bool) -> None:
    """Make what is derived from the log again, for one room or queue NAME or for all (the hub must be stopped)."""
    made = asyncio.run(_rebuild(load(), name))
    show(made, as_json, lambda: f"rebuilt from the log: {', '.join(made)}")


@admin.command("compact")
@json_option
def compact(as_json: bool) -> None:
    """Check the database and write it anew without free space (the hub must be stopped)."""
    before, after = upkeep.compact(load().home)
    show({"before_bytes": before, "after_bytes": after}, as_json, lambda: f"checked; {before:,} bytes became {after:,}")


async def _rebuild(settings: Settings, name: str) -> list[str]:
    features.load_registry()
    store = make_store(settings)
    await store.open(features.migrations())
    try:
        return await rebuild_streams(store, features.projection_tables(), features.event_tables(), name)
    finally:
        await store.drain()
