"""How many runs one monitor carries, and how many browsers one gateway: on one core each.

Prepared messages go over the real gRPC stream from one process on the other core: sessions with 60
pictures a second and a viewer each, sessions with scalars only, and browsers of one session at the
gateway. The load doubles until the core is full or the budget is reached. What was sent is compared
with what arrived; a picture that a newer one has replaced is counted as thinned. Memory is that of
the process, per session and per viewer.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import urlsplit

from common.crowd import Beat, Browser, Crowd, pictures
from common.report import machine, publish, table
from common.servers import Server, hold_to, own_core, started

RATE = 60.0
SETTLE_S, SECONDS = 1.0, 3.0
WATCHED, WATCHED_BUDGET, WATCHED_TILE = (1, 2, 4, 8, 16, 32, 50), 50, 128
SCALARS, SCALARS_BUDGET = (125, 250, 500, 1000), 1000
BROWSERS, BROWSERS_BUDGET, BROWSERS_TILE = (12, 25, 50, 100), 100, 256
IDLE = (0, 250, 500, 1000)
#: A relay tells at every turn what that brought where somebody watches, and once a second else:
#: rows of ten steps are one message then.
STEPS_PER_S = 10.0
#: More than this of a core is a full one.
FULL = 0.95
#: Where less than this arrives, the core is full too: on one that others use CPU time tells little.
ARRIVES = 0.8
#: What must arrive of what is sent for a budget to be met; the rest was thinned.
MEETS = 0.97
PATIENCE_S = 60.0
#: Longest time for all of it: a load that a full core never takes up must not hold the others.
WHOLE_S = 600.0
#: What the greatest load and its viewers need, with room for files.
SOCKETS = 4096
KIBIBYTE = 1 << 10

#: Pairs of a load and the bytes that a process has resident under it.
Memory = list[tuple[int, int]]


@dataclass
class Point:
    """What was measured at one load."""

    load: int
    cores: float
    """CPU time of the server per second."""
    wanted: float
    """Messages that should arrive in a second."""
    arrived: float
    """Those that did."""
    own: float
    """CPU time per second on this process' core: what measures must not be what is measured."""

    @property
    def is_full(self) -> bool:
        """Whether there is no more to be had of the core."""
        return self.cores > FULL or self.arrived < ARRIVES * self.wanted

    def row(self) -> tuple[object, ...]:
        """Return it as a row."""
        return (
            f"{self.load:,}",
            f"{self.cores:.2f}",
            f"{self.cores / self.arrived * 1e6:.0f}" if self.arrived else "",
            f"{self.wanted:,.0f}",
            f"{self.arrived:,.0f}",
            f"{max(0.0, 1 - self.arrived / self.wanted):.1%}",
            f"{self.own:.2f}",
        )


HEADER = ("cores", "µs each", "due per s", "arrived per s", "short by", "measuring, cores")


async def measured(
    load: int,
    server: Server,
    beat: tuple[float, Sequence[Callable[[int], None]]],
    each: int,
    arrived: Callable[[], int],
    feeding: Server | None = None,
) -> Point:
    """Measure one load.

    Args:
        load: Its size, for the table.
        server: What is measured.
        beat: How often a second each of these is called.
        each: How many arrivals a call should cause.
        arrived: Counts arrivals.
        feeding: What else is on this process' core.
    """

    def own_s() -> float:
        return time.process_time() + (feeding.cpu_s if feeding is not None else 0.0)

    beating = Beat(*beat)
    task = asyncio.create_task(beating.run())
    await asyncio.sleep(SETTLE_S)
    cpu_s, spent_s, before, began = server.cpu_s, own_s(), arrived(), time.perf_counter()
    await asyncio.sleep(SECONDS)
    took = time.perf_counter() - began
    point = Point(
        load,
        (server.cpu_s - cpu_s) / took,
        beat[0] * len(beat[1]) * each,
        (arrived() - before) / took,
        (own_s() - spent_s) / took,
    )
    beating.stop()
    await task
    print("  ", *point.row(), flush=True)
    return point


