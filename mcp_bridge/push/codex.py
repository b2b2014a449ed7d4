"""Rung `queue`: the queue that Codex keeps for each of its sessions, filled through `codex app-server` over stdio.

An idle interactive session looks into its queue every few seconds and takes a turn for what it finds; a busy one does so
when its turn ends. Codex names the session in `_meta` of each tool call, so this way is there from the first call on.
What became of a text is read from the session's rollout file, as with Claude Code's transcript. Shapes seen in Codex
0.169.0; BRIDGE_PUSH_QUEUE=0 switches it off. The text goes over stdin: arguments of a program can be read by others.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from mcp_bridge.push.digest import ALL_CHARS
from mcp_bridge.push.transcript import Stage, Transcript
from mcp_bridge.push.ways import PushFailed

CLIENT: Final = "codex-mcp-client"
LIMIT_S: Final = 20.0
TAKEN_S: Final = 30.0  # an idle session takes what is queued within 10 s
BEGUN_S: Final = 0.3  # a turn that begins with a queued text has it in the rollout by then
BEGINS: Final = "task_started"
ENDS: Final = ("task_complete", "turn_aborted")
FROM_MODEL: Final = ("function_call", "custom_tool_call", "local_shell_call", "reasoning")
OUTPUTS: Final = ("function_call_output", "custom_tool_call_output")
_SESSION: Final = re.compile(r"[0-9a-f-]{36}")
Json = dict[str, Any]


class CodexSession:
    """The session whose child we are, once it is known."""

    def __init__(self, home: Path, program: str) -> None:
        self.home, self.program = home, program
        self.thread = ""
        self._idles = False  # it is there after its turn, and looks into its queue
        self._refuses = False
        self._queued: dict[str, str] = {}  # marker -> the queue's own id of that text
        self._stale: list[str] = []  # given up: not to be found there when the same messages go again

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> CodexSession:
        """Where Codex keeps its data, and the program that started us; it is asked for nothing until it is Codex."""
        home = Path(environment.get("CODEX_HOME") or Path.home() / ".codex")
        return cls(home, _parent() or shutil.which("codex") or "")

    def notice(self, meta: Mapping[str, Any]) -> bool:
        """Learn the session from a tool call's `_meta`; whether that was news. `codex exec` ends with its turn."""
        thread = str(meta.get("threadId", ""))
        turn = meta.get("x-codex-turn-metadata")
        turn = turn if isinstance(turn, Mapping) else {}
        ends = turn.get("turn_trigger") == "exec" or turn.get("thread_source", "user") != "user"
        if ends or (self._idles and thread == self.thread) or not _SESSION.fullmatch(thread):
            return False
        self.thread, self._idles = thread, True
        return True

    def asks(self, meta: Mapping[str, Any], session: str) -> bool:
        """Whether a hook of this session calls, not one of a subagent; it may be the first that we hear of the session."""
        thread = str(meta.get("threadId", ""))
        if thread != (self.thread or session) or not _SESSION.fullmatch(thread):
            return False
        self.thread = thread
        return True

    @property
    def works(self) -> bool:
        return bool(self._idles and self.program) and not self._refuses

    @property
    def most_chars(self) -> int:
        return ALL_CHARS

    def forget(self, marker: str) -> None:
        if queued := self._queued.pop(marker, ""):
            self._stale.append(queued)

    def recall(self, marker: str) -> bool:
        """Take a text out of the queue; whether it was still there. Asked once for each: what was taken stays taken."""
        queued = self._queued.pop(marker, "")
        if not queued:
            return False
        try:
            answer = self.ask([self._delete(queued)])
        except PushFailed:
            return False
        return (answer.get("result") or {}).get("deleted") is True

    def _delete(self, queued: str) -> Json:
        return {"method": "thread/queue/delete", "params": {"threadId": self.thread, "queuedSubmissionId": queued}}

    def rollout(self) -> Path | None:
        """The file in which Codex writes this session down."""
        if not self.thread:
            return None
        return next(iter(sorted((self.home / "sessions").glob(f"*/*/*/*{self.thread}.jsonl"))), None)

    def push(self, text: str, marker: str = "") -> None:
        """Put one message into the session's queue. Raises PushFailed; not when it waits there for the turn's end."""
        added: Json = {"threadId": self.thread, "clientUserMessageId": f"bridge-{marker}"}
        added["input"] = [{"type": "text", "text": text}]
        stale, self._stale = self._stale, []
        answer = self.ask([*map(self._delete, stale), {"method": "thread/queue/add", "params": added}])
        if "error" in answer:
            self._refuses = (answer["error"] or {}).get("code") in (-32600, -32601)  # it does not know the method
            raise PushFailed(f"Codex refuses: {str((answer['error'] or {}).get('message'))[:200]}")
        submission = (answer.get("result") or {}).get("queuedSubmission") or {}
        if queued := str(submission.get("id") or ""):
            self._queued[marker] = queued

    def ask(self, requests: list[Json]) -> Json:
        """Start an app server, make these requests, and return the answer to the last. Raises PushFailed."""
        hello = {"clientInfo": {"name": "mcp_bridge", "title": "Multi-Agent Bridge", "version": "1"}}
        frames: list[Json] = [
            {"id": 1, "method": "initialize", "params": {**hello, "capabilities": {"experimentalApi": True}}},
            {"method": "initialized"},
            *({"id": number, **request} for number, request in enumerate(requests, 2)),
        ]
        wanted = len(requests) + 1
        command = [self.program, "app-server"]
        environment = {name: value for name, value in os.environ.items() if name != "BRIDGE_TOKEN"}
        environment["CODEX_HOME"] = str(self.home)
        try:
            server = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
            )
        except OSError as error:
            raise PushFailed(str(error)) from error
        assert server.stdin is not None
        assert server.stdout is not None
        late = threading.Timer(LIMIT_S, server.kill)
        late.start()
        try:
            server.stdin.write(b"".join(json.dumps(frame).encode() + b"\n" for frame in frames))
            server.stdin.flush()
            for line in server.stdout:
                answer = json.loads(line)
                if isinstance(answer, dict) and (answer.get("id") == wanted or _refused(answer)):
                    return answer
        except (OSError, ValueError) as error:
            raise PushFailed(f"{type(error).__name__}: {error}") from error
        finally:
            late.cancel()
            server.kill()
            server.communicate()
        raise PushFailed("the app server ended without an answer")


