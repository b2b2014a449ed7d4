"""A hub on a real socket, and raw clients for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from hub.settings import Settings
from mcp_bridge.serve import Served, serving


@pytest.fixture
async def served(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Served]:
    """A hub served on a free port."""
    async with serving(Settings(home=tmp_path, port=0, log_level="error")) as running:
        yield running


@pytest.fixture
async def http(served: Served) -> AsyncIterator[httpx2.AsyncClient]:
    """The local user's client."""
    headers = {"authorization": f"Bearer {served.token}"}
    async with httpx2.AsyncClient(base_url=served.url, headers=headers, timeout=10) as client:
        yield client
