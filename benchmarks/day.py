"""A day of 10,000 runs on ten machines, simulated with what the other benchmarks have measured: what is full first.

    demo/.venv/bin/python benchmarks/day.py [--measured DIR] [--runs 10000] [--machines 10] [--stages 60]

DIR has what they wrote: run.json (what a run costs beyond its stages, by way), mirror.json (what it costs to show one).
Where one is missing, what it tells is left out, and a line says so. What git costs is measured here: to push one ref to
a bare repository that has so many, and to list them.
Designs of 100 runs come in at random over 24 hours; each run takes the next free machine for its stages (lognormal, a
mean of --stages seconds), for what is beyond them, and for the push of its ref, since success is a ref on the remote.
Whoever waits for a design lists the refs every 10 s. The git host has two cores, as this machine; one mirror writes to
the tracking server, run after run. All costs are CPU seconds, which a busy machine changes little: on an idle one they
are what it takes. The network, and data that goes to DVC's remote, are not in it.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import resource
import statistics
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pygit2
from rich.console import Console
from rich.table import Table

DAY = 86_400.0
A_DESIGN = 100  # runs
POLL = 10.0  # seconds between two listings of the refs
GIT_CORES = 2
SIZES = (100, 1_000, 10_000)  # refs
REPEATS = 5


# What git costs


def git_costs() -> dict[str, dict[int, float]]:
    """CPU seconds to push one ref to a repository that has so many, and to list them; the median of a few times."""
    costs: dict[str, dict[int, float]] = {"push": {}, "list": {}}
    for number in SIZES:
        with tempfile.TemporaryDirectory(prefix="day-") as name:
            here, there = Path(name) / "here", Path(name) / "there"
            commits = experiments(here, number + REPEATS)
            pygit2.init_repository(str(there), bare=True)
            refs = "".join(f"create refs/exps/ab/{'c' * 38}/run-{i} {commits[i]}\n" for i in range(number))
            subprocess.run(["git", "fetch", "-q", str(here), "main"], cwd=there, check=True)
            subprocess.run(["git", "update-ref", "--stdin"], cwd=there, check=True, input=refs, text=True)
            subprocess.run(["git", "pack-refs", "--all"], cwd=there, check=True)
            pushes = [
                timed(here, "push", "-q", str(there), f"{commit}:refs/exps/ab/{'c' * 38}/run-{number + i}")
                for i, commit in enumerate(commits[number:])
            ]
            costs["push"][number] = statistics.median(pushes)
            costs["list"][number] = statistics.median(timed(here, "ls-remote", str(there)) for _ in range(REPEATS))
    return costs


def experiments(root: Path, number: int) -> list[str]:
    """So many commits, each with a file of its own, in a line that the branch main ends."""
    git = pygit2.init_repository(str(root), initial_head="main")
    who = pygit2.Signature("benchmark", "benchmark@localhost")
    commits: list[str] = []
    for i in range(number):
        index = pygit2.Index()
        blob = git.create_blob(f"lr: {i}\n".encode() * 50)
        index.add(pygit2.IndexEntry("params.yaml", blob, pygit2.enums.FileMode.BLOB))
        parents = [pygit2.Oid(hex=commits[-1])] if commits else []
        made = git.create_commit("refs/heads/main", who, who, f"run {i}", index.write_tree(git), parents)
        commits.append(str(made))
    return commits


def timed(root: Path, *arguments: str) -> float:
    """CPU seconds of a git command, on both sides: the remote is a folder."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def between(costs: dict[int, float]) -> Callable[[int], float]:
    """The cost at any number of refs: a line between those that were measured, and the last one beyond."""
    known = sorted(costs.items())

    def cost(number: int) -> float:
        for (low, cheap), (high, dear) in zip(known, known[1:], strict=False):
            if number <= high:
                return cheap + (dear - cheap) * max(0, number - low) / (high - low)
        return known[-1][1]

    return cost


# The day


