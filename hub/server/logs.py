"""Structured logs: one JSON object a line, no bodies, no secrets."""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import Final

from hub.core.times import rfc3339

_SECRET: Final = re.compile(r"mab_[0-9a-z]{1,13}_[A-Za-z0-9_-]{20,}")


class JsonLines(logging.Formatter):
    """`{"at", "level", "logger", "message", …}`; anything that looks like a token is taken out."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "at": rfc3339(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        for name in ("request", "operation", "agent"):
            if (value := getattr(record, name, None)) is not None:
                entry[name] = value
        return _SECRET.sub("mab_…", json.dumps(entry, ensure_ascii=False))


def configure_logs(level: str) -> None:
    """Log to stderr as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("uvicorn.error", "mcp.server.streamable_http_manager"):
        logging.getLogger(noisy).setLevel("WARNING")
