"""Durable sends of other brokers, on disk before each answer: Redis Streams and NATS JetStream, both told `always`.

Raw protocol clients, as for the hub. A connection has one send in flight, or several pipelined.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from bench.load import TEXT, Sample
from bench.queues import Nats, Redis, nats, nats_server, redis_server, resp

Sends = Callable[[int, int, float], Sample]


def redis_sends(connections: int, in_flight: int, seconds: float) -> Sample:
    """XADD per second."""
    with redis_server() as port:

        async def work(sample: Sample, until: float) -> None:
            redis = Redis(*await asyncio.open_connection("127.0.0.1", port))
            command = resp(("XADD", "s", "*", "text", TEXT))
            await _pipelined(sample, until, in_flight, lambda: redis._writer.write(command), redis.answer)
            redis.close()

        return uvloop.run(_together(connections, work, seconds))


def nats_sends(connections: int, in_flight: int, seconds: float) -> Sample:
    """Acknowledged publishes per second."""
    with nats_server(durable=True) as port:

        async def work(sample: Sample, until: float) -> None:
            async with nats(port) as mine:
                send = _publisher(mine)
                await _pipelined(sample, until, in_flight, send, mine.message)

        async def measure() -> Sample:
            async with nats(port) as first:
                made = await first.request("$JS.API.STREAM.CREATE.s", b'{"name":"s","subjects":["s"],"storage":"file"}')
                assert b'"error"' not in made[1], made
            return await _together(connections, work, seconds)

        return uvloop.run(measure())


def _publisher(connection: Nats) -> Callable[[], None]:
    payload = TEXT.encode()
    return lambda: connection.publish("s", payload)


async def _together(
    connections: int, work: Callable[[Sample, float], Coroutine[Any, Any, None]], seconds: float
) -> Sample:
    sample, began = Sample(), time.perf_counter()
    await asyncio.gather(*(work(sample, began + seconds) for _ in range(connections)))
    sample.seconds = time.perf_counter() - began
    return sample


async def _pipelined(
    sample: Sample,
    until: float,
    in_flight: int,
    send: Callable[[], None],
    answer: Callable[[], Coroutine[Any, Any, Any]],
) -> None:
    """Keep `in_flight` sends unanswered; answers come in order."""
    sent = [time.perf_counter()] * in_flight
    for _ in range(in_flight):
        send()
    at = 0
    while at < len(sent):
        await answer()
        now = time.perf_counter()
        sample.latencies_ms.append((now - sent[at]) * 1000)
        sample.done += 1
        at += 1
        if now < until:
            sent.append(now)
            send()


def redis_wake(times: int) -> list[float]:
    """XADD → a reader blocked in XREAD has it (ms), sorted."""
    with redis_server() as port:

        async def measure() -> list[float]:
            reader, sender = [Redis(*await asyncio.open_connection("127.0.0.1", port)) for _ in range(2)]
            last, took = "0", []
            for number in range(times):
                waiting = asyncio.create_task(reader.command("XREAD", "BLOCK", "0", "STREAMS", "s", last))
                await asyncio.sleep(0.002)  # it blocks before the send begins
                began = time.perf_counter()
                sending = asyncio.create_task(sender.command("XADD", "s", "*", "text", str(number)))
                found = await waiting
                took.append((time.perf_counter() - began) * 1000)
                last = found[0][1][-1][0].decode()
                await sending
            reader.close()
            sender.close()
            return sorted(took)

        return uvloop.run(measure())
