"""GPUs and cores of this machine, counted: a run gets what its design says it takes, or waits.

What is taken stands in one file a project, with the process that took it, so that a crash gives everything back.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock

from lab.design.resources import Resources

VISIBLE = "CUDA_VISIBLE_DEVICES"
ROUNDING = 1e-6


class Devices:
    """What there is on this machine, and who has it.

    Args:
        folder: where it is noted what is taken.
        gpus: the GPUs that may be used, by number or id; left out, those that CUDA_VISIBLE_DEVICES or the driver names.
        cores: how many cores there are; left out, those that this process may use.
    """

    def __init__(self, folder: Path, gpus: list[str] | None = None, cores: int | None = None):
        self.path = folder / "devices.json"
        self.gpus = visible_gpus(os.environ.get(VISIBLE)) if gpus is None else gpus
        self.cores = usable_cores() if cores is None else cores

    def room(self, resources: Resources) -> int | None:
        """How many runs that take so much there can be at a time; None where nothing is counted."""
        limits = []
        if resources.gpus:
            one = resources.gpus
            by_gpu = len(self.gpus) * int(1 / one + ROUNDING) if one <= 1 else len(self.gpus) // int(one)
            limits.append(by_gpu)
        if resources.cpus:
            limits.append(int(self.cores / resources.cpus + ROUNDING))
        return min(limits, default=None)

    def take(self, resources: Resources) -> dict[str, str] | None:
        """Take so much for this process, in place of its last: its stages' variables; None where it isn't free."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self.path}.lock"):
            others = [entry for entry in self._taken() if entry["pid"] != os.getpid()]
            if resources.cpus:
                used = sum(entry["cpus"] for entry in others)
                if used + resources.cpus > self.cores + ROUNDING:
                    return None
            chosen = self._choose([entry["gpus"] for entry in others], resources)
            if chosen is None:
                return None
            own = {"pid": os.getpid(), "created": psutil.Process().create_time()}
            self._write([*others, {**own, "gpus": chosen, "cpus": resources.cpus or 0.0}])
        if resources.gpus is None and len(self.gpus) < 2:
            return {}  # as it is
        return {VISIBLE: ",".join(chosen)}

    def give_back(self) -> None:
        """Give back what this process has."""
        with FileLock(f"{self.path}.lock"):
            self._write([entry for entry in self._taken() if entry["pid"] != os.getpid()])

    def _choose(self, taken: list[dict[str, float]], resources: Resources) -> dict[str, float] | None:
        """Which GPUs, with how much of each; None where they aren't free."""
        if not resources.gpus and (resources.gpus == 0 or not self.gpus):
            return {}
        load = {gpu: sum(each.get(gpu, 0.0) for each in taken) for gpu in self.gpus}
        if resources.gpus is None:  # not counted, but spread
            users = {gpu: sum(gpu in each for each in taken) for gpu in self.gpus}
            return {min(load, key=lambda gpu: (load[gpu], users[gpu])): 0.0}
        if resources.gpus > 1:
            free = [gpu for gpu in load if load[gpu] < ROUNDING]
            count = int(resources.gpus)
            return dict.fromkeys(free[:count], 1.0) if len(free) >= count else None
        fits = [gpu for gpu in load if load[gpu] + resources.gpus <= 1 + ROUNDING]
        return {max(fits, key=lambda gpu: load[gpu]): resources.gpus} if fits else None  # whole ones stay whole

    def _taken(self) -> list[dict[str, Any]]:
        try:
            entries = json.loads(self.path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return []
        return [entry for entry in entries if lives(entry["pid"], entry["created"])]

    def _write(self, entries: Iterable[dict[str, Any]]) -> None:
        temporary = self.path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(list(entries)))
        temporary.replace(self.path)


def lives(pid: int, created: float) -> bool:
    """Whether a process is there, and not another one that has its number by now."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - created) < 0.1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def usable_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def visible_gpus(visible: str | None) -> list[str]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves, which is given; all where it is not set."""
    if visible is not None:
        return [gpu.strip() for gpu in visible.split(",") if gpu.strip()]
    if shutil.which("nvidia-smi") is None:
        return []
    listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True).stdout
    return [str(number) for number, line in enumerate(listing.splitlines()) if line.startswith("GPU ")]
