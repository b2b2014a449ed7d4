"""Window profiles: what is particular about one chat window, as data in TOML files."""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from desktop_agent.window import Box, Point
from hub.core.errors import listing, nearest
from hub.core.model import Model

_BUILT_IN: Final = resources.files("desktop_agent") / "profiles"
NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class ProfileError(ValueError):
    """A profile is missing or wrong; the message names the file and the field."""


class Spot(Model):
    """A place in a window that survives resizing: a share of the width, and of the height or up from the bottom."""

    x: float = Field(ge=0, le=1)
    y: float | None = Field(default=None, ge=0, le=1)
    bottom_px: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _one_height(self) -> Spot:
        if (self.y is None) == (self.bottom_px is None):
            raise ValueError("give y (share of the height) or bottom_px (pixels up from the bottom), not both")
        return self

    def point(self, box: Box) -> Point:
        """Where it is when the window has this box."""
        down = box.height - (self.bottom_px or 0) if self.y is None else int(self.y * (box.height - 1))
        return Point(box.left + int(self.x * (box.width - 1)), box.top + max(0, min(box.height - 1, down)))


class Profile(Model):
    """How to find one chat window and where to click. `mod` in keys is Command on macOS, Control elsewhere."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    title: str = Field(min_length=1, description="Pattern (Python's re) that the window's whole title matches.")
    input: Spot = Field(description="Where the text box is.")
    transcript: Spot = Field(description="A place in the conversation where a click does nothing.")
    select_all: str = "mod+a"
    copy_keys: str = Field(default="mod+c", alias="copy")
    paste: str = "mod+v"
    send: str = "enter"
    erase: str = "delete"
    files: Literal["paste", "none"] = Field(default="paste", description="Whether files can be pasted into it.")
    upload_s: float = Field(default=1.5, ge=0, le=600, description="How long to wait after a pasted file is shown.")

    @field_validator("title")
    @classmethod
    def _pattern(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a pattern: {error}") from error
        return value


def load(name: str, own: Path) -> Profile:
    """The profile of that name from the folder `own`, else the one that comes with the program."""
    file = own / f"{name}.toml"
    shipped = _BUILT_IN / f"{name}.toml"
    if NAME.fullmatch(name) and file.is_file():
        return parse(name, file.read_text("utf-8"), str(file))
    if NAME.fullmatch(name) and shipped.is_file():
        return parse(name, shipped.read_text("utf-8"), f"profiles/{name}.toml")
    known = names(own)
    hint = f" Did you mean {nearest(name, known)[0]!r}?" if nearest(name, known) else ""
    raise ProfileError(
        f"no profile {name!r}; there are: {listing(known)}.{hint} Make one with `mcp-bridge desktop calibrate {name}`"
    )


def names(own: Path) -> list[str]:
    """Names of all profiles, sorted."""
    shipped = [entry.name for entry in _BUILT_IN.iterdir()]
    found = {name.removesuffix(".toml") for name in [*shipped, *(p.name for p in own.glob("*.toml"))]}
    return sorted(found)


def parse(name: str, text: str, source: str) -> Profile:
    """A profile from its TOML. Raises ProfileError that names the source and what is wrong."""
    try:
        values: dict[str, Any] = tomllib.loads(text)
        return Profile.model_validate({"name": name, **values})
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"{source} is not valid TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "profile"
        raise ProfileError(f"{source}: {where}: {first['msg']}") from error


def dump(profile: Profile) -> str:
    """The profile as TOML that `parse` reads back."""
    keys = profile.model_dump(by_alias=True, exclude={"name", "input", "transcript"})
    lines = [f"{name} = {_quoted(value) if isinstance(value, str) else value}" for name, value in keys.items()]
    return "\n".join([*lines, f"input = {_spot(profile.input)}", f"transcript = {_spot(profile.transcript)}", ""])


def _spot(spot: Spot) -> str:
    height = f"bottom_px = {spot.bottom_px}" if spot.y is None else f"y = {spot.y}"
    return f"{{ x = {spot.x}, {height} }}"


def _quoted(text: str) -> str:
    """A TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'
