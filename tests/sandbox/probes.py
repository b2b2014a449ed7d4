# ruff: noqa: E501 - an attempt reads best on its own line
"""Attempts to get out. Each is Python that prints ESCAPED when it got through; anything else is held.

`SECRET`, `PORT` and `ABSTRACT` are planted on the machine by the driver.
"""

from __future__ import annotations

_READ = "print('ESCAPED') if open({0!r},'rb').read(64) else None"
_WRITE = "open({0!r},'ab').close(); print('ESCAPED')"
_LISTS = "import os\nprint('ESCAPED') if os.listdir({0!r}) else None"
_SYSCALL = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
got = libc.syscall({0})
print('ESCAPED') if got >= 0 or ctypes.get_errno() not in ({1}) else None
"""
_REFUSED = "1, 38"  # EPERM, or ENOSYS where the kernel lacks the call
_SOCKET = "import socket\nsocket.socket({0}, {1})\nprint('ESCAPED')"
_CONNECT = "import socket\ns=socket.socket(); s.settimeout(1); s.connect({0}); print('ESCAPED')"
_BUF = "ctypes.create_string_buffer(256)"

PROBES: dict[str, str] = {
    "planted secret": "print('ESCAPED') if open('SECRET').read() else None",
    "listen on loopback of the machine": _CONNECT.format("('127.0.0.1', PORT)"),
    "abstract socket of the machine": "import socket\ns=socket.socket(1)\ns.connect('\\0ABSTRACT')\nprint('ESCAPED')",
    "cloud metadata": _CONNECT.format("('169.254.169.254', 80)"),
    "internet": _CONNECT.format("('1.1.1.1', 53)"),
    "dns": "import socket\nsocket.getaddrinfo('example.com', 80)\nprint('ESCAPED')",
    "other interfaces": "print('ESCAPED') if open('/proc/net/dev').read().count(':') > 1 else None",
    "environment of the launcher": "print('ESCAPED') if b'PLANTED' in open('/proc/1/environ','rb').read() else None",
    "own environment": "import os\nprint('ESCAPED') if 'PLANTED' in str(os.environ) else None",
    "processes of the machine": "import os\nprint('ESCAPED') if sum(d.isdigit() for d in os.listdir('/proc')) > 5 else None",
    "inherited descriptors": (
        "import os\nfor d in range(3, 128):\n  try: os.fstat(d); print('ESCAPED')\n  except OSError: pass"
    ),
    "new user namespace": _SYSCALL.format("272, 0x10000000", _REFUSED),
    "new mount namespace": _SYSCALL.format("272, 0x20000", _REFUSED),
    "clone into a user namespace": _SYSCALL.format("56, 0x10000011, 0, 0, 0, 0", _REFUSED),
    "clone3": _SYSCALL.format("435, 0, 0", "38,"),
    "uid 0": "import os\nos.setuid(0)\nprint('ESCAPED')",
    "capabilities": "s=open('/proc/self/status').read()\nprint('ESCAPED') if int(s.split('CapEff:')[1].split()[0],16) else None",
    "bounding set with no-new-privileges off": "s=open('/proc/self/status').read()\nprint('ESCAPED') if 'NoNewPrivs:\\t1' not in s else None",
    "set hostname": _SYSCALL.format("170, b'x', 1", _REFUSED),
    "keep a terminal": "open('/dev/tty')\nprint('ESCAPED')",
    "ioctl TIOCSTI": _SYSCALL.format("16, 0, 0x5412, b'x'", _REFUSED),
    "ioctl TIOCLINUX": _SYSCALL.format("16, 0, 0x541c, b'x'", _REFUSED),
    "raise a hard limit": "import resource as r\nr.setrlimit(r.RLIMIT_NPROC,(9999,9999))\nprint('ESCAPED')",
    "32-bit call by int 0x80 number space": _SYSCALL.format("0x40000000 + 39", "38,"),
}
for _path in (
    "/etc/passwd", "/etc/shadow", "/etc/hostname", "/etc/resolv.conf", "/root/.bashrc", "/var/log/dpkg.log",
    "/proc/kcore", "/proc/kmsg", "/proc/1/mem", "/dev/mem", "/dev/sda", "/dev/vda", "/dev/kmsg", "/dev/fuse",
    "/var/run/docker.sock", "/run/systemd/private",
):  # fmt: skip
    PROBES[f"read {_path}"] = _READ.format(_path)
for _path in (
    "/x", "/usr/x", "/etc/x", "/dev/x", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname",
    "/proc/sysrq-trigger", "/proc/sys/vm/drop_caches", "/room/x", "/room/shared", "/code/main.py", "/code/x", "/usr/bin/python3", "/sys/x",
):  # fmt: skip
    PROBES[f"write {_path}"] = _WRITE.format(_path)
for _path in ("/home", "/root", "/var", "/run", "/sys", "/opt", "/mnt", "/boot", "/proc/1/root/root"):
    PROBES[f"list {_path}"] = _LISTS.format(_path)
for _name, _arguments in {
    "ptrace": "101, 16, 1, 0, 0", "keyctl": "250, 0, -3, 1", "add_key": "248, b'user', b'a', b'b', 1, -3",
    "request_key": "249, b'user', b'a', 0, -3", "memfd_create": "319, b'x', 0", "shmget": "29, 0, 4096, 0o1666",
    "semget": "64, 0, 1, 0o1666", "msgget": "68, 0, 0o1666", "mq_open": "240, b'x', 0o102, 0o600, 0",
    "io_uring_setup": f"425, 8, {_BUF}", "bpf": f"321, 0, {_BUF}, 48", "perf_event_open": f"298, {_BUF}, 0, -1, -1, 0",
    "userfaultfd": "323, 1", "mount": "165, b'x', b'/tmp', b'tmpfs', 0, 0", "chroot": "161, b'/tmp'",
    "pivot_root": "155, b'/tmp', b'/tmp'", "setns": "308, 0, 0", "fsopen": "430, b'tmpfs', 0",
    "open_tree": "428, -100, b'/', 0x80001", "pidfd_open": "434, 1, 0", "name_to_handle_at": f"303, -100, b'/usr', {_BUF}, {_BUF}, 0",
    "open_by_handle_at": f"304, -100, {_BUF}, 0", "process_vm_readv": "310, 1, 0, 0, 0, 0, 0", "kcmp": "312, 1, 1, 0, 0, 0",
    "personality": "135, 0x0040000", "syslog": f"103, 3, {_BUF}, 200", "init_module": "175, 0, 0, b''", "reboot": "169, 0, 0, 0",
    "sched_setattr": f"314, 0, {_BUF}, 0", "fanotify_init": "300, 0, 0", "unshare time": "272, 0x80",
}.items():  # fmt: skip
    PROBES[f"call {_name}"] = _SYSCALL.format(_arguments, _REFUSED)
for _name, _family, _kind in (
    ("vsock", 40, 1), ("netlink", 16, 3), ("packet", 17, 3), ("alg", 38, 5), ("bluetooth", 31, 3), ("raw", 2, 3)
):  # fmt: skip
    PROBES[f"socket {_name}"] = _SOCKET.format(_family, _kind)

# name -> (language, code, reasons any of which is right; "" means held by a hard limit and ended by itself)
BOMBS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "fork bomb": ("bash", ":(){ :|:& };:; wait; sleep 60", ("processes", "timeout", "")),
    "sleep": ("bash", "sleep 600", ("timeout",)),
    "sleep in python": ("python", "import time; time.sleep(600)", ("timeout",)),
    "pause ignoring signals": ("bash", "trap '' TERM INT HUP; sleep 600", ("timeout",)),
    "spin": ("python", "while True: pass", ("timeout",)),
    "spin in javascript": ("javascript", "for(;;);", ("timeout",)),
    "spin in bash": ("bash", "while :; do :; done", ("timeout",)),
    "memory at once": ("python", "x = bytearray(1 << 34)", ("",)),
    "memory by steps": ("python", "x=[]\nwhile True: x.append(bytearray(1<<20))", ("memory", "")),
    "memory over children": (
        "python",
        "import os,time\nfor _ in range(6):\n  if os.fork()==0:\n    x=bytearray(b'x')*(60<<20); time.sleep(60)\ntime.sleep(60)",
        ("memory",),
    ),
    "output": ("bash", "yes", ("output",)),
    "output on stderr": ("bash", "yes >&2", ("output",)),
    "one long line": ("python", "print('x' * (1 << 26))", ("output",)),
    "output from a child": ("bash", "(yes) & wait", ("output",)),
    "disk": ("bash", "head -c 1G /dev/zero >big", ("",)),
    "disk in pieces": ("bash", "for i in {1..60}; do head -c 1M /dev/zero >f$i || exit 9; done", ("",)),
    "disk in tmp": ("bash", "head -c 1G /dev/zero >/tmp/big", ("",)),
    "disk in shm": ("bash", "head -c 1G /dev/zero >/dev/shm/big", ("",)),
    "sparse file": ("bash", "truncate -s 1T big", ("",)),
    "inodes": ("python", "for i in range(10**6): open(f'/work/{i}','w').close()", ("disk", "")),
    "directories": ("python", "import os\nfor i in range(10**6): os.mkdir(f'/tmp/{i}')", ("disk", "")),
    "hard links": ("python", "import os\nopen('a','w')\nfor i in range(10**6): os.link('a',f'b{i}')", ("disk", "timeout", "")),
    "symlinks": ("python", "import os\nfor i in range(10**6): os.symlink('a',f'b{i}')", ("disk", "timeout", "")),
    "daemon": ("bash", "(setsid sleep 600 >/dev/null 2>&1 &) ; exit 0", ("",)),
    "double fork": ("python", "import os,time\nif os.fork()==0:\n  os.setsid()\n  if os.fork()==0: time.sleep(600)", ("",)),
    "daemon holding output": ("bash", "(setsid sleep 600 &) ; exit 0", ("",)),
    "descriptors": ("python", "x=[]\nwhile True: x.append(open('/usr/bin/bash'))", ("",)),
    "threads": ("python", "import threading,time\nwhile True: threading.Thread(target=time.sleep,args=(60,)).start()", ("", "timeout", "processes")),
    "stack": ("python", "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()", ("", "memory", "timeout")),
    "stopped": ("bash", "kill -STOP $$", ("timeout",)),
    "socket buffers": (
        "python",
        "import socket\nx=[]\nwhile True:\n a,b=socket.socketpair(); x.append((a,b)); a.setblocking(False)\n try:\n  while True: a.send(bytes(1<<16))\n except BlockingIOError: pass",
        ("",),
    ),
}  # fmt: skip
