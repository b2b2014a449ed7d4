"""One folder per feature, the same file names in each. `ALL` lists what a hub is made of, one line per part."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from hub.core.operation import AnyOperation, Registry
from hub.log import schema as log_schema
from hub.log.chore import Chore
from hub.log.worker import Worker
from hub.storage.interface import Migration

ALL = [
    "hub.kernel.messages",
    "hub.kernel.inbox",
    "hub.kernel.agents",
    "hub.kernel.rooms",
    "hub.kernel.files",
    "hub.features.messages",
    "hub.features.search",
    "hub.features.waits",
    "hub.features.voting",
    "hub.features.jobs",
    "hub.features.browsers",
    "hub.features.queues",
    "hub.features.routing",
    "hub.features.kanban",
    "hub.features.runs",
    "hub.features.files",
    "hub.features.reservations",
    "hub.features.discussion",
    "hub.features.hooks",
    "hub.features.github",
]


def _modules(name: str) -> list[ModuleType]:
    found = []
    for part in ALL:
        try:
            found.append(import_module(f"{part}.{name}"))
        except ModuleNotFoundError as error:
            if error.name != f"{part}.{name}":
                raise
    return found


def load_registry() -> Registry:
    """All operations, with their handlers and projections imported."""
    for name in ("project", "entries", "guard", "handlers", "policies"):
        _modules(name)
    return load_contracts()


def load_contracts() -> Registry:
    """All operations as a client needs them: contracts, and rules for the errors they declare."""
    _modules("rules")
    operations: list[AnyOperation] = []
    for module in _modules("contract"):
        operations += getattr(module, "OPERATIONS", [])
    return Registry(operations)


def chores() -> list[Chore]:
    """What features want done as time passes."""
    return [chore for module in _modules("chores") for chore in module.CHORES]


def workers() -> list[Worker]:
    """What acts on the world as long as the hub runs."""
    return [worker for module in _modules("worker") for worker in module.WORKERS]


def migrations() -> list[Migration]:
    """All schema changes, the log's first."""
    made = list(log_schema.MIGRATIONS)
    for module in _modules("schema"):
        made += module.MIGRATIONS
    return made


def projection_tables() -> list[str]:
    """Tables rebuilt from the log; each has the column `log` first."""
    return [table for module in _modules("schema") for table in getattr(module, "PROJECTIONS", [])]


def event_tables() -> list[str]:
    """Projection tables whose rows go with their event (column `seq`) when it is trimmed."""
    return [table for module in _modules("schema") for table in getattr(module, "BY_EVENT", [])]
