"""`mcp-bridge mcp`: a relay between a client's stdio and the hub's /mcp. Standard library only, so that it answers at once.

The handshake and every list are answered from a generated file before a hub is even there; everything else goes to
the hub, one short-lived request each, always in the stateless protocol, whatever era the client speaks. So a hub
restart needs no ceremony: the request is tried again with the same idempotency key.

What it remembers: which results it wrote out completely. Their keys travel with the next call (`mab/ack`), and only
then the hub counts their messages as read.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode, urlsplit

from hub.core.keys import Keys
from hub.running import find_running
from hub.settings import default_home
from mcp_bridge.identity import SHORT, Identity, project_directory
from mcp_bridge.local_files import NotShared, open_shared, pieces, share_roots
from mcp_bridge.push import moments
from mcp_bridge.push.channel import CAPABILITY, Channel
from mcp_bridge.push.codex import CLIENT as CODEX
from mcp_bridge.push.codex import CodexSession, Rollout
from mcp_bridge.push.gemini import Chat
from mcp_bridge.push.hooks import Hooks
from mcp_bridge.push.inbox_socket import InboxSocket
from mcp_bridge.push.ladder import OFF_UNLESS_ASKED, SWITCHES, QuietHours, Rung, switched_off
from mcp_bridge.push.listeners import KINDS, Listeners, Monitor, Rewake, names
from mcp_bridge.push.pusher import MESSAGE_LISTS, PATIENCE_S, SAME_ANSWER_S, Made, Pusher, ids_in, without
from mcp_bridge.push.transcript import Transcript, of_claude_code
from mcp_bridge.push.ways import Way
from mcp_bridge.recent import KEPT, Recent

MODERN = "2026-07-28"
LEGACY = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
META_VERSION = "io.modelcontextprotocol/protocolVersion"
META_CLIENT = "io.modelcontextprotocol/clientInfo"
META_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
SETTLE_S = 2.0  # a process that lives shorter was only a probe and never registers
HUB_WAIT_S = float(os.environ.get("BRIDGE_HUB_WAIT_S", "20"))
STALE_TASK_S = 5.0  # a client asks about its task every second; one that stopped asking waits no more
NOT_CONFIRMED = (
    "The hub could not be reached, so this was NOT confirmed: {what}. It may or may not have happened; calling again "
    "with the same arguments is safe. Start the hub with `mcp-bridge up` if it does not come back by itself."
)
SHOWING = ("poll", "ask", "join", "history")  # tools that show messages by themselves
RESULT_CHARS = 4_000
RUNG_S = 2.0
ARRIVAL_S = 0.3  # a client writes its model's answer down as it makes the calls in it
MOST_FRAME_BYTES = 8 * 1024 * 1024
READER_FORGOTTEN = -32010  # the hub does not know this reader: it restarted, or another one answers
_NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
Message = dict[str, Any]


class HubGone(Exception):
    """The hub did not answer."""


class Cancelled(Exception):
    """The client does not want this answer any more."""


class Flight:
    """One request on its way, which can be stopped at any moment, also before its connection is open."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self.shows = False  # its answer may show messages: until it is written, nothing else may bring any

    def take(self, connection: http.client.HTTPConnection) -> None:
        """This connection carries the request. Raises Cancelled when it is not wanted any more."""
        connection.connect()
        self._connection = connection
        self.check()

    def check(self) -> None:
        if self.stopped.is_set():
            raise Cancelled

    def stop(self) -> None:
        self.stopped.set()
        with contextlib.suppress(OSError, AttributeError):
            self._connection.sock.shutdown(2)  # type: ignore[union-attr]


@dataclass(frozen=True, slots=True)
class Written:
    """A result that the client has, with its messages, since when."""

    messages: tuple[str, ...]
    at: float = field(default_factory=time.monotonic)


class Memory:
    """What this reader was shown and where it is: outlives the hub's process, so that a restart shows nothing twice."""

    def __init__(self) -> None:
        self.room: str | None = None
        self._cursor: str | None = None
        self._shown = Recent()

    def __len__(self) -> int:
        return len(self._shown) + (self.room is not None)

    def take(self, result: Message) -> None:
        """A tool result that the client has."""
        data = result.get("structuredContent")
        if not isinstance(data, dict):
            return
        self._cursor = data.get("cursor") or self._cursor
        for name in MESSAGE_LISTS:
            whole = (item for item in data.get(name) or () if not item.get("truncated") or "cursor" in data)
            self._shown.add(str(item.get("id")) for item in whole)

    def add(self, messages: Iterable[str]) -> None:
        """Messages that a push brought."""
        self._shown.add(messages)

    def told(self) -> Message:
        """For a hub that does not know this reader."""
        return {"room": self.room, "cursor": self._cursor, "shown": list(self._shown)}


# --- where the hub is -----------------------------------------------------------------------------------------------


