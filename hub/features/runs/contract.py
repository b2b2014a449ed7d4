"""Sandbox runs: operations, their shapes, and the two events of a run's life."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal, get_args

import orjson
from pydantic import Field

from hub.core.event import EventBody, Placed
from hub.core.model import Model
from hub.core.names import RoomName, make_id
from hub.core.operation import AnyOperation, Operation, Request, Result

Language = Literal["python", "javascript", "bash"]
Status = Literal["succeeded", "failed", "killed", "cancelled", "interrupted", "unavailable"]
State = Literal["queued", "running", "succeeded", "failed", "killed", "cancelled", "interrupted", "unavailable"]
KilledReason = Literal["timeout", "memory", "output", "processes", "disk"]
FileRef = Annotated[
    str, Field(min_length=1, max_length=255, description="A file's id, its name, or a pattern of names: *.csv")
]
Glob = Annotated[str, Field(min_length=1, max_length=255)]
RunId = Annotated[str, Field(max_length=40)]
FINAL: Final = frozenset(get_args(Status))
RUN_LETTER: Final = "r"


class RunFile(Model):
    """A file that a run left and that is now a version in the room."""

    id: str
    name: str
    version: int
    size_bytes: int


class Run(Result):
    """One run. Output and numbers are there when it is over.

    `exit_code` is as a shell reports it; null when the hub ended the run, and then `killed_reason` or `reason` says why.
    """

    id: str
    room: str
    sender: str = Field(alias="from")
    language: Language
    state: State
    at: str
    started_at: str | None = None
    finished_at: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    killed_reason: KilledReason | None = None
    reason: str = Field(default="", description="Why it did not end by itself, and what to do.")
    stdout: str = ""
    stderr: str = ""
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    stdout_truncated: bool = False
    stderr_truncated: bool = False
    duration_ms: int | None = None
    cpu_ms: int | None = None
    peak_memory_bytes: int | None = None
    engine: str | None = None
    memory_enforcement: str | None = None
    network: Literal["none"] = "none"
    files: tuple[RunFile, ...] = Field(default=(), description="What it left and `save` named, as files of the room.")
    not_saved: tuple[str, ...] = Field(default=(), description="What was left out, and why.")

    def settled(self) -> bool:
        return self.state in FINAL


class Runs(Result):
    """Runs of a room, the newest first, without their output."""

    items: tuple[Run, ...]


class StartRun(Request[Run]):
    """Run code apart from the machine: no network, nothing of the machine but /usr, limits on everything.

    It starts at once or waits its turn. The working folder /work is empty at first; /room holds `files`, read-only.
    """

    room: RoomName
    language: Language
    code: str = Field(min_length=1, max_length=256 * 1024)
    timeout_s: float = Field(default=10, gt=0, le=300, description="Half of it, rounded up, may be processor time.")
    files: tuple[FileRef, ...] = Field(default=(), max_length=32, description="Files of the room to show in /room.")
    save: tuple[Glob, ...] = Field(default=(), max_length=16, description="Names in /work to keep as files: plot*.png")


class GetRun(Request[Run]):
    """A run; `wait_s` waits until it is over."""

    room: RoomName
    run: RunId
    wait_s: float = Field(default=0, ge=0, le=55)


class ListRuns(Request[Runs]):
    """Runs of a room, the newest first, without their output."""

    room: RoomName
    limit: int = Field(default=50, ge=1, le=200)


class CancelRun(Request[Run]):
    """End a run: your own, or any in a room you own. One that is over stays as it is."""

    room: RoomName
    run: RunId


class AuditEntry(Model):
    """One thing that was done. A run has its id, language, the SHA-256 of its code and the files it was shown."""

    number: int
    at: str
    by: str
    room: str
    what: Literal["run", "switched on", "switched off"]
    run: str | None = None
    language: Language | None = None
    code_sha256: str | None = None
    files: tuple[str, ...] = ()


class Audited(Result):
    """A page of the audit; `before` of the next one is the last number here."""

    items: tuple[AuditEntry, ...]
    has_more: bool = False


class AuditRuns(Request[Audited]):
    """Who ran what and who switched runs on or off, in all rooms, the newest first.

    It is kept in the hub's own log: no owner of a room can redact or trim it. The code itself stays in its room.
    """

    before: int | None = Field(default=None, ge=1, description="Entries before this number.")
    limit: int = Field(default=50, ge=1, le=200)


class RunAudited(EventBody):
    """In the hub's own log, for the audit: somebody was let run something."""

    type: ClassVar[str] = "run.audited"
    room: str
    run: str
    language: Language
    code_sha256: str
    files: tuple[str, ...] = ()


