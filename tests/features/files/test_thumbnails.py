"""Small pictures: drawn anew from hostile bytes, within limits, or refused with the reason."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from hub.features.files import draw
from hub.settings import Settings
from mcp_bridge.serve import serving

pytestmark = pytest.mark.anyio
FILES = "/v1/rooms/build/files"


@pytest.fixture
async def http(tmp_path: Path, anyio_backend: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with serving(Settings(home=tmp_path, port=0, log_level="error")) as served:
        headers = {"authorization": f"Bearer {served.token}"}
        async with httpx2.AsyncClient(base_url=served.url, headers=headers, timeout=30) as client:
            await client.post("/v1/rooms", json={"room": "build"})
            yield client


def image(form: str, size: tuple[int, int], mode: str = "RGB", **options: object) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, (255, 0, 0) if mode == "RGB" else 128).save(out, form, **options)
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int, body: bytes = b"") -> bytes:
    """A PNG that says it is large."""
    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", body or zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


async def shared(http: httpx2.AsyncClient, name: str, content: bytes) -> None:
    assert (await http.post(FILES, params={"name": name}, content=content)).status_code == 201


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP"])
async def test_an_image_has_a_small_picture_drawn_anew(http: httpx2.AsyncClient, form: str) -> None:
    await shared(http, "big", image(form, (1200, 300)) + b"<script>alert(1)</script>")
    got = await http.get(f"{FILES}/big/thumbnail")
    assert (got.status_code, got.headers["content-type"]) == (200, "image/png")
    assert got.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert b"script" not in got.content
    with Image.open(io.BytesIO(got.content)) as small:
        assert small.size == (256, 64)
        red, green, blue, _ = small.convert("RGBA").getpixel((100, 30))  # type: ignore[misc]
        assert red > 240
        assert green < 16
        assert blue < 16
    again = await http.get(f"{FILES}/big/thumbnail", headers={"if-none-match": got.headers["etag"]})
    assert again.status_code == 304


async def test_bombs_and_broken_images_are_refused_and_the_hub_goes_on(http: httpx2.AsyncClient) -> None:
    cases = {
        "pixels.png": (bomb(100_000, 100_000), "million pixels"),
        "lies.png": (bomb(6000, 6000), "cannot be read"),
        "deflate.png": (bomb(6000, 6000, zlib.compress(b"\0" * 10_000_000, 9)), "cannot be read"),
        "half.jpg": (image("JPEG", (400, 400))[:300], "cannot be read"),
        "only-head.gif": (b"GIF89a", "cannot be read"),
        "script.png": (b"\x89PNG\r\n\x1a\n<script>", "cannot be read"),
        "text.txt": (b"hello", "not an image"),
    }
    for name, (content, reason) in cases.items():
        await shared(http, name, content)
        got = await http.get(f"{FILES}/{name}/thumbnail")
        assert (got.status_code, got.json()["code"]) == (422, "no-thumbnail"), name
        assert reason in got.json()["detail"], name
    assert (await http.get("/readyz")).status_code == 200


async def test_a_small_file_of_many_pixels_is_drawn_within_the_limits(http: httpx2.AsyncClient) -> None:
    content = bomb(4000, 4000, zlib.compress(b"\0" * 4000 * (4000 * 4 + 1), 9))
    assert len(content) < 100_000
    await shared(http, "many.png", content)
    assert (await http.get(f"{FILES}/many.png/thumbnail")).status_code == 200


async def test_frames_without_end_cost_one_frame(http: httpx2.AsyncClient) -> None:
    frames = [Image.new("P", (500, 500), i % 250) for i in range(150)]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    await shared(http, "long.gif", out.getvalue())
    assert (await http.get(f"{FILES}/long.gif/thumbnail")).status_code == 200


async def test_a_stranger_sees_no_small_picture(http: httpx2.AsyncClient) -> None:
    await shared(http, "a.png", image("PNG", (10, 10)))
    token = (await http.post("/v1/agents", json={"name": "eve"})).json()["token"]
    got = await http.get(f"{FILES}/a.png/thumbnail", headers={"authorization": f"Bearer {token}"})
    assert (got.status_code, got.json()["code"]) == (404, "room-not-found")


def test_the_drawing_child_has_no_memory_to_waste_and_writes_no_file(tmp_path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import draw; draw.limit_myself()\n"
        "try: bytearray(900 * 1024 * 1024); print('memory')\n"
        "except MemoryError: pass\n"
        "try:\n"
        "    with open(sys.argv[2], 'wb') as f: f.write(b'x' * 100)\n"
        "    print('wrote')\n"
        "except OSError: pass\n"
    )
    command = [sys.executable, "-c", script, str(Path(draw.__file__).parent), str(tmp_path / "made")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("", "")
