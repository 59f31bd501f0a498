"""DVC's queue workers: found, started and stopped.

A worker runs one experiment at a time and ends when the queue is empty. They are processes of their own: they outlive
`lab`, and `dvc queue status` and `dvc queue stop` know them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from lab.errors import UserError
from lab.execution.dvc import own_workers
from lab.execution.dvc.queue_tasks import Task
from lab.execution.worker.devices import VISIBLE, visible_gpus


def alive(root: Path) -> list[psutil.Process]:
    """The workers of the project at `root`, whoever started them."""
    names = _node(root, "")
    processes = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "queue-worker" in command and any(part.startswith(names) for part in command):
            processes.append(process)
    return processes


def check_path(root: Path) -> None:
    """Raises UserError: DVC writes the cache's path in ASCII into the checkout of each queued run, and fails."""
    if not str(root).isascii():
        letters = "".join(dict.fromkeys(letter for letter in str(root) if not letter.isascii()))
        raise UserError(
            f"the project lies in {root}, and DVC's queue can't work in a path with {letters}: move it to one of plain "
            "letters, such as without accents"
        )


def start(root: Path, count: int) -> list[subprocess.Popen[bytes]]:
    """Start workers until `count` are alive. Each gets a GPU where there are several. Raises UserError without dvc."""
    taken = [part for process in alive(root) for part in process.info["cmdline"]]
    free = (n for n in range(1, 1000) if _node(root, f"{n}@localhost") not in taken)
    return [_start(root, next(free)) for _ in range(count - len(alive(root)))]


def _start(root: Path, number: int) -> subprocess.Popen[bytes]:
    # DVC starts its experiments by the name `dvc`, and where PATH lacks it nothing runs and nothing complains.
    folder = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": os.pathsep.join([folder, os.environ.get("PATH", "")]), "PYTHONUNBUFFERED": "1"}
    dvc = shutil.which("dvc", path=environment["PATH"])
    if dvc is None:
        raise UserError(f"dvc was not found in {folder} or on PATH: make setup installs it")
    gpus = visible_gpus(os.environ.get(VISIBLE))
    if len(gpus) > 1:
        environment[VISIBLE] = gpus[(number - 1) % len(gpus)]
    log = root / ".dvc" / "tmp" / "exps" / "celery" / f"dvc-exp-worker-{number}.out"
    command = [dvc, "exp", "queue-worker", _node(root, f"{number}@localhost"), *(["--clean"] if number == 1 else [])]
    with log.open("ab") as file:
        return subprocess.Popen(
            command,
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for lab, and closing the terminal is not for the experiments
        )


def stop(root: Path) -> list[psutil.Process]:
    """Ask the workers to end after the experiment that they are at. Returns them."""
    processes = alive(root)
    for process in processes:
        process.terminate()  # Celery's warm shutdown
    return processes


def end(task: Task) -> None:
    """End a running experiment. Its worker notes it as failed; DVC's own kill takes the next one along."""
    process = runner(task)
    with suppress(psutil.NoSuchProcess):
        for part in (process.children(recursive=True) or [process]) if process else []:
            part.terminate()


def runner(task: Task) -> psutil.Process | None:
    """The process that runs an experiment, which may outlive its worker; None before it starts and after it ends."""
    try:
        process = psutil.Process(task.process["pid"])
        # The number of a process that has ended may belong to another one by now.
        return process if any(task.commit in part for part in process.cmdline()) else None
    except (KeyError, psutil.Error):
        return None


def lost(root: Path, running: list[Task]) -> list[Task]:
    """Those of the running tasks that nobody runs any more: their worker and the experiment's process are gone."""
    idle = [task for task in running if runner(task) is None]
    owned = {worker.task for worker in own_workers.alive(root)}
    idle = [task for task in idle if task.id not in owned]
    if not idle:
        return []
    workers = alive(root)
    if not workers:
        return [task for task in idle if not task.result.exists() and runner(task) is None]
    names = [part for worker in workers for part in worker.info["cmdline"] if part.startswith(_node(root, ""))]
    return _disowned(root, idle, names)


def _disowned(root: Path, idle: list[Task], workers: list[str]) -> list[Task]:
    """The tasks that none of these workers says it is at: it is busy before and after the experiment's process, too."""
    from dvc.repo import Repo

    grace, patience = 10, 20  # seconds: from taking a task to being at it, and for an answer on a busy machine
    with Repo(str(root)) as repo:
        app = repo.experiments.celery_queue.celery
        replies = app.control.inspect(destination=workers, timeout=patience, limit=len(workers)).active() or {}
    if len(replies) < len(workers):
        return []  # one did not answer: it may be the one
    owned = {entry["id"] for entries in replies.values() for entry in entries}
    now = time.time()
    return [
        task
        for task in idle
        if task.id not in owned and not task.result.exists() and now - task.taken > grace and runner(task) is None
    ]


def _node(root: Path, name: str) -> str:
    """A worker's name, as DVC makes it: it tells the project."""
    folder = str(root.resolve() / ".dvc" / "tmp" / "exps" / "celery")
    return f"dvc-exp-{hashlib.sha256(folder.encode()).hexdigest()[:6]}-{name}"
