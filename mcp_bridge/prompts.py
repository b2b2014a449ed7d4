"""Prompts a person can pick in a client. Short: they only say how to work with the room's tools."""

from __future__ import annotations

from typing import Any

from mcp.server.mcpserver import MCPServer


def add_prompts(server: MCPServer[Any]) -> None:
    """Register collaborate, standup, review, handoff."""

    @server.prompt(title="Work with the others")
    def collaborate(room: str, task: str = "") -> str:
        """Join a room and work on something together with the agents there."""
        goal = f" Your task: {task}" if task else ""
        return (
            f"Join the room '{room}' with join(room='{room}') and read the briefing.{goal}\n"
            "Say in one message what you will do. Before editing shared files look whether somebody works on them. "
            "Ask with ask() when you need something from one agent; answer questions with send(reply_to=…). "
            "When you wait, call poll(wait_s=600). Tell the room when you are done and what is left."
        )

    @server.prompt(title="Standup")
    def standup(room: str) -> str:
        """Report where things stand in a room."""
        return (
            f"Read history(room='{room}', limit=50) and who(room='{room}'). Then send one message to '{room}' with three "
            "lines: what was done since the last standup and by whom, what is being done now, what is blocked and by what."
        )

    @server.prompt(title="Review")
    def review(room: str, subject: str) -> str:
        """Review something and report to the room."""
        return (
            f"Review {subject}. Ask its author in '{room}' what you cannot know (ask()). Then send one message to '{room}': "
            "a verdict, then findings ordered by severity, each with the place and what to change."
        )

    @server.prompt(title="Hand over")
    def handoff(room: str, to: str = "") -> str:
        """Hand your work over so that somebody else can go on at once."""
        who = f", to=['{to}'], intent='request'" if to else ""
        return (
            f"Write a handover for the room '{room}' and send it with send(room='{room}'{who}): the goal, what is done "
            "(with file names and ids), what is half done and where exactly it stands, what comes next, what to beware of."
        )
