"""Simulate many clients over the internet and several servers; write the tables of docs/scale.md.

    python bench/scale_simulation.py [--clients 10 100 1000] [--write docs/scale.md]

Frames move one by one through queues: the client's line, the server's line, its front process (one core), its codec
processes, an engine actor, and back. The service times are those of `bench/scale_times.json`, measured by
`bench/scale_times.py` on one machine; everything in `Plan` is assumed. Each client sends a shot to any of the servers,
waits, and sends the next one. The same seed gives the same tables.

`--write` puts the tables between the markers of the page.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import random
import statistics
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Sequence, Tuple

from harmovid.storage import atomic
from harmovid.transport import wire

TIMES = Path(__file__).with_name("scale_times.json")
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
MBIT, GBIT, MIB = 1e6 / 8, 1e9 / 8, float(1 << 20)

CREDIT_BYTES, LEAST_CREDIT_BYTES = 256 << 20, 2 << 20
"""The default of the setting `credit_bytes`, and what every client gets at least."""

SESSIONS = 64
"""The default of the setting `sessions`."""

GOOD = 2.0
"""A shot should take no longer than this, as a multiple of the time for a single client."""

DIFFUSION_S = 2.0
"""GPU seconds per frame of a video diffusion engine: assumed. None has been measured."""

PRICES = {"core_h": 0.04, "gpu_h": 2.5, "out_gb": 0.05}
"""US dollars per hour of a core, of a large GPU, and per GB sent out of a data centre: assumed."""


@dataclass(frozen=True)
class Times:
    """What one frame takes: seconds of a core by process, and bytes."""

    engine: str
    front_s: float
    main_s: float
    codec_s: float
    engine_s: float
    in_bytes: float
    out_bytes: float


@dataclass(frozen=True)
class Plan:
    """What is assumed of clients and servers.

    Attributes:
        cores: codec processes of a server.
        actors: engine actors of a server; jobs at once are twice as many.
        line: of a client, each way, bytes/s. server_line: of a server, each way.
        rtt_s: from a client to a server and back.
        shot: frames of a shot. pause_s: mean time between two shots of a client, exponential.
        time_s: how long the simulation goes.
    """

    clients: int
    servers: int = 1
    cores: int = 32
    actors: int = 8
    line: float = 500 * MBIT
    server_line: float = 10 * GBIT
    rtt_s: float = 0.03
    shot: int = 100
    pause_s: float = 1200.0
    time_s: float = 2400.0


class Queue:
    """First come, first served, by one or several; `busy_s` is what all of them have worked."""

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self.busy_s = 0.0
        self._free_s = [0.0] * count

    def serve(self, now_s: float, seconds: float) -> float:
        """Return when something that comes now is done."""
        begin_s = max(now_s, heapq.heappop(self._free_s))
        heapq.heappush(self._free_s, begin_s + seconds)
        self.busy_s += seconds
        return begin_s + seconds


class Server:
    """The queues of one server."""

    def __init__(self, plan: Plan) -> None:
        self.line_in, self.line_out, self.front = Queue(), Queue(), Queue()
        self.codecs = Queue(plan.cores)
        self.actors = [Queue() for _ in range(plan.actors)]
        self.jobs = [0] * plan.actors
        self.waiting: List[Callable[[], None]] = []
        self.sessions = self.most_sessions = 0

    def load(self, time_s: float) -> Dict[str, float]:
        """Return how busy each part was, 0..1."""
        engines_s = sum(actor.busy_s for actor in self.actors)
        return {
            "line": max(self.line_in.busy_s, self.line_out.busy_s) / time_s,
            "front": self.front.busy_s / time_s,
            "codecs": self.codecs.busy_s / time_s / self.codecs.count,
            "engines": engines_s / time_s / len(self.actors),
        }


@dataclass
class Outcome:
    """What came out: seconds of each shot, frames a second, how busy the busiest server was, most sessions on one."""

    shots_s: List[float] = field(default_factory=list)
    frames: int = 0
    rate: float = 0.0
    load: Dict[str, float] = field(default_factory=dict)
    sessions: int = 0
    unfinished: int = 0

    @property
    def median_s(self) -> float:
        """Median time of a shot."""
        return statistics.median(self.shots_s) if self.shots_s else float("inf")

    @property
    def slow_s(self) -> float:
        """Time that 95 % of the shots keep."""
        return sorted(self.shots_s)[int(0.95 * (len(self.shots_s) - 1))] if self.shots_s else float("inf")

    @property
    def tightest(self) -> str:
        """The part with the least room."""
        return max(self.load, key=lambda name: self.load[name])


class World:
    """Clients, servers and a clock."""

    def __init__(self, plan: Plan, times: Times, seed: int = 1) -> None:
        self.plan, self.times = plan, times
        self.now_s = 0.0
        self.servers = [Server(plan) for _ in range(plan.servers)]
        self.outcome = Outcome()
        self._chance = random.Random(seed)
        self._order = itertools.count()
        self._events: List[Tuple[float, int, Callable[[], None]]] = []

    def at(self, when_s: float, what: Callable[[], None]) -> None:
        """Schedule an event."""
        heapq.heappush(self._events, (when_s, next(self._order), what))

    def run(self) -> Outcome:
        """Run the simulation; unfinished shots are counted separately."""
        for _ in range(self.plan.clients):
            # Start in a steady state: every client is somewhere in a pause.
            self.at(self._chance.uniform(0, self.plan.pause_s), lambda: Shot(self).begin())
        while self._events and self._events[0][0] <= self.plan.time_s:
            self.now_s, _, what = heapq.heappop(self._events)
            what()
        found = self.outcome
        found.rate = found.frames / self.plan.time_s
        loads = [server.load(self.plan.time_s) for server in self.servers]
        found.load = {name: min(1.0, max(each[name] for each in loads)) for name in loads[0]}
        found.sessions = max(server.most_sessions for server in self.servers)
        return found

    def any_server(self) -> Server:
        """Return a random server: the load is not balanced among servers."""
        return self._chance.choice(self.servers)

    def pause_s(self) -> float:
        """Return how long a client waits before its next shot, in seconds."""
        return self._chance.expovariate(1 / self.plan.pause_s)


class Shot:
    """One job of one client."""

    def __init__(self, world: World) -> None:
        self.world, self.plan, self.times = world, world.plan, world.times
        self.server = world.any_server()
        self.up, self.down = Queue(), Queue()
        self.begun_s = world.now_s
        self.sent = self.done = 0

    def begin(self) -> None:
        """Connect, and start or wait for a place among the jobs."""
        self.world.outcome.unfinished += 1
        self.server.sessions += 1
        credit = grants(self.server.sessions)[-1]
        self.up_rate = min(self.plan.line, credit / self.plan.rtt_s)
        self.server.most_sessions = max(self.server.most_sessions, self.server.sessions)
        if sum(self.server.jobs) < 2 * self.plan.actors:
            self.start()
        else:
            self.server.waiting.append(self.start)

    def start(self) -> None:
        """Take the actor with the fewest jobs; send as many frames as the server asks for at once."""
        self.actor = min(range(self.plan.actors), key=lambda index: self.server.jobs[index])
        self.server.jobs[self.actor] += 1
        # The setting `prefetch_frames`: 4, and 2 for each codec process.
        for _ in range(min(4 + 2 * self.plan.cores, self.plan.shot)):
            self.send()

    def send(self) -> None:
        """Send the next frame: the client's line, then the server's line, then its front."""
        if self.sent == self.plan.shot:
            return
        self.sent += 1
        times, server = self.times, self.server
        share = times.in_bytes / (times.in_bytes + times.out_bytes)
        # Each step asks for its place when the one before is done, so that the order is that of arrival.
        self._through(
            [
                (self.up, times.in_bytes / self.up_rate),
                (server.line_in, times.in_bytes / self.plan.server_line),
                (server.front, times.front_s * share),
                (server.codecs, times.codec_s / 2),
                (server.actors[self.actor], times.engine_s),
                (server.codecs, times.codec_s / 2),
                (server.front, times.front_s * (1 - share)),
                (server.line_out, times.out_bytes / self.plan.server_line),
                (self.down, times.out_bytes / self.plan.line),
            ]
        )

    def _through(self, steps: Sequence[Tuple[Queue, float]]) -> None:
        if not steps:
            self.world.at(self.world.now_s + self.plan.rtt_s, self.frame_done)
            return
        queue, seconds = steps[0]
        self.world.at(queue.serve(self.world.now_s, seconds), lambda: self._through(steps[1:]))

    def frame_done(self) -> None:
        """A frame is with the client."""
        self.done += 1
        self.world.outcome.frames += 1
        self.send()
        if self.done < self.plan.shot:
            return
        world, server = self.world, self.server
        world.outcome.shots_s.append(world.now_s - self.begun_s)
        world.outcome.unfinished -= 1
        server.sessions -= 1
        server.jobs[self.actor] -= 1
        if server.waiting:
            server.waiting.pop(0)()
        world.at(world.now_s + world.pause_s(), lambda: Shot(world).begin())


def alone_s(plan: Plan, times: Times) -> float:
    """Return how long a shot takes a client that is alone."""
    world = World(replace(plan, clients=0, servers=1), times)
    world.at(0.0, lambda: Shot(world).begin())
    world.plan = replace(world.plan, pause_s=1e12, time_s=1e6)
    return world.run().shots_s[0]


def needed(plan: Plan, times: Times, good_s: float) -> Tuple[Plan, Outcome]:
    """Return the smallest number of servers (1, 2, 3, 4, 6, 8, 12 ...) with which 95 % of the shots are good."""
    for servers in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64):
        tried = replace(plan, servers=servers)
        outcome = World(tried, times).run()
        if outcome.slow_s <= good_s and outcome.unfinished <= 0.1 * len(outcome.shots_s) + plan.clients * 0.1:
            break
    return tried, outcome


def read_times(path: Path = TIMES) -> Dict[str, Times]:
    """Return the measured times by engine, and those of an engine that is assumed."""
    found = {}
    for row in json.loads(path.read_text())["rows"]:
        found[row["engine"]] = Times(
            row["engine"], row["front_s"], row["main_s"], row["codec_s"], row["worker_s"], row["in_bytes"],
            row["out_bytes"],
        )  # fmt: skip
    found["diffusion"] = replace(found["deflicker"], engine="diffusion (assumed)", engine_s=DIFFUSION_S)
    return found


def grants(sessions: int, pool: float = CREDIT_BYTES) -> List[float]:
    """Return the upload credit of each of so many clients that connect one after the other, as the front gives it."""
    given: List[float] = []
    for _ in range(sessions):
        given.append(max(min(pool // 4, wire.CREDIT_BYTES), LEAST_CREDIT_BYTES))
        pool -= given[-1]
    return given


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def times_table(times: Dict[str, Times]) -> str:
    """Return what a frame takes."""
    rows = [
        (one.engine, f"{one.front_s:.3f}", f"{one.main_s:.3f}", f"{one.codec_s:.2f}", f"{one.engine_s:.2f}",
         f"{one.in_bytes / 1e6:.0f}", f"{one.out_bytes / 1e6:.0f}", f"{1 / one.front_s:.0f}")
        for one in times.values()
    ]  # fmt: skip
    heads = ("engine", "front (s)", "main (s)", "codecs (s)", "engine (s)", "MB in", "MB out")
    return table((*heads, "4K frames/s that one front can pass"), rows)


def clients_table(times: Times, clients: Sequence[int]) -> str:
    """Return one server, and as many as are needed, for each number of clients."""
    rows = []
    good_s = GOOD * alone_s(Plan(0), times)
    for count in clients:
        one = Plan(count)
        for plan, found in ((one, World(one, times).run()), needed(one, times, good_s)):
            rows.append((
                str(count), str(plan.servers), f"{found.rate:.1f}", _seconds(found.median_s), _seconds(found.slow_s),
                *(f"{found.load[name]:.0%}" for name in ("front", "codecs", "engines", "line")),
                str(found.sessions), _verdict(found, good_s),
            ))  # fmt: skip
            if plan.servers == 1 and found.slow_s <= good_s:
                break
    heads = (
        "clients",
        "servers",
        "frames/s",
        "median shot (s)",
        "95 % (s)",
        "front",
        "codecs",
        "engines",
        "line",
    )
    return table((*heads, "sessions", "what is short"), rows)


def _seconds(value: float) -> str:
    return "-" if value == float("inf") else f"{value:.0f}"


def _verdict(found: Outcome, good_s: float) -> str:
    short = [found.tightest] if found.slow_s > good_s else []
    return ", ".join([*short, *(["`sessions`"] if found.sessions > SESSIONS else [])]) or "nothing"


def credit_table(clients: Sequence[int]) -> str:
    """Return what upload credit lets a client send, by clients and by distance."""
    rows = []
    for count in clients:
        given = grants(count)
        for name, credit in (("first", given[0]), ("last", given[-1])):
            rates = (f"{credit / rtt_s / MBIT:,.0f}" for rtt_s in (0.01, 0.03, 0.15))
            rows.append((str(count), name, f"{credit / MIB:.0f}", *rates))
    return table(
        ("clients of one server", "client", "credit (MiB)", "10 ms", "30 ms", "150 ms (Mbit/s)"), rows
    )


def cost_table(times: Dict[str, Times]) -> str:
    """Return dollars per 1,000 frames."""
    rows = []
    for name, one in times.items():
        cores = 1000 * (one.front_s + one.main_s + one.codec_s) / 3600 * PRICES["core_h"]
        per_hour = PRICES["gpu_h"] if name == "diffusion" else PRICES["core_h"]
        engine, out = 1000 * one.engine_s / 3600 * per_hour, one.out_bytes / 1e6 * PRICES["out_gb"]
        rows.append(
            (one.engine, f"{cores:.3f}", f"{engine:.3f}", f"{out:.2f}", f"{cores + engine + out:.2f}")
        )
    return table(("engine", "front, main, codecs", "engine", "results sent out", "together"), rows)


def tables(clients: Sequence[int]) -> str:
    """Return all tables of the page."""
    times = read_times()
    parts = ["### What one 4K frame takes\n", times_table(times)]
    for name in ("deflicker", "diffusion"):
        parts += [f"### Clients: {times[name].engine}\n", clients_table(times[name], clients)]
    parts += ["### Credit\n", credit_table((1, 10, 64, 256))]
    parts += ["### US dollars per 1,000 4K frames\n", cost_table(times)]
    return "\n".join(parts)


def written(page: str, made: str) -> str:
    """Return a page with what is between its marks replaced."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{made}\n{END}{after}"


def main(arguments: Sequence[str]) -> None:
    """Print the tables, or write them into the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--write", type=Path, metavar="PAGE")
    given: Any = parser.parse_args(list(arguments))
    made = tables(given.clients)
    if given.write:
        atomic.write_whole(str(given.write), written(given.write.read_text("utf-8"), made).encode())
    else:
        print(made)


if __name__ == "__main__":
    main(sys.argv[1:])
