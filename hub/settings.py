"""Settings of a hub: flags over BRIDGE_* environment over bridge.toml. The only reader of the environment."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import platformdirs

DEFAULT_PORT: Final = 7411
PREFIX: Final = "BRIDGE_"
SANDBOXES: Final = ("auto", "off", "bwrap", "seatbelt", "lite")  # engines by name: only that one
# read by clients, setup and push, not by the hub itself
CLIENT_NAMES: Final = frozenset(
    {
        "URL",
        "TOKEN",
        "NAME",
        "ROOM",
        "PUSH_SOCKET",
        "PUSH",
        "AUTOJOIN",
        "QUIET_HOURS",
        "BOOTING",
        "SESSION",
        "HUB_WAIT_S",
        "SHARE_ROOTS",
    }
)


class SettingsError(ValueError):
    """A setting is wrong; the message names it and says what is valid. The command line exits with 2."""


def default_home() -> Path:
    """The platform's data directory for this user."""
    return Path(platformdirs.user_data_dir("multi-agent-bridge", appauthor=False))


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a hub can be told. Durations in seconds, sizes in bytes."""

    home: Path = field(default_factory=default_home)
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    fallback_port: bool = False
    database_url: str = ""
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    tls_cert: str = ""
    tls_key: str = ""
    behind_proxy: bool = False
    reads_per_s: float = 1000
    writes_per_s: float = 200
    write_burst: float = 1000
    idle_stop_s: float = 0
    sandbox: str = "auto"
    sandbox_slots: int = 0
    files_dir: str = ""
    file_bytes: int = 25 * 1024 * 1024
    room_files_bytes: int = 1024 * 1024 * 1024
    body_idle_s: float = 10
    log_level: str = "info"
    github_token: str = field(default="", repr=False)
    github_api: str = "https://api.github.com"

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise SettingsError(f"port {self.port} is not between 0 and 65535")
        if bool(self.tls_cert) != bool(self.tls_key):
            raise SettingsError("tls_cert and tls_key go together: give both, or neither")
        if self.sandbox not in SANDBOXES:
            raise SettingsError(f"sandbox is one of {', '.join(SANDBOXES)}")
        if not 0 <= self.sandbox_slots <= 64:
            raise SettingsError("sandbox_slots is between 0 (as many as cores, at most 4) and 64")
        api = urlsplit(self.github_api)
        if api.scheme != "https" and not (api.scheme == "http" and api.hostname in ("127.0.0.1", "::1", "localhost")):
            raise SettingsError("github_api is the https address of GitHub's API: the token is sent there")
        if self.log_level not in ("debug", "info", "warning", "error"):
            raise SettingsError("log_level is one of debug, info, warning, error")

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return self.host in ("127.0.0.1", "::1", "localhost")

    @property
    def blobs(self) -> Path:
        """Where the bytes of files are."""
        return Path(self.files_dir).expanduser() if self.files_dir else self.home / "blobs"

    def check_exposure(self) -> None:
        """Raises SettingsError for an address other machines reach without TLS or a proxy in front."""
        if not self.loopback and not self.tls_cert and not self.behind_proxy:
            raise SettingsError(
                f"{self.host} can be reached from other machines, so tokens would travel in the clear: add "
                "--tls-cert and --tls-key, or --behind-proxy when a proxy in front serves TLS"
            )


def load(
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> Settings:
    """Settings from all sources. Raises SettingsError that names an unknown or wrong key and its source."""
    env = os.environ if environment is None else environment
    home = Path((flags or {}).get("home") or env.get("BRIDGE_HOME") or default_home())
    merged: dict[str, Any] = {}
    merged |= _from_file(file or home / "bridge.toml", required=file is not None)
    merged |= _from_environment(env)
    merged |= {name: value for name, value in (flags or {}).items() if value is not None}
    merged["home"] = home
    made = {name: _convert(name, value) for name, value in merged.items()}
    return replace(Settings(), **made)


_KINDS: Final = {f.name: str(f.type) for f in fields(Settings)}


def _from_file(path: Path, *, required: bool) -> dict[str, Any]:
    if not path.exists():
        if required:
            raise SettingsError(f"{path} does not exist")
        return {}
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from error
    for name in values:
        if name not in _KINDS:
            raise SettingsError(f"{path}: unknown setting {name!r}; valid: {', '.join(sorted(_KINDS))}")
    return values


def _from_environment(env: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for variable, value in env.items():
        name = variable.removeprefix(PREFIX)
        if not variable.startswith(PREFIX) or name in CLIENT_NAMES or name == "HOME":
            continue
        if name.lower() not in _KINDS:
            raise SettingsError(f"unknown variable {variable}; valid: {', '.join(PREFIX + n.upper() for n in _KINDS)}")
        found[name.lower()] = value
    return found


def _convert(name: str, value: Any) -> Any:
    kind = _KINDS[name]
    try:
        if kind == "bool":
            return value if isinstance(value, bool) else _truth(str(value))
        if kind == "int":
            return int(value)
        if kind == "float":
            return float(value)
        if kind == "Path":
            return Path(value).expanduser()
        if kind.startswith("tuple"):
            return (
                tuple(value) if not isinstance(value, str) else tuple(p.strip() for p in value.split(",") if p.strip())
            )
        return str(value)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{name} cannot be {value!r}: it is a {kind}") from error


def _truth(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off", ""):
        return False
    raise ValueError(text)
