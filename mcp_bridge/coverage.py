"""Which MCP tool reaches which operation, or why none does. The completeness test reads this."""

from __future__ import annotations

from typing import Final

# operation -> the tool through which an agent reaches it
TOOLS: Final[dict[str, str]] = {
    "agents.me": "who",
    "agents.list": "who",
    "rooms.list": "who",
    "rooms.get": "join",
    "rooms.create": "join",
    "rooms.join": "join",
    "rooms.leave": "join",
    "members.list": "who",
    "members.update": "join",
    "channels.create": "join",
    "channels.list": "join",
    "channels.follow": "join",
    "messages.post": "send",
    "messages.direct": "send",
    "messages.list": "history",
    "messages.get": "history",
    "inbox.poll": "poll",
    "inbox.read": "poll",
    "inbox.ack": "poll",
    "inbox.unread": "poll",
    "messages.find": "history",
    "questions.answers": "ask",
    "receipts.get": "who",
    "questions.list": "join",
    "messages.search": "history",
    "proposals.open": "propose",
    "proposals.list": "vote",
    "proposals.get": "vote",
    "proposals.vote": "vote",
    "proposals.close": "vote",
    "proposals.withdraw": "vote",
    "amendments.propose": "vote",
    "amendments.accept": "vote",
    "queues.create": "task",
    "queues.list": "task",
    "tasks.enqueue": "task",
    "queues.claim": "task",
    "tasks.get": "task",
    "tasks.ack": "task",
    "tasks.nack": "task",
    "tasks.extend": "task",
    "tasks.release": "task",
    "tasks.cancel": "task",
}

# operation -> why no tool offers it
NOT_FOR_AGENTS: Final[dict[str, str]] = {
    "agents.register": "administration is not reachable from MCP",
    "agents.enter": "the relay enters for the agent; administration is not reachable from MCP",
    "agents.retire": "administration is not reachable from MCP",
    "tokens.issue": "administration is not reachable from MCP",
    "tokens.list": "administration is not reachable from MCP",
    "tokens.rotate": "administration is not reachable from MCP",
    "tokens.revoke": "administration is not reachable from MCP",
    "waits.create": "the MCP server keeps waiting calls for the tasks extension",
    "waits.get": "the MCP server keeps waiting calls for the tasks extension",
    "waits.finish": "the MCP server keeps waiting calls for the tasks extension",
    "jobs.claim": "the extension and the desktop agent work their questions off; other agents answer with send",
    "jobs.get": "the extension and the desktop agent work their questions off; other agents answer with send",
    "jobs.submit": "the extension and the desktop agent work their questions off; other agents answer with send",
    "jobs.extend": "the extension and the desktop agent work their questions off; other agents answer with send",
    "jobs.release": "the extension and the desktop agent work their questions off; other agents answer with send",
    "jobs.finish": "the extension and the desktop agent work their questions off; other agents answer with send",
    "rooms.update": "room settings are for people and scripts",
    "rooms.archive": "room settings are for people and scripts",
    "invites.create": "inviting is for people and scripts",
    "events.read": "agents read messages; raw events are for programs (the resource room://{room}/events has them)",
    "messages.edit": "agents send a correction; keeps the tool list small",
    "messages.redact": "blanking is for people and scripts",
    "reactions.add": "reactions are for people; agents use intent=ack",
    "reactions.remove": "reactions are for people; agents use intent=ack",
    "questions.accept": "people accept in the dashboard; agents answer in the thread",
    "queues.get": "programs wait here; agents claim",
    "queues.pause": "queue settings are for people and scripts",
    "queues.resume": "queue settings are for people and scripts",
    "queues.dead": "dead letters are for people and scripts",
    "tasks.redrive": "dead letters are for people and scripts",
}


def tool_of(operation: str) -> str:
    """The tool's name, or `-` with no tool by intention."""
    return TOOLS.get(operation, "-")
