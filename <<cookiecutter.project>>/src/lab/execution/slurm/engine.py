"""Runs as Slurm's job arrays. They outlive whoever submitted them, and the site's rules on queues and priorities hold.

An array's name says which list of tasks it is of, so that squeue alone tells what is there, whoever submitted it.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from lab.errors import UserError
from lab.execution.cluster import node_archive, settings
from lab.execution.cluster.remote import folder_key
from lab.execution.cluster.tasks import Task, read_json

ON_NODES = ("RUNNING", "COMPLETING", "SUSPENDED", "CONFIGURING", "STAGE_OUT", "STOPPED")


class SlurmSettings(settings.Settings):
    """A Slurm cluster."""

    partition: str | None = None
    time: str | None = None
    """The most that a run may take, as in sbatch --time: 30, 4:00:00, 2-0."""
    shards: Annotated[int, Field(ge=1)] | None = None
    """How many shards the site makes of a GPU (gres/shard): a part of one is asked for in them."""
    lines: list[str] = []
    """More options of sbatch, such as --account=vision."""


class Slurm:
    """A `lab.execution.cluster.engine.Engine`."""

    Settings = SlurmSettings

    def __init__(self, folder: Path, settings: SlurmSettings):
        self.folder, self.settings = folder, settings
        self.prefix = f"lab-{folder_key(folder)}-"

    def submit(self, tasks: Sequence[Task], width: int | None) -> None:
        arrays = self.folder / "arrays"
        arrays.mkdir(parents=True, exist_ok=True)
        alike: dict[tuple[str, ...], list[str]] = {}
        for task in tasks:
            alike.setdefault(tuple(self._resources(read_json(task.folder / "task.json"))), []).append(task.id)
        for resources, ids in alike.items():
            for begin in range(0, len(ids), self._largest):
                part = ids[begin : begin + self._largest]
                listed = "".join(f"{task}\n" for task in part)
                name = hashlib.sha256(listed.encode()).hexdigest()[:10]
                (arrays / name).write_text(listed)
                array = f"--array=0-{len(part) - 1}" + (f"%{width}" if width else "")
                self._call_sbatch(name, [*self.settings.lines, *resources, *self._names(name), array])

    def _call_sbatch(self, name: str, options: list[str]) -> None:
        asked = "".join(f"#SBATCH {option}\n" for option in options)
        command = shlex.join([str(self.folder / node_archive.FILE), str(self.folder), name])
        call("sbatch", stdin=f"#!/bin/sh\n{asked}exec {self._python} {command} $SLURM_ARRAY_TASK_ID\n")

    @property
    def _python(self) -> str:
        """What runs the program: any Python does."""
        return {None: sys.executable, "build": "python3"}.get(self.settings.python, str(self.settings.python))

    def _names(self, name: str) -> list[str]:
        return [
            f"--job-name={self.prefix}{name}",
            "--dependency=singleton",  # an array of the same tasks that was thought lost ends first
            "--requeue",
            "--open-mode=append",
            f"--output={self.folder}/arrays/{name}.%a.out",
        ]

    def _resources(self, task: Mapping[str, Any]) -> Iterator[str]:
        """The options for what a run takes of a node. Raises UserError."""
        yield f"--cpus-per-task={math.ceil(task['cpus'])}"
        gpus, shards = task["gpus"], self.settings.shards
        if 0 < gpus < 1:
            if shards is None:
                raise UserError(
                    f"{task['name']} takes {gpus} of a GPU, which Slurm gives in shards: shards in conf/cluster.yaml "
                    "says how many this site makes of one"
                )
            yield f"--gres=shard:{max(1, round(gpus * shards))}"
        elif gpus:
            yield f"--gres=gpu:{gpus:.0f}"
        for option in ("partition", "time"):
            if value := getattr(self.settings, option):
                yield f"--{option}={value}"
        if task["memory"]:
            yield f"--mem={task['memory']}"

    @cached_property
    def _largest(self) -> int:
        """How many tasks an array may have."""
        match = re.search(r"^MaxArraySize\s*=\s*(\d+)", call("scontrol", "show", "config"), re.MULTILINE)
        return max(1, int(match[1])) if match else 1000

    def alive(self) -> Mapping[str, bool]:
        found: dict[str, bool] = {}
        lists: dict[str, list[str]] = {}
        for job, index, name, state in self._jobs():
            del job
            if name not in lists:
                path = self.folder / "arrays" / name
                lists[name] = path.read_text().splitlines() if path.exists() else []
            if index.isdigit() and int(index) < len(lists[name]):
                task = lists[name][int(index)]
                found[task] = found.get(task, False) or state in ON_NODES
        return found

    def drop(self, running: bool) -> None:
        if jobs := sorted({job for job, *_ in self._jobs()}):
            call("scancel", *([] if running else ["--state=PENDING"]), *jobs, over="Invalid job id")

    def _jobs(self) -> Iterator[tuple[str, str, str, str]]:
        """The array's job, a task's number in it, the list of tasks and the state, of each that is not over."""
        for line in call("squeue", "--noheader", "--array", "--me", "--format=%F|%K|%j|%T").splitlines():
            job, index, name, state = line.split("|")
            if name.startswith(self.prefix):
                yield job, index, name.removeprefix(self.prefix), state


def call(*command: str, stdin: str | None = None, over: str = "") -> str:
    """What a command of Slurm's prints. Raises UserError, unless it failed saying `over`: a job ended meanwhile."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SBATCH_", "SQUEUE_"))}
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, env=environment)
    except FileNotFoundError as error:
        raise UserError(
            f"there is no {command[0]} here: lab run --on a Slurm cluster is called on its login node"
        ) from error
    if done.returncode and not (over and over in done.stderr):
        raise UserError(f"{command[0]}: {(done.stderr or done.stdout).strip()}")
    return done.stdout
