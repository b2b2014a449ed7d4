"""The hub of one user of real clients: started as a relay starts it, asked and written to as the local user."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2

from mcp_bridge.relay import Hub, HubGone, call_json
from tests.support.waiting import eventually_sync

ROOM = "proj"


class HubAtHome:
    """The hub whose data is in the `BRIDGE_HOME` of this environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._hub = Hub(Path(environment["BRIDGE_HOME"]))

    def hub(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return call_json(self._hub.url(), self._hub.token(), method, path, body)

    def end_hub(self, name: signal.Signals = signal.SIGKILL) -> None:
        """End the hub, if it lives; a session that notices starts it again, and so does `restart`."""
        pid = int(json.loads((self._hub.home / "hub.json").read_text())["pid"])
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, name)
        eventually_sync(lambda: not self._hub.answers())

    def _start_hub(self) -> None:
        """As a relay does it; in a process of its own, so that the hub is no child of the tests."""
        code = "import sys, pathlib; from mcp_bridge.relay import Hub; Hub(pathlib.Path(sys.argv[1])).ensure()"
        command = [sys.executable, "-c", code, str(self._hub.home)]
        patient = {"BRIDGE_HUB_WAIT_S": "60"}  # a machine that runs other tests too
        subprocess.run(command, env=self._environment | patient, check=True, timeout=90)

    def restart(self) -> None:
        self.end_hub()
        self._start_hub()

    def member(self, agent: str) -> dict[str, Any]:
        """A member of the room; empty when it is none, or the hub is gone."""
        try:
            self.hub("POST", f"/v1/rooms/{ROOM}/join", {"create": True})
            members = self.hub("GET", f"/v1/rooms/{ROOM}/members")["items"]
        except (HubGone, ValueError):
            return {}
        return next((m for m in members if m["agent"] == agent), {})

    def reach_of(self, agent: str) -> str:
        """How mail gets to a member of the room; empty when it is none, or the hub is gone."""
        return str(self.member(agent).get("reach", ""))

    def send(self, text: str, *to: str) -> str:
        """Send as the local user; tried again with the same key until the hub answers."""
        headers = {"authorization": f"Bearer {self._hub.token()}", "idempotency-key": uuid.uuid4().hex}

        def once() -> str:
            try:
                answer = httpx2.post(
                    f"{self._hub.url()}/v1/rooms/{ROOM}/messages", json={"text": text, "to": to}, headers=headers
                )
            except (httpx2.TransportError, HubGone):
                return ""
            return str(answer.json()["id"]) if answer.status_code == 201 else ""

        return str(eventually_sync(once, within_s=30))

    def receipts(self, message: str) -> list[tuple[str, str]]:
        """Each recipient of a message, and how far it got there."""
        found = self.hub("GET", f"/v1/rooms/{ROOM}/messages/{message}/receipts")["receipts"]
        return [(receipt["agent"], receipt["state"]) for receipt in found]

    def receipt(self, message: str) -> str:
        """How far a message got with its one recipient."""
        return self.receipts(message)[0][1]

    def stop_hub(self) -> None:
        """End the hub for good, once the clients are gone."""
        eventually_sync(self._ended, what="the session's relay is gone, so nothing starts the hub again")

    def _ended(self) -> bool:
        """Ends the hub again if a relay on its way out has just started one."""
        if self._hub.answers():
            self.end_hub(signal.SIGTERM)
            return False
        return True
