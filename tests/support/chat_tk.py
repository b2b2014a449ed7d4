"""An ordinary chat window made with Tk, in a process of its own. Every message it gets is one JSON line of its output:
{"text", "files": [[name, sha256], …]}. Pasted files are attached, as chat windows do, and read when the message is sent.

A message may carry instructions for the answer after `SAY:` as JSON: {"text", "pause_s", "after"}.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tkinter as tk
from pathlib import Path
from urllib.parse import unquote, urlsplit

MARK = re.compile(r"⟦([0-9a-f]+)⟧")


def select_all(event: tk.Event[tk.Text]) -> str:
    event.widget.tag_add("sel", "1.0", "end-1c")
    return "break"


class Chat:
    """Transcript above, text box below, a spinner that never rests, answers that come in pieces."""

    def __init__(self, title: str) -> None:
        self.root = tk.Tk()
        self.root.title(title)
        self.root.geometry("480x560+200+120")
        self.box = tk.Text(self.root, height=4, exportselection=False)
        self.box.pack(side="bottom", fill="x")
        self.spinner = tk.Label(self.root, text="|")
        self.spinner.pack(side="bottom")
        self.files: list[Path] = []
        self.chips = tk.Label(self.root, anchor="w", background="#dde6ff")
        self.chips.pack(side="bottom", fill="x")
        self.shown = tk.Text(self.root, exportselection=False)
        self.shown.pack(side="top", fill="both", expand=True)
        for text in (self.box, self.shown):
            text.bind("<Control-a>", select_all)
        self.box.bind("<Return>", self.send)
        self.box.bind("<Control-v>", self.paste)
        self.copies = "--no-copy" not in sys.argv
        if not self.copies:
            self.shown.bind("<Control-c>", lambda event: "break")
        self.root.after(120, self.spin)

    def spin(self, turn: int = 0) -> None:
        self.spinner["text"] = "|/-\\"[turn % 4]
        self.root.after(120, self.spin, turn + 1)

    def paste(self, event: object) -> str | None:
        """Files become attachments; all else is the text box's own business."""
        if "text/uri-list" not in self.pasted("TARGETS").split():  # xclip answers whatever it is asked with its text
            return None
        uris = bytes(int(number, 16) for number in self.pasted("text/uri-list").split()).decode()  # as Tk gives bytes
        self.files += [Path(unquote(urlsplit(uri).path)) for uri in uris.split()]
        self.chips["text"] = "  ".join(f"[{path.name}]" for path in self.files)
        return "break"

    def pasted(self, kind: str) -> str:
        try:
            return str(self.root.tk.call("selection", "get", "-selection", "CLIPBOARD", "-type", kind))
        except tk.TclError:
            return ""

    def send(self, event: object) -> str:
        message = self.box.get("1.0", "end-1c")
        self.box.delete("1.0", "end")
        files = [[path.name, hashlib.sha256(path.read_bytes()).hexdigest()] for path in self.files]
        self.files, self.chips["text"] = [], ""
        print(json.dumps({"text": message, "files": files}), flush=True)
        self.shown.insert("end", f"\nYou: {message}\n")
        self.root.after(100, self.answer, message)
        return "break"

    def answer(self, message: str) -> None:
        tag = MARK.search(message)
        plan = json.loads(message.split("SAY:")[1].split("\n\n---\n")[0]) if "SAY:" in message else {"text": "4 ✓"}
        if tag is None or plan.get("never"):
            return
        whole = f"Bot:\n⟦{tag[1]}⟧\n{plan['text']}\n⟦/{tag[1]}⟧\nRegenerate\n"
        pieces = [whole[i : i + max(1, len(whole) // 5)] for i in range(0, len(whole), max(1, len(whole) // 5))]
        self.stream(pieces, int(plan.get("pause_s", 0) * 1000))

    def stream(self, pieces: list[str], pause_ms: int) -> None:
        if pieces:
            self.shown.insert("end", pieces[0])
            self.shown.see("end")
            self.root.after(150 if len(pieces) != 3 else max(150, pause_ms), self.stream, pieces[1:], pause_ms)


if __name__ == "__main__":
    Chat(sys.argv[1]).root.mainloop()