def raise_limits() -> None:
    """Let this process, and what it starts, have as many sockets as the loads take.

    Raises:
        SystemExit: This machine does not let it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = SOCKETS if hard == resource.RLIM_INFINITY else min(SOCKETS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if wanted < SOCKETS:
        raise SystemExit(
            f"a process may open {hard} files here, and this takes {SOCKETS}: raise `ulimit -Hn`"
        )


async def watched(core: int) -> list[Point]:
    """Measure sessions with pictures and a viewer each."""
    prepared = pictures(WATCHED_TILE)
    print(f"watched sessions, {len(prepared[0]):,} bytes a picture", flush=True)
    points: list[Point] = []
    async with AsyncExitStack() as stack:
        address, server = stack.enter_context(started("monitor", core, "serve", "--port", "0"))
        crowd = Crowd(address, stack)
        for load in WATCHED:
            await crowd.grow(load)
            for trainer in crowd.trainers[len(crowd.watches) :]:
                await crowd.watch(trainer.session_id, WATCHED_TILE)
            shows = [
                lambda turn, each=each: each.show(prepared[turn % len(prepared)])
                for each in crowd.trainers
            ]
            count = lambda: sum(each.pictures for each in crowd.watches)  # noqa: E731 - read twice
            points.append(await measured(load, server, (RATE, shows), 1, count))
            crowd.check()
            if points[-1].is_full:
                break
    return points


async def scalars_only(core: int, rows: int) -> list[Point]:
    """Measure sessions with scalars only, each ten steps a second.

    Args:
        core: The monitor's.
        rows: Steps in a message.
    """
    print(f"sessions with scalars only, {rows} steps in a message", flush=True)
    points: list[Point] = []
    async with AsyncExitStack() as stack:
        address, server = stack.enter_context(started("monitor", core, "serve", "--port", "0"))
        crowd = Crowd(address, stack)
        for load in SCALARS:
            await crowd.grow(load)
            tells = [lambda _, each=each: each.tell(rows) for each in crowd.trainers]
            count = lambda: sum(each.acknowledged for each in crowd.trainers)  # noqa: E731 - as above
            beat = (STEPS_PER_S / rows, tells)
            points.append(await measured(load, server, beat, 1, count))
            crowd.check()
            waits = (each.until_acknowledged() for each in crowd.trainers)
            await asyncio.wait_for(asyncio.gather(*waits), PATIENCE_S)
            if points[-1].is_full:
                break
        assert all(each.acknowledged == each.told for each in crowd.trainers)
    return points


async def browsers(core: int) -> tuple[list[Point], Memory]:
    """Measure browsers of one session at the gateway, and its memory before they got pictures."""
    prepared = pictures(BROWSERS_TILE)
    print(f"browsers of one session, {len(prepared[0]):,} bytes a picture", flush=True)
    points: list[Point] = []
    memory: Memory = []
    async with AsyncExitStack() as stack:
        address, feeding = stack.enter_context(
            started("monitor", own_core(), "serve", "--port", "0")
        )
        url, server = stack.enter_context(
            started("dashboard", core, "gateway", "--port", "0", "--monitor", address)
        )
        crowd = Crowd(address, stack)
        await crowd.grow(1)
        (trainer,) = crowd.trainers
        where = urlsplit(url)
        opened: list[Browser] = []
        for load in BROWSERS:
            while len(opened) < load:
                opened.append(Browser())
                stack.callback(opened[-1].close)
                await opened[-1].open(
                    str(where.hostname), int(where.port or 0), trainer.session_id, BROWSERS_TILE
                )
            await asyncio.sleep(SETTLE_S)
            memory.append((load, server.resident_bytes))
            show = [lambda turn: trainer.show(prepared[turn % len(prepared)])]
            count = lambda: sum(each.pictures for each in opened)  # noqa: E731 - as above
            points.append(await measured(load, server, (RATE, show), load, count, feeding))
            crowd.check()
            assert not any(each.failure for each in opened)
            if points[-1].is_full:
                break
    return points, memory


async def idle(core: int) -> tuple[Memory, Memory]:
    """Return the monitor's memory with idle sessions, and then with idle viewers of one."""
    print("idle sessions, then viewers of one: MiB", flush=True)
    found: tuple[Memory, Memory] = ([], [])
    async with AsyncExitStack() as stack:
        address, server = stack.enter_context(started("monitor", core, "serve", "--port", "0"))
        crowd = Crowd(address, stack)

        async def note(memory: Memory, load: int) -> None:
            await asyncio.sleep(SETTLE_S)
            memory.append((load, server.resident_bytes))
            print("  ", load, server.resident_bytes >> 20, flush=True)

        for load in IDLE:
            await crowd.grow(load)
            await note(found[0], load)
        for load in IDLE:
            while len(crowd.watches) < load:
                await crowd.watch(crowd.trainers[0].session_id, WATCHED_TILE)
            await note(found[1], load)
        crowd.check()
    return found


