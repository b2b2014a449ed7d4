"""One run of the engine `lite`, in a process that can be killed: an interpreter that knows nothing of the machine.

Python is pydantic-monty (a subset of the language, in a worker of its own), JavaScript is QuickJS. Reads one request as
a JSON line from standard input and answers in JSON lines; the end of standard input means that the hub is gone.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final

_CHUNK: Final = 16 * 1024
_STACK_BYTES: Final = 512 * 1024
_CONSOLE: Final = """
const console = (() => {
  const shown = (value) => {
    if (typeof value === "string") return value;
    if (value instanceof Error) return String(value.stack ? value + "\\n" + value.stack : value);
    try { const text = JSON.stringify(value); return text === undefined ? String(value) : text; }
    catch { return String(value); }
  };
  const write = (stream) => (...values) => { __write(stream, values.map(shown).join(" ") + "\\n"); };
  return { log: write("stdout"), info: write("stdout"), debug: write("stdout"), warn: write("stderr"), error: write("stderr") };
})();
"""
Write = Callable[[str, str], None]


def main() -> None:
    """Read the request, run it, report, leave."""
    tell({"ready": True})
    asked = json.loads(sys.stdin.readline())
    threading.Thread(target=leave_with_the_hub, daemon=True).start()
    limit_memory(asked["memory_bytes"])
    run = {"python": run_python, "javascript": run_javascript}[asked["language"]]
    try:
        end = run(asked, write)
    except ImportError as error:
        end = {"unavailable": f"{error.name} is not installed"}
    except MemoryError:
        end = {"reason": "memory"}
    tell({"end": end, **used()})
    sys.stdout.flush()
    os._exit(0)


def tell(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def write(stream: str, text: str) -> None:
    """A piece of the code's output."""
    for start in range(0, len(text), _CHUNK):
        tell({"out": stream, "text": text[start : start + _CHUNK]})


def leave_with_the_hub() -> None:
    """Standard input ends when the hub does, however it died; take the workers along."""
    sys.stdin.read()
    if os.name == "posix":
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def limit_memory(memory_bytes: int) -> None:
    """A backstop where the system has one; the interpreters keep the limit themselves."""
    if sys.platform != "win32":
        import resource

        most = memory_bytes + 512 * 1024 * 1024  # the interpreter around the interpreter
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def used() -> dict[str, int]:
    """Processor time and peak memory of this process and its workers, where the system tells."""
    if sys.platform == "win32":
        return {"cpu_ms": round(time.process_time() * 1000)}
    import resource

    each = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "cpu_ms": round(sum(one.ru_utime + one.ru_stime for one in each) * 1000),
        "peak_memory_bytes": max(one.ru_maxrss for one in each) * unit,
    }


def run_python(asked: dict[str, Any], write: Write) -> dict[str, Any]:
    """Monty: no imports but its own few modules, no files, no network."""
    import pydantic_monty

    wall_s = float(asked["wall_s"])
    limits: pydantic_monty.ResourceLimits = {"max_memory": asked["memory_bytes"], "max_feed_duration_secs": wall_s}
    with pydantic_monty.Monty(min_processes=1, max_processes=1) as pool, pool.checkout(limits=limits) as session:
        began = time.monotonic()
        try:
            session.feed_run(asked["code"], print_callback=write)
        except pydantic_monty.MontyCrashedError:
            return {"reason": "timeout" if time.monotonic() - began >= wall_s else "memory"}
        except pydantic_monty.MontyRuntimeError as error:
            if time.monotonic() - began >= wall_s and isinstance(error.exception(), TimeoutError):
                return {"reason": "timeout"}
            if isinstance(error.exception(), MemoryError):
                return {"reason": "memory"}
            write("stderr", error.display() + "\n")
            return {"exit_code": 1}
        except pydantic_monty.MontyError as error:
            write("stderr", f"{error}\n")
            return {"exit_code": 1}
    return {"exit_code": 0}


def run_javascript(asked: dict[str, Any], write: Write) -> dict[str, Any]:
    """QuickJS: the language alone and `console`. Time is the parent's business: it kills."""
    import quickjs

    context = quickjs.Context()
    context.set_memory_limit(asked["memory_bytes"])
    context.set_max_stack_size(_STACK_BYTES)
    context.add_callable("__write", lambda stream, text: write("stderr" if stream == "stderr" else "stdout", str(text)))
    context.eval(_CONSOLE)
    try:
        context.eval(asked["code"])
        while context.execute_pending_job():
            pass
    except quickjs.JSException as error:
        if str(error).startswith("InternalError: out of memory"):
            return {"reason": "memory"}
        write("stderr", f"{error}\n")
        return {"exit_code": 1}
    return {"exit_code": 0}
