"""Packs the extension for the store: the same bytes from the same files. `python extension/pack.py FOLDER`."""

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


def pack(folder: Path) -> Path:
    """The zip's path. The store gives the extension its own key, so `key` is left out of the manifest there."""
    manifest = json.loads((HERE / "manifest.json").read_text("utf-8"))
    made = folder / f"multi-agent-bridge-{manifest['version']}.zip"
    folder.mkdir(parents=True, exist_ok=True)
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
    print(pack(Path(sys.argv[1] if len(sys.argv) > 1 else "dist")))