class RunRequested(EventBody):
    """Somebody asked for a run. The code is part of the room's history until it is redacted or trimmed."""

    type: ClassVar[str] = "run.requested"
    language: Language
    code: str
    timeout_s: float
    files: tuple[str, ...] = ()
    save: tuple[str, ...] = ()

    def data(self, at: Placed) -> bytes:
        return orjson.dumps({"id": make_id(RUN_LETTER, at.log, at.seq), **self.model_dump(mode="json")})

    def blank(self) -> bytes:
        return orjson.dumps({"language": self.language, "code": "", "timeout_s": self.timeout_s})


class RunFinished(EventBody):
    """The one final event of a run, however it ended."""

    type: ClassVar[str] = "run.finished"
    run: int
    requester: int
    status: Status
    started_at_ms: int | None = None
    exit_code: int | None = None
    signal: int | None = None
    killed_reason: KilledReason | None = None
    reason: str = ""
    stdout: str = ""
    stderr: str = ""
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    stdout_truncated: bool = False
    stderr_truncated: bool = False
    duration_ms: int | None = None
    cpu_ms: int | None = None
    peak_memory_bytes: int | None = None
    engine: str | None = None
    memory_enforcement: str | None = None
    network: Literal["none"] = "none"
    files: tuple[RunFile, ...] = ()
    not_saved: tuple[str, ...] = ()

    def data(self, at: Placed) -> bytes:
        return orjson.dumps({"id": make_id(RUN_LETTER, at.log, self.run), **self.model_dump(mode="json")})

    def blank(self) -> bytes:
        return orjson.dumps({"run": self.run, "requester": self.requester, "status": self.status})

    def concerns(self) -> tuple[int, ...]:
        return (self.requester,)

    def subject(self, log: int, seq: int) -> str:
        return make_id(RUN_LETTER, log, self.run)

    def notice(self) -> str:
        how = {"killed": f"was ended: {self.killed_reason}", "failed": f"failed with exit code {self.exit_code}"}
        return f"Your run {how.get(self.status, self.status)}."


class OutputSignal(Model):
    """A piece of output while the code runs, for whoever follows the room. Not in the log; the final event has it all.

    `offset` is how many characters of the stream came before.
    """

    type: Literal["run.output"] = "run.output"
    room: str
    run: str
    stream: Literal["stdout", "stderr"]
    offset: int
    text: str


_R: Final = "/v1/rooms/{room}/runs"
START: Final = Operation("runs.start", f"POST {_R}", "run", StartRun, Run, 201, "hub")
LIST: Final = Operation("runs.list", f"GET {_R}", "room:read", ListRuns, Runs)
GET: Final = Operation("runs.get", f"GET {_R}/{{run}}", "room:read", GetRun, Run)
CANCEL: Final = Operation("runs.cancel", f"POST {_R}/{{run}}/cancel", "run", CancelRun, Run, lock="hub")
AUDIT: Final = Operation("runs.audit", "GET /v1/admin/audit/runs", "hub:admin", AuditRuns, Audited)
OPERATIONS: list[AnyOperation] = [START, LIST, GET, CANCEL, AUDIT]
