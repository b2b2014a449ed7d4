"""Real chat windows to drive: Tk and Chromium, on a display with or without a window manager."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from desktop_agent.profile import Profile, Spot
from desktop_agent.window import Desktop
from tests.support.waiting import eventually_sync

SUPPORT = Path(__file__).parents[1] / "support"
TK = Profile(name="tk", title="Chat", input=Spot(x=0.5, bottom_px=30), transcript=Spot(x=0.5, y=0.2))
PAGE = Profile(name="page", title="Chat page", input=Spot(x=0.5, bottom_px=50), transcript=Spot(x=0.02, y=0.3))


class Chat:
    """A running chat window: what it was sent, with which files (name, SHA-256), and how to end it."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.sent: list[str] = []
        self.files: list[list[list[str]]] = []
        self.process: subprocess.Popen[str]

    def take(self, line: str | bytes) -> None:
        said = json.loads(line)
        self.files.append(said["files"])
        self.sent.append(said["text"])

    def follow(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.take(line)


@contextmanager
def tk_chat(desktop: Desktop, title: str = "Chat", *options: str) -> Iterator[Chat]:
    """A Tk chat window."""
    command = [sys.executable, str(SUPPORT / "chat_tk.py"), title, *options]
    chat = Chat(TK.model_copy(update={"title": title}))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        chat.process = process
        threading.Thread(target=chat.follow, args=[process.stdout], daemon=True).start()
        try:
            shown(desktop, title)
            yield chat
        finally:
            process.kill()


@contextmanager
def chromium_chat(desktop: Desktop, folder: Path) -> Iterator[Chat]:
    """A Chromium --app window on a page of this process."""
    chat = Chat(PAGE)

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = (SUPPORT / "chat_page.html").read_bytes()
            self.send_response(200)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            chat.take(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    chromium = shutil.which("chromium")
    assert chromium, "Chromium is missing: run .ci/install"
    command = [chromium, f"--app=http://127.0.0.1:{server.server_port}/", f"--user-data-dir={folder}", "--no-sandbox"]
    command += [
        "--window-size=700,700",
        "--window-position=150,60",
        "--no-first-run",
        "--disable-gpu",
        "--disable-sync",
    ]
    command += ["--disable-background-networking", "--disable-component-update", "--password-store=basic"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            shown(desktop, "Chat page", within_s=60)
            chat.process = process
            yield chat
        finally:
            process.kill()
            server.shutdown()
            server.server_close()


@contextmanager
def window_manager(wanted: bool) -> Iterator[None]:
    """openbox while the body runs, if wanted."""
    if not wanted:
        yield
        return
    assert shutil.which("openbox"), "openbox is missing: run .ci/install"
    with subprocess.Popen(["openbox", "--sm-disable"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            eventually_sync(managed, what="openbox")
            yield
        finally:
            process.terminate()


def managed() -> bool:
    done = subprocess.run(["xprop", "-root", "_NET_SUPPORTING_WM_CHECK"], capture_output=True, text=True)
    return "window id" in done.stdout


def shown(desktop: Desktop, title: str, within_s: float = 20) -> None:
    """Wait until the window is on the screen."""
    eventually_sync(lambda: [w for w in desktop.windows() if w.title == title], within_s=within_s, what=title)
