"""A program of its own: reads an image on standard input, writes a small PNG of it to standard output.

Decoders are where hostile images bite. So this runs as a child without the hub's memory, environment or descriptors,
with hard limits on memory and time, and the hub believes nothing but the size of what comes back. Exit codes:
3 too many pixels, 4 no Pillow, anything else: not an image that can be read.
"""

from __future__ import annotations

import io
import sys

SIDE = 256
MOST_PIXELS = 40_000_000
_MEMORY_BYTES = 700 * 1024 * 1024
_CPU_S = 5


def main() -> None:
    """Draw, or exit with why not."""
    limit_myself()
    try:
        from PIL import Image, ImageOps
    except ImportError:
        sys.exit(4)
    Image.MAX_IMAGE_PIXELS = None  # our own limit is looked at before any pixel is decoded
    with Image.open(sys.stdin.buffer, formats=("PNG", "JPEG", "GIF", "WEBP")) as image:
        if image.width * image.height > MOST_PIXELS:
            sys.exit(3)
        image.draft("RGB", (SIDE * 2, SIDE * 2))
        drawn = ImageOps.exif_transpose(image)
        drawn.thumbnail((SIDE, SIDE))
        out = io.BytesIO()
        drawn.convert("RGBA").save(out, "PNG")  # drawn anew: nothing of the original's bytes is passed on
    sys.stdout.buffer.write(out.getvalue())


def limit_myself() -> None:
    """Memory, time, and no writing to any file, where the system can."""
    try:
        import resource
    except ImportError:  # Windows: the parent's clock still ends it
        return
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
