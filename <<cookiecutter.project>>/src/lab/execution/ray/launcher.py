"""The process that Ray's tasks belong to: `python -m lab.execution.ray.launcher FOLDER SETTINGS`.

It takes what is submitted, keeps as many runs in flight as were asked for, writes down what nodes report, and ends when
nothing has been left for a while.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from filelock import FileLock

from lab.execution.cluster import node_archive
from lab.execution.cluster.node.report import FolderReport
from lab.execution.cluster.node.run import STARTS_OVER
from lab.execution.cluster.tasks import read_json
from lab.execution.ray.engine import RaySettings, submissions

LOOK = 0.5  # seconds
LINGER = 20.0  # seconds in which another wave may come: connecting anew takes longer
UNITS = {"": 2**20, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}  # of memory, as Slurm counts it


class Launcher:
    """The runs in flight on a cluster that this process is connected to."""

    def __init__(self, folder: Path):
        import ray  # pyright: ignore[reportMissingImports]

        self.folder, self.ray = folder, ray
        self.program = node_archive.content()
        self.waiting: list[str] = []
        self.flying: dict[Any, str] = {}
        self.width: int | None = None
        self.reports: dict[str, FolderReport] = {}
        self.run = ray.remote(max_retries=3)(carry_out)  # where a node is lost, not where a run has failed
        here = ray.get_runtime_context().get_node_id()
        strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(here, soft=False)
        self.inbox = ray.remote(num_cpus=0, scheduling_strategy=strategy)(Inbox).remote()

    def work(self) -> None:
        """Until nothing is left."""
        idle = time.monotonic()
        while True:
            self.take()
            if (self.folder / "drop").exists():
                self.drop()
            while self.waiting and (self.width is None or len(self.flying) < self.width):
                self.submit(self.waiting.pop(0))
            self.collect()
            if self.flying or self.waiting:
                idle = time.monotonic()
            elif time.monotonic() - idle > LINGER:
                with FileLock(self.folder / "queue.lock"):  # in which others submit
                    if not submissions(self.folder):
                        return

    def take(self) -> None:
        """Take what was submitted."""
        for path in submissions(self.folder):
            asked = read_json(path)
            self.width = asked.get("width")
            self.waiting += asked.get("tasks", [])
            self.note()
            path.unlink(missing_ok=True)

    def submit(self, task: str) -> None:
        """Hand a run to Ray."""
        described = self.folder / "tasks" / task / "task.json"
        if not described.exists():  # it has been taken back
            return
        told = read_json(described)
        memory = {"memory": in_bytes(told["memory"])} if told["memory"] else {}
        run = self.run.options(name=task, num_cpus=told["cpus"], num_gpus=told["gpus"], **memory)
        self.flying[run.remote(self.program, described.read_text(), task, self.inbox)] = task

    def collect(self) -> None:
        """Write down what nodes have reported, and let go of what has ended."""
        ended: list[Any] = []
        if self.flying:
            ended, _ = self.ray.wait(list(self.flying), num_returns=len(self.flying), timeout=LOOK)
        else:
            time.sleep(LOOK)
        self.receive()
        for reference in ended:
            task = self.flying.pop(reference)
            try:
                code, said = self.ray.get(reference)
            except Exception as error:  # every loss has a kind of its own; the run is submitted again
                print(f"{task}: {error}", flush=True)
                continue
            self.receive()
            if self.state(task) != "over":
                print(f"{task}: ended with {code}: {said}", flush=True)
        self.note()

    def receive(self) -> None:
        """What has come in, from the newest attempt of each run alone."""
        for task, attempt, kind, value in self.ray.get(self.inbox.drain.remote()):
            folder = self.folder / "tasks" / task
            if not folder.is_dir():
                continue
            begins = kind == "note" and value["state"] == "running"
            again = begins and task in self.reports
            if begins:
                self.reports[task] = FolderReport(folder)
            report = self.reports.get(task)
            if report and report.attempt in ("", attempt):
                report(kind, value)
                if again and not read_json(folder / "task.json")["checkpoints"]:
                    report("log", STARTS_OVER)

    def drop(self) -> None:
        """Take back what no node is at."""
        self.waiting.clear()
        for reference, task in self.flying.items():
            if self.state(task) != "running":
                self.ray.cancel(reference, force=False)
        self.note()
        (self.folder / "drop").unlink(missing_ok=True)

    def state(self, task: str) -> str:
        return read_json(self.folder / "tasks" / task / "note.json").get("state", "")

    def note(self) -> None:
        """Write down what is waiting or with Ray, for others."""
        partial = self.folder / "launcher.new"
        partial.write_text(json.dumps({"tasks": [*self.waiting, *self.flying.values()]}))
        partial.replace(self.folder / "launcher.json")


class Inbox:
    """An actor on the launcher's node, to which nodes report."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str, Any]] = []

    def receive(self, *event: Any) -> None:
        self.events.append(event)

    def drain(self) -> list[tuple[str, str, str, Any]]:
        events, self.events = self.events, []
        return events


def carry_out(program: bytes, described: str, task: str, inbox: Any) -> tuple[int, str]:
    """What a node does: run the program, which has no need of lab, from memory, and report what it prints."""
    import json
    import os
    import subprocess
    import sys
    import tempfile

    import ray  # pyright: ignore[reportMissingImports]

    here = f"{os.uname().nodename}/{ray.get_runtime_context().get_node_id()[:6]}"
    environment = {**os.environ, "LAB_NODE": here, "LAB_PARENT": str(os.getpid())}
    attempt = ""
    with tempfile.TemporaryFile("w+") as errors, open(os.memfd_create("node"), "wb") as file:
        file.write(program)
        file.flush()
        process = subprocess.Popen(
            [sys.executable, f"/proc/self/fd/{file.fileno()}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
            pass_fds=[file.fileno()],
        )
        assert process.stdin and process.stdout
        process.stdin.write(described)
        process.stdin.close()
        for line in process.stdout:
            kind, value = json.loads(line)
            attempt = value["attempt"] if kind == "note" else attempt
            ray.get(inbox.receive.remote(task, attempt, kind, value))
        code = process.wait()
        errors.seek(0)
        return code, errors.read()[-2000:]


def in_bytes(memory: str) -> int:
    """`8G` in bytes."""
    match = re.fullmatch(r"(\d+)([KMGT]?)", memory)
    assert match, memory
    return int(match[1]) * UNITS[match[2]]


def main() -> None:
    import ray  # pyright: ignore[reportMissingImports]

    folder, settings = Path(sys.argv[1]), RaySettings.model_validate_json(sys.argv[2])
    os.environ.setdefault("RAY_AUTH_MODE", "token")  # nodes and drivers would else disagree on it
    ray.init(address=settings.address, namespace="lab", log_to_driver=False, include_dashboard=False)
    Launcher(folder).work()


if __name__ == "__main__":
    main()
