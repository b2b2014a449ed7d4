"""A small machine of its own, with a kernel of its own: for what the machine of the tests cannot offer.

Boots Debian's kernel in QEMU with a few programs of this machine copied into memory, runs one program as root, and
gives back what that printed. There is nothing else in there: no disk, no network, no service manager.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

KERNEL: Final = Path(__file__).parents[2] / ".tools" / "vmlinuz"
_PROGRAMS: Final = (
    "bash", "bwrap", "cat", "chown", "chroot", "cp", "dd", "env", "false", "grep", "head", "id", "ipcmk", "ls",
    "mkdir", "mount", "python3.11", "rm", "seq", "setpriv", "sh", "sleep", "tr", "true", "unshare", "yes", "truncate", "setsid",
)  # fmt: skip
_UNUSED: Final = {
    "test",
    "idlelib",
    "lib2to3",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "pydoc_data",
    "distutils",
    "unittest",
}
_FOLDERS: Final = ("new", "etc", "usr", "usr/bin", "given", "proc", "sys", "dev", "tmp", "root", "home", "var", "run")
_BOOT_S: Final = 300.0
_BEGIN, _END = "<<<begin>>>", "<<<end>>>"
# The first root file system cannot be pivoted away from, which bubblewrap does; a second mount of it can.
_INIT: Final = f"""#!/usr/bin/bash
export PATH=/usr/bin:/usr/sbin HOME=/
mount --bind / /new
mount -t tmpfs -o mode=1777 tmpfs /new/tmp
mount -t proc proc /new/proc
mount -t sysfs sys /new/sys
mount -t devtmpfs dev /new/dev
mount -t cgroup2 cgroup2 /new/sys/fs/cgroup
cd /new
mount --move . /
exec chroot . /usr/bin/bash -c '
echo; echo "{_BEGIN}"
/usr/bin/python3 /given/main.py 2>&1
echo "{_END}"
echo b >/proc/sysrq-trigger
sleep 9'
"""


def boot(main: str, given: Iterable[Path] = (), home: Path = Path("/tmp")) -> str:
    """What `main`, Python run as root, prints; `given` are folders and files it finds under /given."""
    image = home / "initrd"
    image.write_bytes(b"".join(_archive(main, given)))
    command = ["qemu-system-x86_64", "-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio", "-m", "1024"]
    # never KVM: where a virtual machine cannot hold another, it hangs instead of refusing
    command += ["-accel", "tcg", "-cpu", "max", "-smp", "1", "-kernel", str(KERNEL), "-initrd", str(image)]
    command += ["-append", "console=ttyS0 quiet loglevel=1 panic=-1 mitigations=off tsc=nowatchdog"]
    console = home / "console"
    with console.open("wb") as file, suppress(subprocess.TimeoutExpired):
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, timeout=_BOOT_S, check=False)
    said = console.read_text(errors="replace").replace("\r", "")
    assert _END in said, f"the machine did not come to its end: {said[-2000:]}"
    return said.partition(_BEGIN)[2].partition(_END)[0].strip()


def _archive(main: str, given: Iterable[Path]) -> Iterator[bytes]:
    """A cpio archive (newc), the kernel's format of a first root file system."""
    entries: dict[str, tuple[int, bytes]] = dict.fromkeys(_FOLDERS, (stat.S_IFDIR | 493, b""))
    entries["init"] = stat.S_IFREG | 0o755, _INIT.encode()
    for name in ("bin", "lib", "lib64", "sbin"):
        entries[name] = stat.S_IFLNK | 0o777, f"usr/{name}".encode()
    for path in _system_files():
        _put(entries, path, str(path).lstrip("/"))
    entries["given/main.py"] = stat.S_IFREG | 0o644, main.encode()
    for source in given:
        for path in (source, *sorted(source.rglob("*.py"))):
            _put(entries, path, f"given/{path.relative_to(source.parent)}")
    for number, (name, (mode, data)) in enumerate(entries.items(), 1):
        yield _entry(number, name, mode, data)
    yield _entry(0, "TRAILER!!!", 0, b"")


def _put(entries: dict[str, tuple[int, bytes]], path: Path, name: str) -> None:
    for parent in reversed(Path(name).parents[:-1]):
        entries.setdefault(str(parent), (stat.S_IFDIR | 0o755, b""))
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        entries[name] = mode, os.readlink(path).encode()
    elif stat.S_ISREG(mode):
        entries[name] = mode, path.read_bytes()
    elif stat.S_ISDIR(mode):
        entries.setdefault(name, (mode, b""))


def _entry(number: int, name: str, mode: int, data: bytes) -> bytes:
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (number, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return _padded(head) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def _system_files() -> set[Path]:
    """The programs, what they link to, and Python's library."""
    found = {Path("/etc/ld.so.cache"), Path("/usr/bin/python3")}
    for name in _PROGRAMS:
        where = shutil.which(name, path="/usr/bin:/usr/sbin")
        assert where is not None, f"{name} is not installed"
        found.add(Path(where))
    library = Path("/usr/lib/python3.11")
    found |= {path for path in library.rglob("*") if path.suffix in (".py", ".so") and not _UNUSED & set(path.parts)}
    for path in sorted(found):
        if path.suffix not in (".py", ".cache"):
            linked = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=False).stdout
            found |= {Path(word) for word in linked.split() if word.startswith("/")}
    return {Path(os.path.realpath(path.parent)) / path.name for path in found} | {
        Path(os.path.realpath(path)) for path in found
    }
