"""`call` and `ops`: every operation, by name."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import click
import orjson

from hub import features
from hub.client import HubClient
from hub.core.errors import OperationNotFound, nearest
from hub.log.handler import function_of
from hub.server.parse import build
from hub.server.strict_json import parse_object
from mcp_bridge.commands.common import show, table, with_client


@click.command()
@click.argument("operation")
@click.argument("fields", required=False, default="{}")
@click.option("--key", help="Idempotency key.")
@with_client
async def call(client: HubClient, operation: str, fields: str, key: str | None) -> None:
    """Call OPERATION with FIELDS as a JSON object; prints its JSON. `mcp-bridge ops` lists them."""
    known = features.load_contracts().by_name
    if operation not in known:
        close = nearest(operation, known)
        raise OperationNotFound(
            f"no operation {operation!r}; {'did you mean ' + close[0] if close else 'see `mcp-bridge ops`'}"
        )
    request = build(known[operation].request, parse_object(fields.encode()))
    result: Any = await client.call(request, key=key)
    click.echo(orjson.dumps(result.model_dump(mode="json", by_alias=True), option=orjson.OPT_INDENT_2).decode())


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def ops(as_json: bool) -> None:
    """List every operation: name, route, scope, handler, MCP tool, doc page."""
    rows = operation_rows()
    show([dict(zip(HEADINGS, row, strict=True)) for row in rows], as_json, lambda: table(rows, HEADINGS))


HEADINGS = ("operation", "route", "scope", "handler", "tool", "doc")


def operation_rows() -> list[tuple[str, ...]]:
    """One row per operation, in the registry's order."""
    from mcp_bridge.coverage import tool_of

    root = Path(inspect.getfile(features)).parents[2]
    rows: list[tuple[str, ...]] = []
    for op in features.load_registry().all:
        handler = function_of(op.request)
        file = Path(inspect.getsourcefile(handler) or "").relative_to(root)
        line = inspect.getsourcelines(handler)[1]
        page = f"docs/reference/operations.md#{op.name.replace('.', '')}"
        rows.append((op.name, op.http, op.scope, f"{file}:{line}", tool_of(op.name), page))
    return rows
