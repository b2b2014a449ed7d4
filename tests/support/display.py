"""An X display of its own for tests: one per test process, with an empty clipboard to begin with."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def display() -> Iterator[str]:
    """DISPLAY of a running Xvfb that found a free number by itself."""
    assert shutil.which("Xvfb"), "Xvfb is missing: run .ci/install"
    out, into = os.pipe()
    command = ["Xvfb", "-displayfd", str(into), "-nolisten", "tcp", "-screen", "0", "1280x900x24"]
    with subprocess.Popen(command, pass_fds=[into], stderr=subprocess.DEVNULL) as server:
        os.close(into)
        try:
            with os.fdopen(out) as number:
                yield f":{number.readline().strip()}"
        finally:
            server.terminate()
