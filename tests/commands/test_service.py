"""Starting at login: what is written and run on each system, and the whole of it with a recorded systemctl."""

from __future__ import annotations

import json
import os
import plistlib
import subprocess
import sys
from pathlib import Path

from mcp_bridge.commands.service import installing, removing
from tests.mcp.test_relay import ROOT

COMMAND = ("/opt/py thon/bin/python", "-m", "mcp_bridge", "up", '100% "sure" $HOME')


def test_a_systemd_unit_takes_every_word_literally() -> None:
    plan = installing("linux", Path("/home/ada"), "hub", COMMAND, "/data")
    assert str(plan.file) == "/home/ada/.config/systemd/user/multi-agent-bridge-hub.service"
    lines = plan.text.decode().splitlines()
    assert 'ExecStart="/opt/py thon/bin/python" "-m" "mcp_bridge" "up" "100%% \\"sure\\" $$HOME"' in lines
    assert 'Environment="BRIDGE_HOME=/data"' in lines
    assert "WantedBy=default.target" in lines
    assert plan.commands == (
        ("systemctl", "--user", "daemon-reload"),
        ("systemctl", "--user", "enable", "--now", "multi-agent-bridge-hub.service"),
    )


def test_the_desktop_agent_lives_and_ends_with_the_graphical_session() -> None:
    lines = installing("linux", Path("/h"), "desktop", COMMAND, "").text.decode().splitlines()
    assert {"After=graphical-session.target", "PartOf=graphical-session.target"} <= set(lines)
    assert "WantedBy=graphical-session.target" in lines
    assert not any(line.startswith("Environment") for line in lines)


def test_a_launch_agent_has_the_command_word_by_word() -> None:
    plan = installing("darwin", Path("/Users/ada"), "hub", COMMAND, "/data")
    made = plistlib.loads(plan.text)
    assert (made["Label"], tuple(made["ProgramArguments"])) == ("multi-agent-bridge-hub", COMMAND)
    assert (made["RunAtLoad"], made["EnvironmentVariables"]) == (True, {"BRIDGE_HOME": "/data"})
    assert plan.commands == (("launchctl", "load", "-w", str(plan.file)),)
    assert removing("darwin", Path("/Users/ada"), "hub").commands == (("launchctl", "unload", "-w", str(plan.file)),)


def test_a_windows_task_starts_at_logon() -> None:
    plan = installing("win32", Path("C:/Users/ada"), "hub", ("C:\\py thon\\python.exe", "-m", "mcp_bridge", "up"), "")
    assert plan.file is None
    create, run = plan.commands
    assert create[:8] == ("schtasks", "/Create", "/F", "/SC", "ONLOGON", "/TN", "multi-agent-bridge-hub", "/TR")
    assert create[8] == '"C:\\py thon\\python.exe" -m mcp_bridge up'
    assert run == ("schtasks", "/Run", "/TN", "multi-agent-bridge-hub")
    assert removing("win32", Path("C:/"), "hub").commands[-1][:3] == ("schtasks", "/Delete", "/F")


def service(home: Path, *arguments: str) -> tuple[int, str]:
    env = {**os.environ, "HOME": str(home), "PYTHONPATH": str(ROOT), "PATH": f"{home}:{os.environ['PATH']}"}
    env.pop("BRIDGE_HOME", None)
    command = [sys.executable, "-m", "mcp_bridge", "service", *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_install_and_remove_leave_the_home_folder_as_it_was(tmp_path: Path) -> None:
    program = tmp_path / "systemctl"
    program.write_text(
        f'#!{sys.executable}\nimport json, sys\nopen("{tmp_path}/ran", "a").write(json.dumps(sys.argv[1:]) + "\\n")\n'
    )
    program.chmod(0o755)
    unit = tmp_path / ".config/systemd/user/multi-agent-bridge-desktop.service"
    wanted = ("install", "desktop", "--window", "helper=generic", "--no-confirm")
    code, said = service(tmp_path, *wanted, "--dry-run")
    assert (code, unit.exists(), "helper=generic" in said) == (0, False, True), said
    code, said = service(tmp_path, *wanted)
    assert (code, '"desktop" "auto" "--window" "helper=generic" "--no-confirm"' in unit.read_text()) == (0, True), said
    assert service(tmp_path, "remove", "desktop")[0] == 0
    assert not unit.exists()
    ran = [json.loads(line)[1] for line in (tmp_path / "ran").read_text().splitlines()]
    assert ran == ["daemon-reload", "enable", "disable"]


def test_a_service_that_could_not_ask_is_refused(tmp_path: Path) -> None:
    code, said = service(tmp_path, "install", "desktop", "--window", "helper=generic", "--no-indicator")
    assert (code, "--no-confirm" in said) == (2, True)
    code, said = service(tmp_path, "install", "desktop", "--window", "helper=generic", "--dry-run")
    assert code == 0, "the small window asks"


def test_a_system_without_systemd_says_so(tmp_path: Path) -> None:
    program = tmp_path / "systemctl"
    program.write_text("#!/bin/sh\necho no bus >&2\nexit 1\n")
    program.chmod(0o755)
    code, said = service(tmp_path, "install", "hub")
    assert (code, "systemctl: no bus" in said) == (1, True)
