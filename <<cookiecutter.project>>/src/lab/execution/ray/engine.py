"""Runs as Ray's tasks: Ray finds a node for each, and another one where a node is lost.

Ray ends what it does for a process that has ended. So tasks belong to a process of their own, the launcher, which
outlives `lab run`; where it dies, nothing runs any more, and what has not come to an end is submitted to another.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psutil

from lab.errors import UserError
from lab.execution.cluster import settings
from lab.execution.cluster.tasks import Task, read_json

PATIENCE = 30.0  # seconds for the launcher to do what it is asked


class RaySettings(settings.Settings):
    """A Ray cluster."""

    address: str | None = None
    """Where it is, such as 10.0.0.5:6379; left out, what RAY_ADDRESS names, the one of this machine, or a new one."""


class Ray:
    """A `lab.execution.cluster.engine.Engine`."""

    Settings = RaySettings

    def __init__(self, folder: Path, settings: RaySettings):
        self.folder, self.settings = folder, settings

    def submit(self, tasks: Sequence[Task], width: int | None) -> None:
        if find_spec("ray") is None:
            raise UserError("Ray is not installed: pip install 'ray==…' as the extra ray in pyproject.toml has it")
        arrays = self.folder / "arrays"
        arrays.mkdir(parents=True, exist_ok=True)
        path = arrays / f"{time.time_ns():020d}"
        partial = path.with_suffix(".new")
        partial.write_text(json.dumps({"width": width, "tasks": [task.id for task in tasks]}))
        partial.rename(path)
        self._launch()

    def _launch(self) -> None:
        """Start the launcher unless it is there: whoever has the lock is it, from before its first line on."""
        lock = os.open(self.folder / "launcher.lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return
        (self.folder / "launcher.json").unlink(missing_ok=True)  # what one that died was at
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([_source(), os.environ.get("PYTHONPATH", "")])}
        command = [
            sys.executable,
            "-m",
            "lab.execution.ray.launcher",
            str(self.folder),
            self.settings.model_dump_json(),
        ]
        with (self.folder / "launcher.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[lock],
                start_new_session=True,  # Ctrl-C is for lab, and closing the terminal is not for the runs
            )
        (self.folder / "launcher.pid").write_text(str(process.pid))
        os.close(lock)

    def alive(self) -> Mapping[str, bool]:
        if not self._is_there():
            return {}
        submitted = [read_json(path).get("tasks", []) for path in submissions(self.folder)]
        taken = read_json(self.folder / "launcher.json").get("tasks", [])
        tasks = {*taken, *(task for part in submitted for task in part)}
        return {task: self._state(task) == "running" for task in tasks}

    def _state(self, task: str) -> str:
        return read_json(self.folder / "tasks" / task / "note.json").get("state", "")

    def drop(self, running: bool) -> None:
        if running:
            self._end()
            return
        (self.folder / "drop").touch()
        until = time.monotonic() + PATIENCE
        while self._is_there() and (self.folder / "drop").exists() and time.monotonic() < until:
            time.sleep(0.1)
        (self.folder / "drop").unlink(missing_ok=True)

    def _end(self) -> None:
        """End the launcher, and all that runs with it."""
        with suppress(FileNotFoundError, psutil.NoSuchProcess):
            process = psutil.Process(int((self.folder / "launcher.pid").read_text()))
            if str(self.folder) in process.cmdline():  # and no other that has its number by now
                process.terminate()
                _, left = psutil.wait_procs([process], timeout=PATIENCE)
                for late in left:
                    late.kill()
        for path in submissions(self.folder):
            path.unlink(missing_ok=True)

    def _is_there(self) -> bool:
        """Whether the launcher lives."""
        path = self.folder / "launcher.lock"
        if not path.exists():
            return False
        with path.open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False


def submissions(folder: Path) -> list[Path]:
    """What the launcher has not taken yet, the older first."""
    arrays = folder / "arrays"
    return sorted(path for path in arrays.iterdir() if path.suffix == "") if arrays.is_dir() else []


def _source() -> str:
    """The folder that lab is imported from."""
    return str(Path(__file__).parents[3])
