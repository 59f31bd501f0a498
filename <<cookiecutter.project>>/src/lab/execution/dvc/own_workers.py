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
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from lab.errors import UserError
from lab.execution.dvc import notes
from lab.execution.worker import stage_packages
from lab.execution.worker.devices import lives

FOLDER = Path(".dvc/tmp/lab/workers")
PATIENCE = 5.0  # seconds for a worker to hear that it shall take nothing more
# Variables that a session has of its own, and that no stage may care about.
OF_A_SESSION = re.compile(
    r"TERM\w*|COLORTERM|SSH_\w+|TMUX\w*|STY|WINDOWID|DISPLAY|WAYLAND_DISPLAY|XDG_SESSION_\w+|DBUS_SESSION_BUS_ADDRESS"
    r"|VSCODE_\w+|GPG_TTY|COLUMNS|LINES|LS_COLORS|SHLVL|PWD|OLDPWD|_|PS1|PROMPT\w*|VIRTUAL_ENV_PROMPT|HISTCONTROL"
    r"|INVOCATION_ID|JOURNAL_STREAM|PYTEST_CURRENT_TEST|DVC_STAGE|DVC_EXP_\w+"
)


class Worker(NamedTuple):
    """One that lives: its number, its process, what it was started with, and the id of the task that it is at."""

    number: int
    pid: int
    fingerprint: str
    task: str
    stopping: bool


def alive(root: Path) -> list[Worker]:
    """The workers of the project at `root`, whoever started them."""
    workers = []
    for path in sorted((root / FOLDER).glob("*.json")):
        with suppress(FileNotFoundError, json.JSONDecodeError, KeyError):
            known = json.loads(path.read_text())
            if lives(known["pid"], known["created"]):
                workers.append(
                    Worker(int(path.stem), known["pid"], known["fingerprint"], known["task"], known["stopping"])
                )
    return workers


def note(root: Path, number: int, process: Any, fingerprint: str, task: str = "", stopping: bool = False) -> None:
    """Write what a worker is at."""
    facts = {"pid": process.pid, "created": process.create_time(), "fingerprint": fingerprint}
    notes.write(root / FOLDER / f"{number}.json", {**facts, "task": task, "stopping": stopping})


def start(root: Path, count: int) -> list[subprocess.Popen[bytes]]:
    """Start workers of this code and environment until `count` of them are alive."""
    import psutil

    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    own, started = fingerprint(), []
    with FileLock(folder / "lock"):
        there = alive(root)
        missing = count - sum(worker.fingerprint == own and not worker.stopping for worker in there)
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
    environment = {name: value for name, value in os.environ.items() if not OF_A_SESSION.fullmatch(name)}
    environment |= {"PATH": path, "PYTHONUNBUFFERED": "1", "PWD": str(root)}
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
    """See to it that workers of another code or environment take nothing more."""
    until = time.monotonic() + PATIENCE
    own = fingerprint()
    while others := [worker for worker in alive(root) if worker.fingerprint != own and not worker.stopping]:
        stop(others)
        if time.monotonic() > until:
            numbers = ", ".join(str(worker.pid) for worker in others)
            raise UserError(f"workers of another environment don't answer: end the processes {numbers}")
        time.sleep(0.05)


def let_go_of_idle(root: Path, started: set[int]) -> None:
    """Ask those of the workers with these process ids to end that are at nothing."""
    stop([worker for worker in alive(root) if worker.pid in started and not worker.task])


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
    installed = [(path, os.stat(path).st_mtime_ns) for path in sorted(stage_packages.INSTALLED) if os.path.isdir(path)]
    environment = sorted(item for item in os.environ.items() if not OF_A_SESSION.fullmatch(item[0]))
    return hashlib.sha256(json.dumps([files, installed, sys.executable, environment]).encode()).hexdigest()[:16]