@dataclass
class Resource:
    """Something that serves so many at a time, in the order in which they come."""

    capacity: int
    busy: float = 0.0
    waits: list[float] = field(default_factory=list)
    _free: int = 0
    _queue: deque[tuple[float, float, Callable[[float], None]]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._free = self.capacity

    def ask(self, clock: Clock, seconds: float, then: Callable[[float], None]) -> None:
        """Be served for so long, and then go on."""
        self._queue.append((clock.now, seconds, then))
        self._next(clock)

    def _next(self, clock: Clock) -> None:
        while self._free and self._queue:
            came, seconds, then = self._queue.popleft()
            self.waits.append(clock.now - came)
            self.busy += seconds
            self._free -= 1
            clock.after(seconds, lambda then=then: self._done(clock, then))

    def _done(self, clock: Clock, then: Callable[[float], None]) -> None:
        self._free += 1
        then(clock.now)
        self._next(clock)


class Clock:
    """Events in the order of their times."""

    def __init__(self) -> None:
        self.now, self._events, self._count = 0.0, [], 0

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        """Let something happen so much later."""
        self._count += 1
        heapq.heappush(self._events, (self.now + seconds, self._count, event))

    def run(self) -> None:
        """Until nothing is left."""
        while self._events:
            self.now, _, event = heapq.heappop(self._events)
            event()


@dataclass
class Day:
    """What a day came to."""

    resources: dict[str, Resource]
    end: float
    answers: list[float]  # seconds from a design's coming in to its last run


def simulate(
    runs: int, machines: int, stages: float, beyond: float, git: dict[str, Callable[[int], float]], mirror: float | None
) -> Day:
    """One day. `beyond` are the seconds that a run takes a machine beyond its stages, `mirror` those to show it."""
    draw, clock = random.Random(0), Clock()
    resources = {"machines": Resource(machines), "git host": Resource(GIT_CORES)}
    if mirror is not None:
        resources["mirror"] = Resource(1)
    workers, host = resources["machines"], resources["git host"]
    there, answers = 0, []
    free, waiting = machines, deque()
    workers.capacity = machines

    def begin(design: Design) -> None:
        design.began = clock.now
        for _ in range(A_DESIGN):
            waiting.append((clock.now, design))
        take()
        clock.after(POLL, lambda: poll(design))

    def poll(design: Design) -> None:
        if design.left:
            host.ask(clock, git["list"](there), lambda _: None)
            clock.after(POLL, lambda: poll(design))

    def take() -> None:
        nonlocal free
        while free and waiting:
            came, design = waiting.popleft()
            free -= 1
            workers.waits.append(clock.now - came)
            clock.after(draw.lognormvariate(-0.125, 0.5) * stages + beyond, lambda d=design, at=clock.now: push(d, at))

    def push(design: Design, taken: float) -> None:
        host.ask(clock, git["push"](there), lambda now: done(design, now, taken))

    def done(design: Design, now: float, taken: float) -> None:
        nonlocal there, free
        there += 1
        free += 1
        workers.busy += now - taken
        design.left -= 1
        if not design.left:
            answers.append(now - design.began)
        if "mirror" in resources and mirror is not None:
            resources["mirror"].ask(clock, mirror, lambda _: None)
        take()

    for _ in range(runs // A_DESIGN):
        clock.after(draw.uniform(0, DAY), lambda: begin(Design()))
    clock.run()
    return Day(resources, clock.now, answers)


@dataclass
class Design:
    """One that came in, and how many of its runs are not there yet."""

    left: int = A_DESIGN
    began: float = 0.0


# What is told


def read(folder: Path, name: str) -> dict:
    """What a benchmark wrote; empty where it has not run."""
    path = folder / name
    return json.loads(path.read_text()) if path.is_file() else {}


def beyond_stages(measured: dict) -> dict[str, float]:
    """CPU seconds of a run beyond its stages by way, with the most data files that were measured."""
    files = max(measured.get("runs", {}), key=int, default=None)
    times = measured["runs"][files] if files else {}
    ways = {name: each for name, each in times.items() if name.endswith("-j 1")}
    return {f"{name}, {files} files": each["cpu"] - times["stages alone"]["cpu"] for name, each in ways.items()}


def mirrored(measured: dict) -> float | None:
    """CPU seconds to show one run, with its pages, all in one process."""
    return measured["seconds"]["sqlite"]["with pages"]["a run"]["cpu"] if measured else None


def percentile(values: list[float], share: float) -> float:
    """The value that so large a share is below; 0 of none."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=Path, default=Path(), help="the folder with run.json and mirror.json")
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--machines", type=int, default=10)
    parser.add_argument("--stages", type=float, default=60.0, help="seconds of a run's stages")
    parser.add_argument("--json", type=Path, default=Path("day.json"), help="where the numbers go")
    arguments = parser.parse_args()
    console = Console()
    console.width = max(console.width, 120)
    ways, mirror = (
        beyond_stages(read(arguments.measured, "run.json")),
        mirrored(read(arguments.measured, "mirror.json")),
    )
    for missing, script in ((not ways, "run.py"), (mirror is None, "mirror.py")):
        if missing:
            console.print(
                f"{script.replace('.py', '.json')} is not in {arguments.measured}: benchmarks/{script} makes it"
            )
    costs = git_costs()
    git = {name: between(cost) for name, cost in costs.items()}
    said = "; ".join(
        f"{1000 * costs['push'][n]:.0f} ms to push one ref to {n}, {1000 * costs['list'][n]:.0f} to list" for n in SIZES
    )
    console.print(said)
    table = Table(
        "beyond the stages",
        "s",
        "",
        "busy",
        "wait p50, s",
        "p99",
        "full at, runs a day",
        "a design takes, h: p50",
        "p99",
    )
    found = {}
    for name, beyond in {"nothing": 0.0, **ways}.items():
        day = simulate(arguments.runs, arguments.machines, arguments.stages, max(0.0, beyond), git, mirror)
        table.add_section()
        hours = [percentile(day.answers, share) / 3600 for share in (0.5, 0.99)]
        for i, (what, used) in enumerate(day.resources.items()):
            share = used.busy / used.capacity / DAY
            waits = [percentile(used.waits, part) for part in (0.5, 0.99)]
            full = arguments.runs / share if share else float("inf")
            head = [name, f"{beyond:.2f}"] if i == 0 else ["", ""]
            tail = [f"{hour:.2f}" for hour in hours] if i == 0 else ["", ""]
            table.add_row(*head, what, f"{share:.1%}", *(f"{wait:.2f}" for wait in waits), f"{full:,.0f}", *tail)
            found.setdefault(name, {})[what] = {
                "busy": share,
                "wait_p50": waits[0],
                "wait_p99": waits[1],
                "full_at": full,
            }
        found[name] |= {"beyond": beyond, "design_hours_p50": hours[0], "design_hours_p99": hours[1]}
    console.print(table)
    facts = {"when": datetime.now().isoformat(timespec="seconds"), "cores": os.cpu_count(), "load": os.getloadavg()}
    content = {"facts": facts | vars(arguments), "git_seconds": costs, "mirror_seconds": mirror, "days": found}
    arguments.json.write_text(json.dumps(content, indent=2, default=str) + "\n")


if __name__ == "__main__":
    main()