def per_one(memory: Memory) -> str:
    """Return what one more takes, and how evenly: over all, and over the last doubling."""
    (first, least), (half, middle), (last, most) = memory[0], memory[-2], memory[-1]
    over_all = (most - least) / (last - first) / KIBIBYTE
    return f"{over_all:.0f} KiB ({(most - middle) / (last - half) / KIBIBYTE:.0f})"


def verdict(points: Sequence[Point], budget: int | None) -> tuple[str, str]:
    """Return how many one core carries, and whether that is the budget, if there is one.

    It is what arrived under the greatest load that left the core room, by the cores it took; met is
    a budget only where that load was it.
    """
    good = [each for each in points if not each.is_full]
    if not good:
        return f"under {points[0].load:,}", "missed" if budget else ""
    last = good[-1]
    carried = last.load * min(1.0, last.arrived / last.wanted) / last.cores
    if budget is None:
        return f"{carried:,.0f}", ""
    if last.load >= budget and last.arrived >= MEETS * last.wanted:
        return f"{carried:,.0f}", "met"
    if carried < budget:
        return f"{carried:,.0f}", f"missed by {1 - carried / budget:.0%}"
    return f"{carried:,.0f}", f"not shown: {last.load:,} were all that arrived in time"


def growth(points: Sequence[Point]) -> str:
    """Return what the cost of one more was, last to first: 1 where it grows linearly."""
    good = [each for each in points if not each.is_full]
    if len(good) < 3:
        return ""
    steps = [
        (later.cores - sooner.cores) / (later.load - sooner.load)
        for sooner, later in pairwise(good)
    ]
    return f"{steps[-1] / steps[0]:.2f}" if steps[0] > 0 else ""


async def main() -> None:
    """Measure, and publish."""
    raise_limits()
    core = hold_to(1)
    runs = await watched(core)
    unwatched = await scalars_only(core, 10)
    tellers = await scalars_only(core, 1)
    pages, page_memory = await browsers(core)
    sessions, viewers = await idle(core)
    budgets = [
        (f"sessions watched at 60/s, {WATCHED_TILE} px", WATCHED_BUDGET, runs),
        ("sessions of scalars, nobody watching", SCALARS_BUDGET, unwatched),
        ("the same rows, 10 messages/s", None, tellers),
        (f"browsers of one session, {BROWSERS_TILE} px", BROWSERS_BUDGET, pages),
    ]
    publish(
        "fan",
        "What one core carries. *Growth*: what one more costs under the greatest load that left "
        "the core room, against under the least.",
        table(
            ("on one core", "carries", "budget", "", "growth"),
            [
                (name, carries, f"{budget:,}" if budget else "–", met, growth(points))
                for name, budget, points in budgets
                for carries, met in [verdict(points, budget)]
            ],
        ),
        f"Monitor, sessions with 60 pictures a second ({WATCHED_TILE} px) and a viewer each:",
        table(("sessions", *HEADER), [each.row() for each in runs]),
        "Monitor, sessions of scalars that nobody watches, ten steps of five series a second each, "
        "committed and acknowledged; one message a second, as relays send them then:",
        table(("sessions", *HEADER), [each.row() for each in unwatched]),
        "The same with a message for each step, as where somebody watches:",
        table(("sessions", *HEADER), [each.row() for each in tellers]),
        f"Gateway, browsers of one session with 60 pictures a second ({BROWSERS_TILE} px):",
        table(("browsers", *HEADER), [each.row() for each in pages]),
        "Memory for one more, over all and (from half of them to all):",
        table(
            ("", ""),
            [
                (f"idle session with its stream, of {IDLE[-1]:,}", per_one(sessions)),
                (f"viewer at the monitor, of {IDLE[-1]:,}", per_one(viewers)),
                (f"browser at the gateway, of {page_memory[-1][0]:,}", per_one(page_memory)),
            ],
        ),
        machine("trainmon", "grpclib", "h2", "uvicorn", "protobuf"),
    )


if __name__ == "__main__":
    # Whoever ends this wants no monitor of it left either.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    asyncio.run(asyncio.wait_for(main(), WHOLE_S))