class Hub:
    """The hub to talk to: a given one (BRIDGE_URL), else the local one, started when none runs."""

    def __init__(self, home: Path, url: str = "", token: str = "") -> None:
        self.home = home
        self._url = url
        self._token = token
        self._starting = threading.Lock()

    @property
    def local(self) -> bool:
        return not self._url

    def url(self) -> str:
        """The address; raises HubGone when no local hub runs."""
        if url := self._url or find_running(self.home):
            return url
        raise HubGone("no hub is running")

    def token(self) -> str:
        """The local user's token, or the one given."""
        if self._token:
            return self._token
        try:
            return (self.home / "token").read_text("utf-8").strip()
        except OSError:
            raise HubGone("no token") from None

    def answers(self) -> bool:
        """Whether something healthy answers at the address."""
        try:
            with open_connection(self.url(), 2) as connection:
                connection.request("GET", "/livez")
                return connection.getresponse().status == 200
        except (HubGone, OSError, http.client.HTTPException):
            return False

    def ensure(self, wait_s: float = HUB_WAIT_S) -> None:
        """Make sure a hub answers, starting the local one if need be. Raises HubGone after `wait_s`."""
        until = time.monotonic() + wait_s
        started = False
        with self._starting:
            while not self.answers():
                if self.local and not started:
                    started = True
                    self._start()
                if time.monotonic() > until:
                    raise HubGone(f"no hub answers for {self.home if self.local else self._url}")
                time.sleep(0.05)

    def _start(self) -> None:
        """Start a hub that outlives this session; when two try, the data directory's lock lets one win."""
        self.home.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "mcp_bridge", "up", "--quiet", "--fallback-port", "--idle-stop-s", "1800"]
        with (self.home / "hub.log").open("ab") as log:
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=os.environ | {"BRIDGE_HOME": str(self.home)},
                cwd=str(self.home),
            )


@contextlib.contextmanager
def open_connection(url: str, timeout_s: float) -> Iterator[http.client.HTTPConnection]:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "127.0.0.1", parts.port, timeout=timeout_s)
    try:
        yield connection
    finally:
        connection.close()


def call_json(
    url: str, token: str, method: str, path: str, body: Message | None = None, timeout_s: float = 20
) -> Message:
    """One call of the hub's HTTP API. Raises HubGone, or PermissionError for a token that is not valid."""
    headers = {"authorization": f"Bearer {token}"}
    payload = None
    if body is not None:
        payload = json.dumps(body).encode()
        headers["content-type"] = "application/json"
    try:
        with open_connection(url, timeout_s) as connection:
            connection.request(method, path, payload, headers)
            answer = connection.getresponse()
            status, raw = answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise HubGone(str(error)) from error
    return outcome(status, raw)


def outcome(status: int, raw: bytes) -> Message:
    """The JSON of an answer. Raises HubGone, PermissionError for a token that is not valid, ValueError for a refusal."""
    try:
        made = json.loads(raw or b"{}")
    except ValueError as error:
        raise HubGone(str(error)) from error
    if status == 401:
        raise PermissionError("the token is not valid")
    if status >= 500:
        raise HubGone(str(made.get("detail", status)))
    if status >= 400:
        raise ValueError(made.get("detail", f"the hub answered {status}"))
    found: Message = made
    return found


# --- the relay ------------------------------------------------------------------------------------------------------


