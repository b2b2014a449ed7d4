"""`admin …`: statistics, backup, restore, export, inspection."""

from __future__ import annotations

from pathlib import Path

import click
import orjson

from hub.client import HubClient
from hub.settings import load
from hub.storage import maintenance
from mcp_bridge.commands.common import json_option, show, table, with_client


@click.group()
def admin() -> None:
    """Statistics, backup, restore, export, inspection."""


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
