"""Fixtures everyone uses."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.support.hubs import TestHub, running_hub

# how fast examples are made says how busy the machine is, not whether a rule holds
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")
if "SEEDED_FAULT" in os.environ:  # that it fails is all that matters there: no time for a smaller example
    settings.register_profile("seeded-fault", settings.get_profile("here"), phases=[Phase.explicit, Phase.generate])
    settings.load_profile("seeded-fault")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def hub(tmp_path: Path, anyio_backend: str) -> AsyncIterator[TestHub]:
    """A running hub, called in-process."""
    async with running_hub(tmp_path) as running:
        yield running


@pytest.fixture(params=["in-process", "http"])
async def surface_hub(tmp_path: Path, request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[TestHub]:
    """A running hub, called in-process and over HTTP: operation tests run through both."""
    async with running_hub(tmp_path, surface=request.param) as running:
        yield running
