"""100 queries over five worker processes, two of which are killed while they work: every query is answered once.

    mcp-bridge up                                  # in another terminal
    python examples/load_balanced_queries.py       # every strategy, and pull; or name one: ... least_loaded

A worker is this file with `--worker`: it claims, thinks for a moment, acknowledges. A killed worker's queries go to
the others when its leases end (five seconds here).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import secrets
import sys
from collections import Counter
from contextlib import suppress

from hub.client import HubClient, Outcome
from hub.client.fanout import bar
from hub.core.errors import HubError
from hub.features.queues.contract import AckTask, ClaimTasks, CreateQueue, SetWorker
from hub.kernel.agents.contract import RegisterAgent

MODES = ("pull", "round_robin", "least_loaded", "fastest", "random", "weighted", "sticky")
QUERIES, WORKERS, KILLED = 100, 5, 2


async def work(queues: list[str]) -> None:
    """Answer queries of all these queues until the process ends."""
    async with HubClient() as client:
        await asyncio.gather(*(serve(client, queue) for queue in queues))


async def serve(client: HubClient, queue: str) -> None:
    while True:
        if not queue.startswith("pull"):
            await client.call(SetWorker(queue=queue, agent="me", capacity=2))
        with suppress(HubError):  # a lost lease: somebody else has the task now
            for task in (await client.call(ClaimTasks(queue=queue, max=2, lease_s=5, wait_s=20))).items:
                await asyncio.sleep(random.uniform(0.02, 0.1))  # the thinking
                answer = {"question": task.body, "answer": len(task.body)}
                await client.call(AckTask(task=task.id, lease_token=task.lease_token or "", result=answer))


async def start(client: HubClient, number: int, queues: list[str]) -> asyncio.subprocess.Process:
    made = await client.call(RegisterAgent(name=f"worker-{number}-{secrets.token_hex(3)}"))
    env = {**os.environ, "BRIDGE_URL": client.url, "BRIDGE_TOKEN": made.token or ""}
    return await asyncio.create_subprocess_exec(sys.executable, __file__, "--worker", *queues, env=env)


async def ask(client: HubClient, queue: str, enough: asyncio.Event) -> list[Outcome]:
    """All outcomes of one queue; `enough` is set when a third is there."""
    queries = [f"How long is question {number}?" for number in range(QUERIES)]
    outcomes: list[Outcome] = []
    async for outcome in client.map(queue, queries, concurrency=40):
        outcomes.append(outcome)
        if len(outcomes) * 3 > QUERIES:
            enough.set()
    return outcomes


async def main(modes: list[str]) -> int:
    async with HubClient() as client:
        run = secrets.token_hex(3)
        queues = [f"{mode}-{run}" for mode in modes]
        for mode, queue in zip(modes, queues, strict=True):
            strategy = {} if mode == "pull" else {"mode": "push", "strategy": mode, "assign_timeout_s": 1}
            await client.call(CreateQueue.model_validate({"queue": queue, "max_attempts": 20, **strategy}))
        workers = [await start(client, number, queues) for number in range(WORKERS)]
        enough = [asyncio.Event() for _ in queues]
        asking = [asyncio.create_task(ask(client, *pair)) for pair in zip(queues, enough, strict=True)]
        try:
            await asyncio.gather(*(event.wait() for event in enough))
            for victim in random.sample(workers, KILLED):
                victim.kill()
            print(f"killed {KILLED} of {WORKERS} workers", flush=True)
            return sum([report(mode, await task) for mode, task in zip(modes, asking, strict=True)])
        finally:
            for worker in workers:
                with suppress(ProcessLookupError):  # killed before
                    worker.kill()
                await worker.wait()


def report(mode: str, outcomes: list[Outcome]) -> int:
    """Print what became of the queries; how many were not answered exactly once."""
    answers = Counter(outcome.index for outcome in outcomes if outcome.ok)
    shares = ", ".join(f"{share}" for _, share in Counter(outcome.worker for outcome in outcomes).most_common())
    print(f"{mode:12} {bar(len(answers), QUERIES)} answered; shares {shares}", flush=True)
    return sum(1 for number in range(QUERIES) if answers[number] != 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--worker", nargs="+", metavar="QUEUE", help="be a worker of these queues")
    parser.add_argument("modes", nargs="*", help=f"which strategies (default: all): {', '.join(MODES)}")
    options = parser.parse_args()
    if options.worker:
        asyncio.run(work(options.worker))
    else:
        raise SystemExit(1 if asyncio.run(main(options.modes or list(MODES))) else 0)
