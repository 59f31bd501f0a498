"""Workers of our own: found, started and stopped. What each is at stands in a file, .dvc/tmp/lab/workers/NUMBER.json.

A worker belongs to the code and the environment that it was started with. Those of another are let go before anything
new is queued, so that no run is carried out by yesterday's code.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from filelock import FileLock

from lab.errors import UserError
from lab.execution.dvc import notes
from lab.execution.dvc.ending import end as end_processes
from lab.execution.dvc.ending import is_stopped, is_there, kill
from lab.execution.dvc.queue_tasks import Task
from lab.execution.worker import stage_packages
from lab.execution.worker.devices import lives

FOLDER = Path(".dvc/tmp/lab/workers")
PATIENCE = 5.0  # seconds for a worker to hear that it shall take nothing more
MUTE = 30.0  # seconds in which one that is at nothing should have said that it looks for work
STARTING = 60.0  # seconds that one may need to come to that, on a busy machine
# Variables that a session has of its own, and that no stage may care about.
OF_A_SESSION = re.compile(
    r"TERM\w*|COLORTERM|SSH_\w+|TMUX\w*|STY|WINDOWID|DISPLAY|WAYLAND_DISPLAY|XDG_SESSION_\w+|DBUS_SESSION_BUS_ADDRESS"
    r"|VSCODE_\w+|GPG_TTY|COLUMNS|LINES|LS_COLORS|SHLVL|PWD|OLDPWD|_|PS1|PROMPT\w*|VIRTUAL_ENV_PROMPT|HISTCONTROL"
    r"|INVOCATION_ID|JOURNAL_STREAM|PYTEST_CURRENT_TEST|DVC_STAGE|DVC_EXP_\w+"
)


class Worker(NamedTuple):
    """One that lives: its number, its process, what it was started with, and the id of the task that it is at.

    `created` is when it was started and `seen` when it has said something last, in seconds since the epoch.
    """

    number: int
    pid: int
    created: float
    fingerprint: str
    task: str
    stopping: bool
    seen: float

    @property
    def process(self) -> psutil.Process:
        """Raises psutil.NoSuchProcess."""
        return psutil.Process(self.pid)

    @property
    def is_mute(self) -> bool:
        """Whether it is at nothing, and doesn't look for work either."""
        now = time.time()
        return not self.task and now - self.seen > MUTE and now - self.created > STARTING

    def is_able(self, own: str) -> bool:
        """Whether it takes what is queued, with the fingerprint `own`."""
        with suppress(psutil.Error):
            return self.fingerprint == own and not (self.stopping or self.is_mute or is_stopped(self.process))
        return False

    @property
    def is_finishing(self) -> bool:
        """Whether it takes nothing more, and goes on with the run that it is at."""
        with suppress(psutil.Error):
            return self.stopping and bool(self.task) and not is_stopped(self.process)
        return False


def alive(root: Path) -> list[Worker]:
    """The workers of the project at `root`, whoever started them."""
    workers = []
    for path in sorted((root / FOLDER).glob("*.json")):
        with suppress(FileNotFoundError, json.JSONDecodeError, KeyError):
            known = json.loads(path.read_text())
            if lives(known["pid"], known["created"]):
                facts = known["pid"], known["created"], known["fingerprint"], known["task"], known["stopping"]
                workers.append(Worker(int(path.stem), *facts, path.stat().st_mtime))
    return workers


def note(root: Path, number: int, process: Any, fingerprint: str, task: str = "", stopping: bool = False) -> None:
    """Write what a worker is at."""
    facts = {"pid": process.pid, "created": process.create_time(), "fingerprint": fingerprint}
    notes.write(root / FOLDER / f"{number}.json", {**facts, "task": task, "stopping": stopping})


def look_alive(root: Path, number: int) -> None:
    """Say that a worker looks for work."""
    with suppress(OSError):
        os.utime(root / FOLDER / f"{number}.json")


