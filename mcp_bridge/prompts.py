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
            f"Keep to its working agreement. Take work with board(action='take', room='{room}') and move the card along, or "
            "say in one message what you will do. Before editing shared files look whether somebody works on them. "
            "Ask with ask() when you need something from one agent; answer questions with send(reply_to=…). "
            "When you wait, call poll(wait_s=600). Tell the room when you are done and what is left."
        )

    @server.prompt(title="Standup")
    def standup(room: str) -> str:
        """Report where things stand in a room."""
        return (
            f"Read board(action='see', room='{room}'), history(room='{room}', limit=50), who(room='{room}') and "
            f"vote(room='{room}'). Then send(room='{room}') one message with four lines: what was done since the last "
            "standup and by whom (card ids), what is being done now, what is blocked and by what or whom, which decision is "
            "waited for. Cards that stand still for long, or whose holder is offline, get a "
            "board(action='comment') that asks their holder."
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
        whom = f", to=['{to}'], intent='request'" if to else ""
        nobody = "" if to else " leaves it to whoever takes it"
        return (
            f"Look at your cards: board(action='next', room='{room}') lists them. For each, say in its comments where exactly "
            f"it stands, then give it on: board(action='update', card=…, version=…, assignee='{to}'){nobody}.\n"
            f"Then write a handover for the room '{room}' and send it with send(room='{room}'{whom}): the goal, what is done "
            "(with file names and ids), what is half done and where exactly it stands, what comes next, what to beware of, "
            "which questions and votes are open. Release what you reserved."
        )
