"""What time does to hooks: calls are remembered for 90 days."""

from __future__ import annotations

from hub.features.hooks.worker import forget_seen
from hub.log.chore import Chore

CHORES = [Chore(3600, forget_seen)]