class Rollout(Transcript):
    """What Codex wrote down of the session: whether a turn runs, and how far each expected text got."""

    def __init__(self, find: Callable[[], Path | None], clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(find)
        self._clock = clock
        self._reading = threading.Lock()
        self._turn = False
        self._turned_at = clock()
        self._queued_at: dict[str, float] = {}

    @property
    def busy(self) -> bool:
        """Whether the session is in a turn: a queued text would only come after it."""
        self._read_on()
        return self._turn

    def expect(self, marker: str, *, asked: bool = False) -> None:
        self._expected[marker] = None if asked else "queued"  # the queue is on disk; what is in it is not lost
        self._queued_at[marker] = self._clock()

    def forget(self, marker: str) -> None:
        super().forget(marker)
        self._queued_at.pop(marker, None)

    def overtaken(self) -> frozenset[str]:
        """Texts in the queue of a session that works on something else."""
        self._read_on()
        begun = self._turn and self._clock() - self._turned_at >= BEGUN_S
        return frozenset(marker for marker, stage in self._expected.items() if begun and stage == "queued")

    def look(self) -> dict[str, Stage | None]:
        """How far each got; None when an idle session did not take it, for then somebody took it out of the queue."""
        self._read_on()
        now = self._clock()
        return {marker: None if self._lost(marker, now) else stage for marker, stage in self._expected.items()}

    def _lost(self, marker: str, now: float) -> bool:
        since = max(self._queued_at.get(marker, now), self._turned_at)
        return self._expected.get(marker) == "queued" and not self._turn and now - since > TAKEN_S

    def _read_on(self) -> None:
        with self._reading:
            if not self.readable or self._path is None:
                return
            try:
                with self._path.open("rb") as file:
                    file.seek(self._offset)
                    data = file.read()
            except OSError:
                return
            self._offset += len(data)
            *whole, self._rest = (self._rest + data).split(b"\n")
            for raw in whole:
                self._take(raw)

    def _take(self, raw: bytes) -> None:
        try:
            line = json.loads(raw)
        except ValueError:
            return
        payload = line.get("payload") if isinstance(line, dict) else None
        if not isinstance(payload, dict):
            return
        kind = payload.get("type")
        if line.get("type") == "event_msg" and kind in (BEGINS, *ENDS):
            self._turn = kind == BEGINS
            self._turned_at = self._clock()
        elif line.get("type") == "response_item":
            self._item(payload)

    def _item(self, item: Json) -> None:
        asked = item.get("type") == "message" and item.get("role") in ("user", "developer")
        if asked or item.get("type") in OUTPUTS:
            self._reached("placed", item)
        elif item.get("type") in FROM_MODEL or item.get("role") == "assistant":
            for marker, stage in self._expected.items():
                if stage == "placed":
                    self._expected[marker] = "answered"


def _refused(answer: Json) -> bool:
    """An error about a request that Codex could not even read names no request."""
    return "error" in answer and answer.get("id") is None


def _parent() -> str:
    """The program that started us, when it is Codex: it is the version that the session runs."""
    try:
        program = os.readlink(f"/proc/{os.getppid()}/exe")
    except OSError:
        return ""
    return program if Path(program).name.startswith("codex") else ""
