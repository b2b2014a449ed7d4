"""Packs the extension, for people and for the store: the same bytes from the same files. `python extension/pack.py FOLDER`."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
PARTS = (
    "manifest.json",
    "selectors.json",
    "content/*.js",
    "icons/*.png",
    "ui/*.css",
    "ui/*.html",
    "ui/*.js",
    "worker/*.js",
)
EPOCH = (1980, 1, 1, 0, 0, 0)  # the zip format's first moment: the package says nothing about when it was made


def pack(folder: Path, *, store: bool = False) -> Path:
    """The zip's path. Unpacked and loaded it has the id that hubs know, from `key` in its manifest.

    The store takes no `key`, because it gives an extension its own.
    """
    manifest = json.loads((HERE / "manifest.json").read_text("utf-8"))
    made = folder / f"multi-agent-bridge-{manifest['version']}{'-store' if store else ''}.zip"
    folder.mkdir(parents=True, exist_ok=True)
    if store:
        del manifest["key"]
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(p for part in PARTS for p in HERE.glob(part)):
            name = path.relative_to(HERE).as_posix()
            info = zipfile.ZipInfo(name, EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            data = path.read_bytes()
            archive.writestr(info, json.dumps(manifest, indent=2).encode() if name == "manifest.json" else data)
    return made


if __name__ == "__main__":
    to = Path(sys.argv[1] if len(sys.argv) > 1 else "dist")
    print(pack(to), pack(to, store=True), sep="\n")
