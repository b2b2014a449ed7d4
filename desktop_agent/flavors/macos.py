"""The clipboard of macOS, by osascript with JavaScript and the system's own NSPasteboard. Tested on recorded calls only."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from desktop_agent.flavors import Kinds, Run, text_of

_JAVASCRIPT: Final = ["osascript", "-l", "JavaScript", "-"]
_BOARD: Final = 'ObjC.import("AppKit");\nconst board = $.NSPasteboard.generalPasteboard;\n'
_SAVE: Final = """
const items = [];
for (const item of ObjC.unwrap(board.pasteboardItems) || []) {
  const kinds = {};
  for (const type of ObjC.deepUnwrap(item.types)) {
    const data = item.dataForType(type);
    if (!data.isNil()) kinds[type] = ObjC.unwrap(data.base64EncodedStringWithOptions(0));
  }
  items.push(kinds);
}
JSON.stringify(items);
"""
_RESTORE: Final = """
board.clearContents;
const made = ITEMS.map((kinds) => {
  const item = $.NSPasteboardItem.alloc.init;
  for (const [type, data] of Object.entries(kinds))
    item.setDataForType($.NSData.alloc.initWithBase64EncodedStringOptions(data, 0), type);
  return item;
});
if (made.length && !board.writeObjects($(made))) throw new Error("the clipboard took nothing");
"""
_FILES: Final = """
const paths = [];
for (const item of ObjC.unwrap(board.pasteboardItems) || []) {
  const address = item.stringForType("public.file-url");
  if (!address.isNil()) paths.push(ObjC.unwrap($.NSURL.URLWithString(address).filePathURL.path));
}
JSON.stringify(paths);
"""
_PUT_FILES: Final = """
board.clearContents;
if (!board.writeObjects($(PATHS.map((path) => $.NSURL.fileURLWithPath(path)))))
  throw new Error("the clipboard took nothing");
"""
_ITEMS: Final = "pasteboard items"


class MacFlavors:
    """Every item of the pasteboard with every type it has; HTML as hexadecimal digits (`«data HTML3C68…»`)."""

    def html(self, run: Run) -> str:
        out = run(["osascript", "-e", "the clipboard as «class HTML»"], b"") or b""
        found = re.search(r"«data HTML([0-9A-Fa-f]*)»", out.decode("utf-8", "replace"))
        return text_of(bytes.fromhex(found[1])) if found else ""

    def save(self, run: Run) -> Kinds:
        items = (run(_JAVASCRIPT, (_BOARD + _SAVE).encode()) or b"").strip()
        return {_ITEMS: items} if items and items != b"[]" else {}

    def restore(self, run: Run, kinds: Kinds) -> bool:
        items = kinds.get(_ITEMS, b"[]").decode("utf-8")
        return run(_JAVASCRIPT, (_BOARD + _RESTORE.replace("ITEMS", items)).encode()) is not None

    def files(self, run: Run) -> tuple[Path, ...]:
        out = run(_JAVASCRIPT, (_BOARD + _FILES).encode())
        return tuple(Path(path) for path in json.loads(out or b"[]"))

    def put_files(self, run: Run, paths: Sequence[Path]) -> bool:
        listed = json.dumps([str(path) for path in paths])
        return run(_JAVASCRIPT, (_BOARD + _PUT_FILES.replace("PATHS", listed)).encode()) is not None

    def put_text(self, run: Run, text: str) -> bool:
        return False