class Relay:
    """Reads frames from `source`, writes frames to `sink`; every request runs in a thread of its own."""

    def __init__(
        self,
        hub: Hub,
        source: BinaryIO,
        sink: BinaryIO,
        *,
        name: str = "",
        room: str = "",
        static: Message | None = None,
        inbox: InboxSocket | None = None,
        quiet: QuietHours | None = None,
        transcript: Transcript | None = None,
        codex: CodexSession | None = None,
        off: frozenset[Rung] = OFF_UNLESS_ASKED,
        listeners: Listeners | None = None,
    ) -> None:
        self._hub = hub
        self._source = source
        self._sink = sink
        self._wanted = (name, room)
        self._static = static if static is not None else generated()
        self._writing = threading.Lock()
        self._entering = threading.Lock()
        self._settling = threading.Lock()
        self._agent = self._agent_token = ""
        self._session = ""  # as the client names it in its calls
        self._identity: Identity | None = None
        self._client: Message = {"name": "unknown", "version": "0"}
        self._capabilities: Message = {}
        self._legacy = False
        self._boot = uuid.uuid4().hex
        self._keys = Keys(self._boot)
        self._memory = Memory()
        self._news = ""
        self._announced = False
        self._done: dict[str, Written] = {}
        self._waits: dict[str, str] = {}
        self._running: dict[str | int, Flight] = {}
        self._subscribed: set[str] = set()
        self._listening: Flight | None = None
        self._changed = threading.Event()
        self._started = time.monotonic()
        self._attending = False
        self._asked_at = 0.0
        self._over = threading.Event()
        self._roots = share_roots(os.environ, project_directory(dict(os.environ)))
        self._proved: list[str] = []  # messages that a push brought for sure, and the hub's reader does not know yet
        self._codex = codex
        rollout = None
        if codex is not None:
            transcript = rollout = Rollout(codex.rollout)
        self._attendance = Flight()
        self._channels = "channel" not in off
        self._listeners = listeners
        self._told_rung: Rung | None = None
        if listeners is not None:
            listeners.hear = lambda given: self.hear(given, moments.GEMINI)
        monitor = Monitor(listeners, lambda: "hook" in self._pusher.offers()) if listeners else None
        self._pusher = Pusher(
            self._ways(inbox, monitor),
            self._look,
            self._waiting,
            note,
            prove=self._prove,
            transcript=transcript,
            off=off,
            quiet=quiet,
            hold=(lambda: rollout.busy) if rollout is not None else (lambda: False),
            recall=codex.recall if codex is not None else (lambda _marker: False),
        )
        self._hooks = Hooks(self._pusher, transcript, monitor.claim if monitor else lambda _prompt: None)

    def _ways(self, inbox: InboxSocket | None, monitor: Monitor | None) -> dict[Rung, Way]:
        """What this session may offer; each says by itself whether it works now."""
        made: dict[Rung, Way] = {"channel": Channel(self.write, lambda: self._channels and self._legacy)}
        if inbox is not None:
            made["socket"] = replace(inbox, mine=self._in_claude_code)
        if self._codex is not None:
            made["queue"] = self._codex
        if monitor is not None and self._listeners is not None:
            made["monitor"], made["rewake"] = monitor, Rewake(self._listeners)
        return made

    def _host(self) -> str:
        """What people call the client with a model that we serve; empty for a program, or one nobody knows."""
        return SHORT.get(str(self._client.get("name", "")), "")

    def _in_claude_code(self) -> bool:
        """Not when another client was started from a shell inside a Claude Code session."""
        return self._host() in ("claude", "")

    # --- frames -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Until the client closes its end."""
        while line := self._source.readline(MOST_FRAME_BYTES + 1):
            if len(line) > MOST_FRAME_BYTES:
                while line and not line.endswith(b"\n"):
                    line = self._source.readline(MOST_FRAME_BYTES)
                self._fail(None, -32600, f"a frame has at most {MOST_FRAME_BYTES} bytes; share larger data as a file")
            elif line.strip():
                self._frame(line)
        self._over.set()

    def _frame(self, line: bytes) -> None:
        try:
            frame = json.loads(line, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            self._fail(None, -32700, "not valid JSON")
            return
        if not isinstance(frame, dict) or not isinstance(frame.get("method"), str):
            if isinstance(frame, dict) and ("result" in frame or "error" in frame):
                return  # an answer to a request we never make
            self._fail(_id(frame), -32600, "not a JSON-RPC request")
        elif (wrong := _malformed(frame)) is not None:
            if "id" in frame:
                self._fail(_id(frame), -32602, wrong)
        elif "id" not in frame:
            self._notification(frame)
        elif frame["id"] in self._running:
            self._fail(frame["id"], -32600, "this id is in use by a request that still runs")
        else:
            self._request(frame)

    def _request(self, frame: Message) -> None:
        if (answer := self._answer_at_once(frame)) is not None:
            self.write({"jsonrpc": "2.0", "id": frame["id"], **answer})
            return
        flight = self._running[frame["id"]] = Flight()  # before its thread runs: a cancellation may follow at once
        flight.shows = shows(frame)
        threading.Thread(target=self._forward, args=(frame, flight), daemon=True).start()

    def write(self, frame: Message) -> bool:
        """Write one frame whole; false when the client is gone."""
        try:
            data = json.dumps(frame, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        except UnicodeEncodeError:  # half of a surrogate pair has no UTF-8
            data = json.dumps(frame, separators=(",", ":")).encode() + b"\n"
        with self._writing:
            try:
                self._sink.write(data)
                self._sink.flush()
            except (OSError, ValueError):
                self._over.set()
                return False
        return True

    def _fail(self, request: Any, code: int, message: str) -> None:
        self.write({"jsonrpc": "2.0", "id": request, "error": {"code": code, "message": message}})

    def _notification(self, frame: Message) -> None:
        if frame["method"] == "notifications/cancelled":
            request = frame.get("params", {}).get("requestId")
            flight = self._running.get(request) if isinstance(request, str | int) else None
            if flight is not None:
                flight.stop()

    # --- what needs no hub ------------------------------------------------------------------------------------------

    def _answer_at_once(self, frame: Message) -> Message | None:
        method, params = frame["method"], frame.get("params", {})
        if method == "server/discover" and self._channels:  # channels are known to the older protocol only
            return {"error": {"code": -32601, "message": "this server speaks the handshake protocol"}}
        if method == "initialize":
            return {"result": self._initialize(params)}
        self._note_client(params.get("_meta", {}))
        if method == "ping" or (self._legacy and method == "logging/setLevel"):
            return {"result": {}}
        if method == "resources/subscribe" or method == "resources/unsubscribe":
            return self._subscribe(method, params)
        if method in self._static:
            if method == "tools/list":
                self._settle_later()
            return {"result": self._for_era(json.loads(json.dumps(self._static[method])))}
        return None

    def _initialize(self, params: Message) -> Message:
        self._legacy = True
        asked = str(params.get("protocolVersion", ""))
        self._client = params.get("clientInfo") or self._client
        self._capabilities = params.get("capabilities") or {}
        self._note_host()
        shown: Message = json.loads(json.dumps(self._static["initialize"]))
        shown["protocolVersion"] = asked if asked in LEGACY else LEGACY[0]
        shown["capabilities"]["resources"]["subscribe"] = True
        shown["capabilities"]["tools"]["listChanged"] = True
        if self._channels:
            shown["capabilities"].setdefault("experimental", {})[CAPABILITY] = {}
        return shown

    def _note_client(self, meta: Message) -> None:
        if not self._legacy:
            self._client = meta.get(META_CLIENT) or self._client
            self._capabilities = meta.get(META_CAPABILITIES) or self._capabilities
            self._note_host()

    def _note_host(self) -> None:
        """Only a model reads what rides on a result; a program waits for it from `poll` and would miss it."""
        if self._host():
            self._pusher.pulls.add("result")
        else:
            self._pusher.pulls.discard("result")

    def _for_era(self, result: Message) -> Message:
        """What the newer protocol adds to results, taken out for handshake-era clients."""
        if self._legacy:
            for name in ("resultType", "ttlMs", "cacheScope"):
                result.pop(name, None)
            meta = result.get("_meta")
            if isinstance(meta, dict):
                meta.pop("io.modelcontextprotocol/serverInfo", None)
                if not meta:
                    del result["_meta"]
        return result

    def _subscribe(self, method: str, params: Message) -> Message:
        uri = str(params.get("uri", ""))
        if method == "resources/subscribe":
            self._subscribed.add(uri)
        else:
            self._subscribed.discard(uri)
        self._changed.set()
        if self._listening is None:
            self._listening = Flight()
            threading.Thread(target=self._listen, daemon=True).start()
        else:
            self._listening.stop()
        return {"result": {}}

    # --- entering ---------------------------------------------------------------------------------------------------

    def _settle_later(self) -> None:
        """Register once the tool list was served and the process has proved to be no probe."""
        wait_s = max(0.0, SETTLE_S - (time.monotonic() - self._started))

        def settle() -> None:
            pause_s = wait_s
            while not self._over.wait(pause_s):
                try:
                    self.enter()
                except HubGone:  # a busy machine may take longer to start one than a call would wait
                    pause_s = min(60.0, max(1.0, pause_s * 2))
                except (PermissionError, ValueError):
                    return
                else:
                    return

        threading.Thread(target=settle, daemon=True).start()

    def _enter_if_possible(self) -> None:
        with contextlib.suppress(HubGone, PermissionError, ValueError):
            self.enter()

    def enter(self, *, again: bool = False) -> None:
        """Make sure we are an agent with a token, present, and in the project's room. Raises HubGone."""
        with self._entering:
            if self._agent_token and not again:
                return
            self._hub.ensure()
            if self._identity is None:
                name, room = self._wanted
                client = str(self._client.get("name", "unknown"))
                said = {"BRIDGE_SESSION": self._session} if self._session else {}
                self._identity = Identity(self._hub.home, client, name, room, os.environ | said)
            self._register(self._identity)
        if not self._attending:
            self._attending = True
            threading.Thread(target=self._attend, daemon=True).start()
            threading.Thread(target=self._pusher.run, args=(self._over,), daemon=True).start()
            threading.Thread(target=self._watch_rung, daemon=True).start()

    def _register(self, who: Identity) -> None:
        if not self._hub.local and not self._wanted[0]:
            self._agent_token = self._hub.token()  # a remote hub gave us an agent's own token
        else:
            body = {"identity": who.key, "name": who.name, "kind": "code", "title": who.title}
            made = call_json(self._hub.url(), self._hub.token(), "POST", "/v1/agents/enter", body)
            self._agent, self._agent_token = made["agent"], made["token"]
            self._pusher.agent = self._agent
            if made.get("renamed"):
                self._news = f"the name {who.name} is in use by another session; here you are {self._agent}"
                note(self._news)
        if who.room:
            try:
                join = {"create": True}
                call_json(self._hub.url(), self._agent_token, "POST", f"/v1/rooms/{who.room}/join", join)
                self._announce(who.room)
            except ValueError as error:
                note(f"did not join {who.room}: {error}")
                who.room = ""

    def _announce(self, room: str) -> None:
        """Say once, with the first result, that the session joined a room by itself, and how to leave it."""
        if not self._announced:
            self._announced = True
            you = f"you are {self._agent}, in" if self._agent else "you are in"
            leave = f"join(room='{room}', action='leave') leaves it for good"
            self._news = "; ".join(filter(None, [self._news, f"{you} room {room} (joined by itself; {leave})"]))

    def _moved(self, frame: Message, result: Message) -> None:
        """Remember what the agent left or entered by its own wish."""
        params = frame["params"]
        if params.get("name") != "join" or result.get("isError") or self._identity is None:
            return
        arguments = params.get("arguments") or {}
        act = self._identity.leave if arguments.get("action") == "leave" else self._identity.enter
        act(str(arguments.get("room") or self._memory.room or ""))

    def _look(self, path: str) -> Message:
        """A read of the hub's API as this session's agent."""
        return call_json(self._hub.url(), self._agent_token, "GET", path)

    def _prove(self, messages: Sequence[str], cursor: str | None) -> None:
        """Tell the hub that this session's model has these."""
        with self._settling:
            self._proved += messages
            self._memory.add(messages)
        for start in range(0, len(messages), 100):
            body = {"messages": list(messages[start : start + 100]), "cursor": cursor}
            call_json(self._hub.url(), self._agent_token, "POST", "/v1/inbox/ack", body)

    def _waiting(self) -> bool:
        """Whether a call of ours is open that shows messages: a plain one, or a task the client asks about."""
        asked = bool(self._waits) and time.monotonic() - self._asked_at < STALE_TASK_S
        return asked or any(flight.shows for flight in list(self._running.values()))

    def _attend(self) -> None:
        """Hold presence as long as this process lives; each line may be a wake-up."""
        while not self._over.is_set():
            rung = self._told_rung = self._pusher.rung
            self._attendance = Flight()
            if self._listeners is not None:
                self._listeners.tell({"agent": self._agent, "rung": rung})
            where = f"/v1/attend?reach={self._pusher.reach}&via={rung or ''}"
            try:
                with open_connection(self._hub.url(), 40) as connection:
                    self._attendance.take(connection)
                    connection.request("GET", where, headers={"authorization": f"Bearer {self._agent_token}"})
                    answer = connection.getresponse()
                    while answer.status == 200 and answer.fp.readline():
                        self._pusher.wake()
                if answer.status == 401:
                    self.enter(again=True)
            except (Cancelled, HubGone, OSError, http.client.HTTPException, PermissionError, ValueError):
                pass
            self._over.wait(0 if self._attendance.stopped.is_set() else 1)

    def _note_session(self, meta: Message) -> None:
        """A client that names its session only in its calls: it may be one we know, and can now be reached."""
        if self._codex is None:
            return
        if self._client.get("name") == CODEX and isinstance(session := meta.get("threadId"), str):
            self._recognize(session)
        if self._codex.notice(meta):
            self._pusher.wake()
            self._attendance.stop()  # attends again at once, with the reach as it is now

    def _recognize(self, session: str) -> None:
        with self._entering:
            known, self._session = self._session, session
            who = self._identity
            moved = session != known and who is not None and who.recognize(session)
        if moved:  # a resumed session is the agent it was
            self._news, self._announced = "", False
            self.enter(again=True)
            self._attendance.stop()

    def _watch_rung(self) -> None:
        """When another way becomes the best one, say so: attend anew."""
        while not self._over.wait(RUNG_S):
            if self._pusher.rung != self._told_rung:
                self._told_rung = self._pusher.rung
                self._attendance.stop()

    # --- requests ---------------------------------------------------------------------------------------------------

    def _forward(self, frame: Message, flight: Flight) -> None:
        try:
            self._answer(frame, flight)
        except Cancelled:
            pass
        except HubGone as error:
            self._not_confirmed(frame, str(error))
        except PermissionError as error:
            self._fail(frame["id"], -32001, f"{error}; get a new one from whoever runs the hub")
        except Exception as error:  # nothing a client sends may leave it without an answer
            self._fail(frame["id"], -32603, f"{type(error).__name__}: {error}")
        finally:
            self._running.pop(frame["id"], None)

    def _answer(self, frame: Message, flight: Flight) -> None:
        called = (frame.get("params") or {}).get("name") if frame["method"] == "tools/call" else None
        if called == moments.TOOL:
            self._answer_hook(frame)
            return
        if called is not None:
            self._settle(called)
        key, acknowledged = self._prepare(frame)
        if refusal := self._send_local_file(frame, key, flight):
            self.write(refusal)
            return
        answer = self._ask(frame, flight)
        if (answer.get("error") or {}).get("code") == READER_FORGOTTEN:
            frame["params"]["_meta"]["mab/memory"] = self._memory.told()
            answer = self._ask(frame, flight)
        result = answer.get("result") or {}
        room = (result.get("_meta") or {}).pop("mab/room", None)
        if "result" in answer:
            answer["result"] = self._for_era(result)
            self._tell_news(result)
        flight.check()
        self._leave_out(frame, result)
        made = self._ride_along(called, result) if called is not None else None
        with self._settling:  # the client's next call may come before `write` returns; it must know of this result
            if self.write(answer):
                self._memory.room = room or self._memory.room
                self._done = {k: written for k, written in self._done.items() if k not in acknowledged}
                told = set(frame["params"]["_meta"].get("mab/shown", ()))
                self._proved = [message for message in self._proved if message not in told]
                self._written(frame, key, result)
                flight.shows = False
            elif made is not None:
                self._pusher.give_back(made.push)

    def _settle(self, called: str) -> None:
        """What came of pushes before this call: a tool that shows messages should repeat none of them."""
        with contextlib.suppress(HubGone, PermissionError, ValueError):
            if not self._pusher.settle(ARRIVAL_S if called in SHOWING else 0):
                self._pusher.confirm("result")

    def _answer_hook(self, frame: Message) -> None:
        """A hook calls our tool: one of our plugin, or one that setting Codex up wrote."""
        params = frame.get("params") or {}
        given = params.get("arguments") or {}
        if self._client.get("name") == CODEX:
            session = str(given.get("session", ""))
            asks = self._codex is not None and self._codex.asks(params.get("_meta") or {}, session)
            if asks:
                self._recognize(session)
            said = self.hear(given, moments.CODEX) if asks else {}
        else:
            said = self.hear(given, moments.CLAUDE_CODE)
        result: Message = {"content": [{"type": "text", "text": json.dumps(said)}]}
        if not self._legacy:
            result["resultType"] = "complete"
        self.write({"jsonrpc": "2.0", "id": frame["id"], "result": result})

    def _leave_out(self, frame: Message, result: Message) -> None:
        """What a waiting call brought while its client had stopped asking for it may have been pushed meanwhile."""
        task = str((frame.get("params") or {}).get("taskId", ""))
        if frame["method"] != "tasks/get" or result.get("status") != "completed" or task not in self._waits:
            return
        ids = ids_in(result)
        if pushed := self._pusher.knows(ids):
            result["result"] = without(result["result"], pushed)
            with self._settling:
                self._waits[task] = ""  # its key would acknowledge what a push has still to bring
                self._proved += [message for message in ids if message not in pushed]

    def hear(self, given: Message, dialect: moments.Dialect) -> Message:
        """What a hook is told. It holds the session up, so anything that goes wrong is no answer."""
        if not self._hooks.heard(given, dialect):
            return {}
        if not self._agent_token:  # a session with hooks is no probe
            entering = threading.Thread(target=self._enter_if_possible, daemon=True)
            entering.start()
            entering.join(PATIENCE_S)
        if self._agent_token:
            with contextlib.suppress(HubGone, PermissionError, ValueError):
                self._pusher.settle()
                return self._hooks.answer(given, dialect)
        return {}

    def _ride_along(self, called: str, result: Message) -> Made | None:
        """What waits rides on the result of any tool, when no better way has brought it yet."""
        data = result.get("structuredContent")
        if called in SHOWING or not isinstance(data, dict) or not data.get("unread") or result.get("isError"):
            return None
        if "result" not in self._pusher.offers():
            return None
        try:
            made = self._pusher.pull("result", most_chars=RESULT_CHARS)
        except (HubGone, PermissionError, ValueError):
            return None
        if made is not None:
            data["new"] = made.text
            result["content"].append({"type": "text", "text": made.text})
            if isinstance(data["unread"], int):
                data["unread"] = max(0, data["unread"] - len(made.push.ids))
        return made

    def _tell_news(self, result: Message) -> None:
        """What the model should know about itself rides on the first tool result."""
        if self._news and isinstance(result.get("structuredContent"), dict):
            own = result["structuredContent"].get("note")
            result["structuredContent"]["note"] = f"{own}; {self._news}" if own else self._news
            result["content"].append({"type": "text", "text": self._news})
            self._news = ""

    def _prepare(self, frame: Message) -> tuple[str, list[str]]:
        """Fill in what the stateless protocol wants with every request, and the key of a tool call."""
        params = frame["params"] = frame.get("params") or {}
        meta = params.setdefault("_meta", {})
        meta.setdefault(META_VERSION, MODERN)
        if self._legacy:
            meta[META_VERSION] = MODERN
            meta[META_CLIENT] = self._client
            meta[META_CAPABILITIES] = self._capabilities
        meta.setdefault(META_CAPABILITIES, {})
        with self._settling:
            early = self._of_this_answer(params.get("name"))
            key, done = "", [k for k in self._done if k not in early]
            proved = [*self._proved, *(message for k in early for message in self._done[k].messages)][-KEPT:]
        if frame["method"] == "tools/call":
            self._note_session(meta)
            key = str(meta.get("claudecode/toolUseId") or self._keys.new())
            meta["mab/key"], meta["mab/ack"] = key, done
        if frame["method"] in ("tools/call", "tasks/get"):
            meta["mab/knows"] = len(self._memory)
            meta |= {name: ids for name, ids in (("mab/shown", proved), ("mab/coming", self._pusher.coming())) if ids}
        return key, done

    def _of_this_answer(self, called: Any) -> set[str]:
        """Keys of results that the model may not have: the calls of one answer of it come right after each other.

        They are shown and not acknowledged yet. A `poll` always says that the one before was read; a program has no answers.
        """
        if called == "poll" or not self._host():
            return set()
        now = time.monotonic()
        return {key for key, written in self._done.items() if now - written.at < SAME_ANSWER_S}

    def _written(self, frame: Message, key: str, result: Message) -> None:
        """The client has this answer: its key counts as done; a task's key when its result was written."""
        self._pusher.shown(ids_in(result))
        if frame["method"] == "tools/call":
            self._moved(frame, result)
        if result.get("resultType") == "task" or frame["method"] == "tasks/get":
            self._asked_at = time.monotonic()
        if result.get("resultType") == "task":
            self._waits[str(result.get("taskId"))] = key
        elif key:
            self._memory.take(result)
            self._done[key] = Written(tuple(ids_in(result)))
            if reads_all(frame, result):
                self._pusher.caught_up()
        elif frame["method"] == "tasks/get" and result.get("status") == "completed":
            self._memory.take(result.get("result") or {})
            if key := self._waits.pop(str(result.get("taskId")), ""):
                self._done[key] = Written(tuple(ids_in(result)))

    def _not_confirmed(self, frame: Message, reason: str) -> None:
        what = f"{frame['params'].get('name', frame['method'])} ({reason})"
        text = NOT_CONFIRMED.format(what=what)
        if frame["method"] == "tools/call":
            self.write(self._tool_error(frame, text))
        else:
            self._fail(frame["id"], -32603, text)

    def _tool_error(self, frame: Message, text: str) -> Message:
        result: Message = {"content": [{"type": "text", "text": text}], "isError": True}
        if not self._legacy:
            result["resultType"] = "complete"
        return {"jsonrpc": "2.0", "id": frame["id"], "result": result}

    def _send_local_file(self, frame: Message, key: str, flight: Flight) -> Message | None:
        """Bytes of a file on this machine go ahead of the call that names it; a refusal is the answer."""
        params = frame["params"]
        arguments = params.get("arguments")
        if params.get("name") != "file" or not isinstance(arguments, dict) or "path" not in arguments:
            return None
        self.enter()
        room = arguments.get("room") or self._memory.room or (self._identity.room if self._identity else None)
        path, name = str(arguments["path"]), arguments.get("file") or Path(str(arguments["path"])).name
        try:
            if not isinstance(room, str) or not room:
                raise ValueError("name the room: room='…'")
            with open_shared(self._roots, path) as file:
                query = urlencode({"name": str(name)})
                target = f"/v1/rooms/{quote(room, safe='@')}/files?{query}"
                made = self._persist(lambda: self._upload(target, file, f"{key}/file"[-128:], flight), flight)
        except (NotShared, ValueError) as error:
            return self._tool_error(frame, str(error))
        params["_meta"]["mab/uploaded"] = made["id"]
        return None

    def _upload(self, target: str, file: BinaryIO, key: str, flight: Flight) -> Message:
        size_bytes = file.seek(0, os.SEEK_END)
        headers = {
            "authorization": f"Bearer {self._agent_token}",
            "idempotency-key": key,
            "content-length": str(size_bytes),
        }
        try:
            with open_connection(self._hub.url(), 120) as connection:
                flight.take(connection)
                connection.request("POST", target, pieces(file, size_bytes), headers)
                answer = connection.getresponse()
                status, raw = answer.status, answer.read()
        except (OSError, http.client.HTTPException, AttributeError) as error:
            flight.check()
            raise HubGone(str(error) or type(error).__name__) from error
        return outcome(status, raw)

    def _ask(self, frame: Message, flight: Flight) -> Message:
        """The hub's answer to a request."""
        return self._persist(lambda: self._post(frame, flight), flight)

    def _persist(self, attempt: Callable[[], Message], flight: Flight) -> Message:
        """The outcome of `attempt`, tried again over hub restarts with the same key until it is clear that no hub comes."""
        until = time.monotonic() + HUB_WAIT_S * 1.5
        renewed = False
        while True:
            self.enter()
            flight.check()
            try:
                return attempt()
            except PermissionError:
                if renewed:
                    raise
                renewed = True
                self.enter(again=True)
            except HubGone:
                if time.monotonic() > until:
                    raise
                self._hub.ensure(max(1.0, until - time.monotonic()))
                if self._legacy:  # another hub process, maybe another version
                    self.write({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})

    def _post(self, frame: Message, flight: Flight) -> Message:
        """One POST to /mcp; notifications on its stream go straight to the client."""
        params, method = frame["params"], frame["method"]
        headers = {
            "authorization": f"Bearer {self._agent_token}",
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": MODERN,
            "mcp-method": method,
            "bridge-reader": self._boot,
        }
        named = params.get(_NAMED.get(method, "taskId" if method.startswith("tasks/") else ""))
        if named is not None:
            headers["mcp-name"] = header_value(str(named))
        if self._identity is not None and self._identity.room:
            headers["bridge-room"] = self._identity.room
        try:
            with open_connection(self._hub.url(), 700) as connection:
                flight.take(connection)
                connection.request("POST", "/mcp", json.dumps(frame).encode(), headers)
                return self._read(connection.getresponse(), frame)
        except (OSError, http.client.HTTPException, AttributeError, HubGone) as error:
            flight.check()
            raise HubGone(str(error) or type(error).__name__) from error

    def _read(self, answer: http.client.HTTPResponse, frame: Message) -> Message:
        if answer.status == 401:
            raise PermissionError("the token is not valid")
        if "text/event-stream" in (answer.getheader("content-type") or ""):
            for line in answer:
                if line.startswith(b"data:"):
                    message: Message = json.loads(line[5:])
                    if "id" in message and "method" not in message:
                        return message
                    self._pass_on(message)
            raise HubGone("the answer broke off")
        raw = answer.read()
        try:
            made: Message = json.loads(raw)
        except ValueError:
            raise HubGone(f"status {answer.status}") from None
        if "jsonrpc" not in made:
            if answer.status >= 500:
                raise HubGone(str(made.get("detail", answer.status)))
            text = str(made.get("detail", answer.status))
            return {"jsonrpc": "2.0", "id": frame["id"], "error": {"code": -32603, "message": text}}
        made["id"] = frame["id"]
        return made

    # --- notifications for handshake-era subscribers ------------------------------------------------------------------

    def _listen(self) -> None:
        """Follow resource changes for a client that subscribed: anew when it subscribes to more or the hub was gone."""
        while not self._over.is_set():
            self._changed.clear()
            flight = self._listening = Flight()
            uris = sorted(self._subscribed)
            if not uris:
                self._changed.wait(5)
                continue
            frame: Message = {
                "jsonrpc": "2.0",
                "id": f"listen-{self._boot}",
                "method": "subscriptions/listen",
                "params": {"notifications": {"resourceSubscriptions": uris}},
            }
            self._prepare(frame)
            with contextlib.suppress(HubGone, PermissionError, ValueError):
                try:
                    self.enter()
                    self._post(frame, flight)
                except Cancelled:
                    continue
            self._changed.wait(1)
            for uri in uris:  # what happened meanwhile was not heard: let the client look
                self.write({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": uri}})

    def _pass_on(self, message: Message) -> None:
        """A notification of the hub, in the client's era."""
        if self._legacy:
            if message.get("method") == "notifications/subscriptions/acknowledged":
                return
            meta = (message.get("params") or {}).get("_meta")
            if isinstance(meta, dict):
                meta.pop("io.modelcontextprotocol/subscriptionId", None)
        self.write(message)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _id(frame: Any) -> str | int | None:
    """The request's id when it is one that can be answered."""
    found = frame.get("id") if isinstance(frame, dict) else None
    return found if isinstance(found, str | int) and not isinstance(found, bool) else None


def _malformed(frame: Message) -> str | None:
    """What is wrong with a frame's envelope, if anything: what comes after may rely on it."""
    if "id" in frame and _id(frame) is None:
        return "id must be a string or a number"
    params = frame.get("params", {})
    if not isinstance(params, dict):
        return "params must be an object"
    meta = params.get("_meta", {})
    if not isinstance(meta, dict):
        return "params._meta must be an object"
    for name, value in (("clientInfo", params.get("clientInfo", {})), (META_CLIENT, meta.get(META_CLIENT, {}))):
        if not isinstance(value, dict):
            return f"{name} must be an object"
    for value in (params.get("capabilities", {}), meta.get(META_CAPABILITIES, {})):
        if not isinstance(value, dict):
            return "capabilities must be an object"
    return None


def shows(frame: Message) -> bool:
    """Whether the answer to this request may show messages."""
    return frame["method"] == "tasks/get" or (
        frame["method"] == "tools/call" and frame.get("params", {}).get("name") in SHOWING
    )


def reads_all(frame: Message, result: Message) -> bool:
    """Whether this result brought everything that waited, in every room."""
    data = result.get("structuredContent") or {}
    params = frame["params"]
    everywhere = params.get("name") == "poll" and not (params.get("arguments") or {}).get("room")
    return everywhere and "cursor" in data and not data.get("has_more")


def header_value(text: str) -> str:
    """A value for Mcp-Name: as it is when plain ASCII, else base64 in the protocol's own marker."""
    if text.isascii() and text.isprintable() and text == text.strip():
        return text
    import base64

    return "=?base64?" + base64.b64encode(text.encode()).decode() + "?="


def generated() -> Message:
    """The handshake and lists as the server gives them, made by `python -m mcp_bridge.generate`."""
    made: Message = json.loads((Path(__file__).parent / "generated.json").read_text("utf-8"))
    return made


def note(text: str) -> None:
    """A line for people, on stderr: stdout belongs to the protocol."""
    print(f"mcp-bridge: {text}", file=sys.stderr, flush=True)


def arguments(argv: list[str]) -> dict[str, str]:
    """`--name NAME --room ROOM`; exits with 2 for anything else."""
    found = {"name": os.environ.get("BRIDGE_NAME", ""), "room": os.environ.get("BRIDGE_ROOM", "")}
    rest = list(argv)
    while rest:
        option, _, value = rest.pop(0).partition("=")
        if option in ("-h", "--help"):
            print(USAGE)
            raise SystemExit(0)
        if option in ("--without", "--with") and (value or rest):
            rung = value or rest.pop(0)
            if rung not in SWITCHES:
                note(f"{option} takes one of: {', '.join(SWITCHES)}")
                raise SystemExit(2)
            os.environ[f"BRIDGE_PUSH_{rung.upper()}"] = "1" if option == "--with" else "0"
            continue
        if option not in ("--name", "--room") or not (value or rest):
            note(f"unknown or incomplete option {option!r}\n{USAGE}")
            raise SystemExit(2)
        found[option[2:]] = value or rest.pop(0)
    return found


USAGE = """Usage: mcp-bridge mcp [--name NAME] [--room ROOM] [--without RUNG]

Serve MCP over stdio. This is what clients are configured with, for example:

  claude mcp add --scope user bridge -- mcp-bridge mcp

  --name NAME  the agent's name (default: made from client and project, stable over restarts)
  --room ROOM  the room to join by itself (default: the project's name; BRIDGE_AUTOJOIN=0 joins none)
  --without RUNG, --with RUNG  a way of bringing messages into the session: socket, monitor, rewake, channel, hook,
               result (all but channel are on)

Starts a local hub when none runs. BRIDGE_URL and BRIDGE_TOKEN name a remote one."""


def quiet_hours() -> QuietHours:
    """BRIDGE_QUIET_HOURS; exits with 2 when it cannot be read."""
    try:
        return QuietHours.parse(os.environ.get("BRIDGE_QUIET_HOURS", ""))
    except ValueError as error:
        note(str(error))
        raise SystemExit(2) from None


def session_listeners(home: Path, off: frozenset[Rung]) -> Listeners | None:
    """Where processes that the client starts find this session; None where it starts none."""
    if in_gemini():
        return None if "hook" in off else Listeners(home, names({}, os.getppid()), frozenset(KINDS))
    if "CLAUDE_CODE_SESSION_ID" not in os.environ or {"monitor", "rewake"} <= off:
        return None
    return Listeners(home, names(os.environ, os.getppid()), frozenset(off))


def in_gemini() -> bool:
    """Whether Gemini CLI started us: it marks its servers, and so does its shell, in which another client may run."""
    return "GEMINI_CLI" in os.environ and "CLAUDE_CODE_SESSION_ID" not in os.environ


def session_transcript() -> Transcript | None:
    """What the client writes down of this session; None where reading it is switched off."""
    if os.environ.get("BRIDGE_PUSH_TRANSCRIPT") == "0":
        return None
    if in_gemini():
        return Chat()
    session, config = os.environ.get("CLAUDE_CODE_SESSION_ID", ""), os.environ.get("CLAUDE_CONFIG_DIR", "")
    return Transcript(lambda: of_claude_code(Path.home(), config, session))


def main(argv: list[str]) -> None:
    """Relay until the client ends."""
    options = arguments(argv)
    home = Path(os.environ.get("BRIDGE_HOME") or default_home())
    hub = Hub(home, os.environ.get("BRIDGE_URL", "").rstrip("/"), os.environ.get("BRIDGE_TOKEN", ""))
    off = switched_off(os.environ)
    listeners = session_listeners(home, off)

    def end(*_: object) -> None:
        """The hub sees the connection end; nothing else is held here."""
        if listeners is not None:
            listeners.close()
        os._exit(0)

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, end)
    inbox = InboxSocket.take(os.environ)  # before anything is started that would inherit the token
    named, room = options["name"], options["room"]
    codex = CodexSession.of(os.environ) if "CLAUDE_CODE_SESSION_ID" not in os.environ and not in_gemini() else None
    relay = Relay(
        hub,
        sys.stdin.buffer,
        sys.stdout.buffer,
        name=named,
        room=room,
        inbox=inbox,
        quiet=quiet_hours(),
        transcript=session_transcript(),
        codex=codex,
        off=off,
        listeners=listeners,
    )
    if listeners is not None:
        listeners.open()
    relay.run()
    end()