def start(root: Path, count: int) -> list[subprocess.Popen[bytes]]:
    """Start workers of this code and environment until `count` are at work, with those that end after their run.

    Mute ones are ended.
    """
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    own, started = fingerprint(), []
    with FileLock(folder / "lock"):
        there = alive(root)
        end_processes(_mute(root), lambda process: process in _mute(root))
        missing = count - sum(worker.is_able(own) or worker.is_finishing for worker in there)
        taken = {worker.number for worker in there}
        free = (number for number in range(1, 1000) if number not in taken)
        for _ in range(missing):
            number = next(free)
            process = _start(root, number, own)
            note(root, number, psutil.Process(process.pid), own)
            started.append(process)
    return started


def _start(root: Path, number: int, own: str) -> subprocess.Popen[bytes]:
    # Where a run is left to DVC, it is started by the name `dvc`.
    folder = str(Path(sys.executable).parent)
    path = os.pathsep.join([folder, os.environ.get("PATH", "")])
    if shutil.which("dvc", path=path) is None:
        raise UserError(f"dvc was not found in {folder} or on PATH: make setup installs it")
    environment = _lasting(os.environ) | {"PATH": path, "PYTHONUNBUFFERED": "1", "PWD": str(root)}
    source = str(Path(__file__).parents[3])
    command = [sys.executable, "-c", MAIN, source, str(root), str(number), own]
    with (root / FOLDER / f"{number}.out").open("ab") as log:
        return subprocess.Popen(
            command,
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for lab, and closing the terminal is not for the experiments
        )


MAIN = (
    "import sys; sys.path.insert(0, sys.argv[1]); from lab.execution.dvc import worker_process; worker_process.main()"
)


def stop(workers: list[Worker]) -> None:
    """Ask workers to end after the runs that they are at."""
    for worker in workers:
        with suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGTERM)


def let_go_of_others(root: Path) -> None:
    """See to it that workers of another code or environment take nothing more: those at a run end after it."""
    until = time.monotonic() + PATIENCE
    own = fingerprint()
    while others := [worker for worker in alive(root) if worker.fingerprint != own and not worker.stopping]:
        stop(others)
        if time.monotonic() > until:  # such as one that is stopped: it hears before it takes anything, if at a run
            for process in processes(worker for worker in others if not worker.task):
                kill(process)
            return
        time.sleep(0.05)


def let_go_of_idle(root: Path, started: set[int], running: set[str]) -> None:
    """End those of the workers with these process ids that are at none of the `running` tasks, by their ids."""

    def idle() -> list[psutil.Process]:
        return processes(each for each in alive(root) if each.pid in started and each.task not in running)

    end_processes(idle(), lambda process: process in idle())


def _mute(root: Path) -> list[psutil.Process]:
    return processes(worker for worker in alive(root) if worker.is_mute)


def halted(root: Path, running: Iterable[Task]) -> list[psutil.Process]:
    """The workers that are stopped, and that no stage of the `running` tasks goes on for."""
    stages = {task.id: task.process.get("pid", 0) for task in running}

    def goes_on(worker: Worker) -> bool:
        stage = stages.get(worker.task, 0)
        return stage not in (0, worker.pid) and is_there(stage)

    idle = processes(worker for worker in alive(root) if not goes_on(worker))
    return [process for process in idle if is_stopped(process)]


def processes(workers: Iterable[Worker]) -> list[psutil.Process]:
    """Those of workers that still live."""
    found = []
    for worker in workers:
        with suppress(psutil.NoSuchProcess):
            found.append(worker.process)
    return found


def interrupt(root: Path, task: str) -> bool:
    """End the run with this task's id. Returns whether a worker of ours is at it."""
    found = [worker for worker in alive(root) if worker.task == task]
    for worker in found:
        with suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGINT)
    return bool(found)


def fingerprint() -> str:
    """What decides how a worker carries runs out: lab's code, the packages, and the environment."""
    source = Path(__file__).parents[2]
    files = [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(source.rglob("*.py"))]
    known = [files, stage_packages.installed(), sys.executable, sorted(_lasting(os.environ).items())]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:16]


def is_same_environment(environment: Mapping[str, str], since: float) -> bool:
    """Whether a process that was started at `since` has this one's variables, and packages that are still there."""
    is_unchanged = all(changed / 1e9 < since for _, changed in stage_packages.installed())
    return is_unchanged and _lasting(environment) == _lasting(os.environ)


def _lasting(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that a stage may care about."""
    return {name: value for name, value in environment.items() if not OF_A_SESSION.fullmatch(name)}
