"""The system-call filter as classic BPF, made in pure Python for x86-64 and ARM64. No policy about files or limits here.

A list of refused calls, because Python and Node need some 150 others: it closes kernel surface that namespaces leave
open. Calls newer than the list answer ENOSYS, which libraries take as "old kernel". Calls of another architecture
(32-bit, x32) end the process, since their numbers would pass the list.
"""

from __future__ import annotations

import errno
import platform
import struct
from dataclasses import dataclass
from typing import Final

_X32_BIT: Final = 0x40000000
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
# struct seccomp_data: nr at 0, arch at 4, instruction pointer at 8, six 64-bit arguments from 16.
_NR, _ARCH, _ARG0, _ARG1 = 0, 4, 16, 24
_NEWEST: Final = 462  # mseal, Linux 6.10: the newest call that was looked at

# the same numbers on every architecture since 424
_REFUSED_EVERYWHERE: Final = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "pidfd_open": 434, "pidfd_getfd": 438,
    "process_madvise": 440, "mount_setattr": 442, "quotactl_fd": 443, "memfd_secret": 447, "statmount": 457,
    "listmount": 458, "lsm_get_self_attr": 459, "lsm_set_self_attr": 460, "lsm_list_modules": 461,
}  # fmt: skip
_REFUSED_X86_64: Final = {
    "shmget": 29, "shmat": 30, "shmctl": 31, "semget": 64, "semop": 65, "semctl": 66, "shmdt": 67, "msgget": 68,
    "msgsnd": 69, "msgrcv": 70, "msgctl": 71, "ptrace": 101, "syslog": 103, "uselib": 134, "personality": 135,
    "vhangup": 153, "modify_ldt": 154, "pivot_root": 155, "adjtimex": 159, "chroot": 161, "acct": 163,
    "settimeofday": 164, "mount": 165, "umount2": 166, "swapon": 167, "swapoff": 168, "reboot": 169,
    "sethostname": 170, "setdomainname": 171, "iopl": 172, "ioperm": 173, "init_module": 175, "delete_module": 176,
    "quotactl": 179, "lookup_dcookie": 212, "semtimedop": 220, "clock_settime": 227, "mq_open": 240,
    "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250, "migrate_pages": 256, "unshare": 272,
    "move_pages": 279, "perf_event_open": 298, "fanotify_init": 300, "name_to_handle_at": 303,
    "open_by_handle_at": 304, "clock_adjtime": 305, "setns": 308, "process_vm_readv": 310,
    "process_vm_writev": 311, "kcmp": 312, "finit_module": 313, "memfd_create": 319, "kexec_file_load": 320,
    "bpf": 321, "userfaultfd": 323, "sched_setattr": 314,
}  # fmt: skip
_REFUSED_AARCH64: Final = {
    "lookup_dcookie": 18, "umount2": 39, "mount": 40, "pivot_root": 41, "chroot": 51, "vhangup": 58, "quotactl": 60,
    "acct": 89, "personality": 92, "unshare": 97, "kexec_load": 104, "init_module": 105, "delete_module": 106,
    "clock_settime": 112, "syslog": 116, "ptrace": 117, "reboot": 142, "sethostname": 161, "setdomainname": 162,
    "settimeofday": 170, "adjtimex": 171, "mq_open": 180, "msgget": 186, "msgctl": 187, "msgrcv": 188, "msgsnd": 189,
    "semget": 190, "semctl": 191, "semtimedop": 192, "semop": 193, "shmget": 194, "shmctl": 195, "shmat": 196,
    "shmdt": 197, "add_key": 217, "request_key": 218, "keyctl": 219, "swapon": 224, "swapoff": 225,
    "migrate_pages": 238, "move_pages": 239, "perf_event_open": 241, "fanotify_init": 262, "name_to_handle_at": 264,
    "open_by_handle_at": 265, "clock_adjtime": 266, "setns": 268, "process_vm_readv": 270, "process_vm_writev": 271,
    "kcmp": 272, "finit_module": 273, "memfd_create": 279, "sched_setattr": 274, "bpf": 280, "userfaultfd": 282,
    "kexec_file_load": 294,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Arch:
    """One architecture's numbers. `audit` is its AUDIT_ARCH_* value."""

    audit: int
    clone: int
    socket: int
    socketpair: int
    ioctl: int
    refused: dict[str, int]

    @property
    def sched_setattr(self) -> int:
        return self.refused["sched_setattr"]


ARCHES: Final = {
    "x86_64": Arch(0xC000003E, 56, 41, 53, 16, _REFUSED_X86_64 | _REFUSED_EVERYWHERE),
    "aarch64": Arch(0xC00000B7, 220, 198, 199, 29, _REFUSED_AARCH64 | _REFUSED_EVERYWHERE),
}
_CLONE3: Final = 435
_NEW_NAMESPACES: Final = 0x7E020080  # every CLONE_NEW* flag
_FAMILIES: Final = (1, 2, 10)  # unix, inet, inet6: of the private network namespace
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C


def _step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("<HBBI", code, yes, no, value)


def _refuse(error: int) -> bytes:
    return _step(_RETURN, _ERRNO | error)


def _only_for(nr: int, body: list[bytes]) -> list[bytes]:
    """`body` for call `nr`; it must return."""
    return [_step(_EQUAL, nr, 0, len(body)), *body]


def program(machine: str | None = None) -> bytes:
    """The filter as bwrap's `--seccomp` reads it: an array of struct sock_filter. KeyError for an unknown machine."""
    arch = ARCHES[machine or platform.machine()]
    allow, deny = _step(_RETURN, _ALLOW), _refuse(errno.EPERM)
    steps = [_step(_LOAD, _ARCH), _step(_EQUAL, arch.audit, 1, 0), _step(_RETURN, _KILL), _step(_LOAD, _NR)]
    steps += [_step(_AT_LEAST, _X32_BIT, 0, 1), _step(_RETURN, _KILL)]
    steps += [_step(_AT_LEAST, _NEWEST + 1, 0, 1), _refuse(errno.ENOSYS)]
    # clone3 hides its flags behind a pointer: libc falls back to clone on ENOSYS
    steps += _only_for(_CLONE3, [_refuse(errno.ENOSYS)])
    steps += _only_for(arch.clone, [_step(_LOAD, _ARG0), _step(_ANY_BIT, _NEW_NAMESPACES, 0, 1), deny, allow])
    for call in (arch.socket, arch.socketpair):
        match = [_step(_EQUAL, family, len(_FAMILIES) - i, 0) for i, family in enumerate(_FAMILIES)]
        steps += _only_for(call, [_step(_LOAD, _ARG0), *match, deny, allow])
    steps += _only_for(
        arch.ioctl, [_step(_LOAD, _ARG1), _step(_EQUAL, _TIOCSTI, 1, 0), _step(_EQUAL, _TIOCLINUX, 0, 1), deny, allow]
    )
    for nr in arch.refused.values():
        steps += _only_for(nr, [deny])
    return b"".join([*steps, allow])
