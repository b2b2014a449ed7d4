"""What several commands share: running async code, printing JSON or text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click
import orjson

if TYPE_CHECKING:
    from hub.core.model import Model

P = ParamSpec("P")
T = TypeVar("T")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def with_client(function: Callable[..., Coroutine[Any, Any, T]]) -> Callable[..., T]:
    """Run an async command with a connected client as its first argument."""

    @wraps(function)
    def run(*args: Any, **kw: Any) -> T:
        from pydantic import ValidationError  # these are most of the start of a command that needs no hub

        from hub.client import HubClient
        from hub.core.model import Model
        from hub.server.parse import explain

        async def body() -> T:
            async with HubClient(tries=3) as client:
                return await function(client, *args, **kw)

        try:
            return asyncio.run(body())
        except ValidationError as error:  # an argument that no field takes
            raise explain(error, Model) from error
        except KeyboardInterrupt:
            raise SystemExit(130) from None

    return run


def show(value: Model | list[Any] | dict[str, Any], as_json: bool, text: Callable[[], str]) -> None:
    """Print a value as JSON, or what `text` makes of it."""
    if as_json:
        from hub.core.model import Model

        plain = value.model_dump(mode="json", by_alias=True) if isinstance(value, Model) else value
        click.echo(orjson.dumps(plain, option=orjson.OPT_INDENT_2).decode())
    else:
        click.echo(text())


def table(rows: Sequence[tuple[str, ...]], headings: tuple[str, ...]) -> str:
    """Columns as wide as their longest cell."""
    everything = [headings, *rows]
    widths = [max(len(row[i]) for row in everything) for i in range(len(headings))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in everything
    )
