"""DVC's queue workers: found, judged, started and ended.

A worker runs one experiment at a time and ends when the queue is empty. They are processes of their own: they outlive
`lab`, and `dvc queue status` and `dvc queue stop` know them. What one is at, it does not say; it is seen from what it
has started, and from the queue.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from lab.errors import UserError
from lab.execution.dvc import own_workers, queue_tasks, time_limit
from lab.execution.dvc.ending import end as end_processes
from lab.execution.dvc.ending import is_stopped
from lab.execution.dvc.queue_tasks import Task
from lab.execution.worker.devices import VISIBLE, visible_gpus
from lab.study import QUEUED

QUIET = 30.0  # seconds without a task taken or ended: a worker that is at nothing should have taken one, or have ended
STARTING = 60.0  # seconds that a worker may need to come to that, on a busy machine
HEARING = 2.0  # seconds until a worker that is at a run has heard that it shall take nothing more

SOURCES = Path(__file__).parents[3]
MAIN = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from lab.execution.dvc import dvc_worker_process; dvc_worker_process.main()"
)


class Worker(NamedTuple):
    """One of DVC's: its process, its name, and how it stands."""

    process: psutil.Process
    node: str
    is_fit: bool
    """Whether its environment and its packages are those of this process."""
    is_busy: bool
    """Whether it is at a run, or may be."""
    is_quiet: bool
    """Whether it is at nothing for longer than one that is in order."""

    @property
    def is_able(self) -> bool:
        """Whether it takes what is queued for this process."""
        return self.is_fit and not self.is_quiet and not is_stopped(self.process)


def alive(root: Path) -> list[psutil.Process]:
    """The workers' processes of the project at `root`, whoever started them."""
    return [process for process, _ in _processes(root)]


def _processes(root: Path) -> list[tuple[psutil.Process, list[str]]]:
    """The same, each with its command."""
    names, found = _node(root, ""), []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "queue-worker" in command and any(part.startswith(names) for part in command):
            found.append((process, command))
    return found


def judged(root: Path) -> list[Worker]:
    """How the workers of the project at `root` stand."""
    processes = _processes(root)
    if not processes:
        return []
    tasks = queue_tasks.read(root)
    running = [task for task in tasks if task.state == queue_tasks.RUNNING]
    unseen = bool(_unowned(root, running))  # before and after the experiment's process: any of them may be at it
    queued = [task.queued for task in tasks if task.state == QUEUED]
    moved = max((time for task in tasks if task.state != QUEUED for time in (task.taken, _past(task.ended))), default=0)
    quiet_since = max(moved, min(queued, default=0))
    own, names, now = own_workers.fingerprint(), _node(root, ""), time.time()
    workers = []
    for process, command in processes:
        with suppress(psutil.NoSuchProcess):
            busy = unseen or _runs_experiment(process)
            quiet = not busy and now - quiet_since > QUIET and now - process.create_time() > STARTING
            node = next(part for part in command if part.startswith(names))
            workers.append(Worker(process, node, _is_fit(process, command, own), busy, quiet))
    return workers


def _past(moment: float) -> float:
    """A time; 0 for one that has not come."""
    return moment if moment != float("inf") else 0.0


def _runs_experiment(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return any("exec-run" in child.cmdline() for child in process.children())
    return False


def _is_fit(process: psutil.Process, command: list[str], own: str) -> bool:
    """Whether a worker was started with the fingerprint `own`; by hand, with the environment that this process has."""
    if "exp" not in command:  # as in `dvc exp queue-worker`, which `dvc queue start` starts
        return command[-1] == own
    try:
        return own_workers.is_same_environment(process.environ(), process.create_time())
    except psutil.Error:
        return False


def start(root: Path, count: int) -> list[subprocess.Popen[bytes]]:
    """Start workers until `count` take what is queued; those of another environment or at nothing for long are let go.

    Each gets a GPU where there are several. Raises UserError without dvc.
    """
    workers = judged(root)
    quiet = (worker.process for worker in workers if worker.is_quiet)
    end_processes(quiet, lambda process: _is_idle(root, process))
    taken = {worker.node for worker in workers}
    free = (n for n in range(1, 1000) if _node(root, f"{n}@localhost") not in taken)
    return [_start(root, next(free)) for _ in range(count - sum(worker.is_able for worker in workers))]


def _start(root: Path, number: int) -> subprocess.Popen[bytes]:
    # DVC starts its experiments by the name `dvc`, and where PATH lacks it nothing runs and nothing complains.
    folder = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": os.pathsep.join([folder, os.environ.get("PATH", "")]), "PYTHONUNBUFFERED": "1"}
    if shutil.which("dvc", path=environment["PATH"]) is None:
        raise UserError(f"dvc was not found in {folder} or on PATH: make setup installs it")
    gpus = visible_gpus(os.environ.get(VISIBLE))
    if len(gpus) > 1:
        environment[VISIBLE] = gpus[(number - 1) % len(gpus)]
    log = root / ".dvc" / "tmp" / "exps" / "celery" / f"dvc-exp-worker-{number}.out"
    log.parent.mkdir(parents=True, exist_ok=True)
    node = _node(root, f"{number}@localhost")
    command = [sys.executable, "-c", MAIN, str(SOURCES), "queue-worker", node, own_workers.fingerprint()]
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


def let_go_of_others(root: Path) -> None:
    """See to it that workers of another environment take nothing more: those at a run end after it."""
    others = [worker for worker in judged(root) if not worker.is_fit]
    for worker in others:
        with suppress(psutil.Error):
            worker.process.terminate()
    psutil.wait_procs([worker.process for worker in others], HEARING)
    end_processes((worker.process for worker in others if not worker.is_busy), lambda each: _is_idle(root, each))


def let_go_of_idle(root: Path, started: set[int]) -> None:
    """End those of the workers with these process ids that are at nothing."""
    idle = [worker.process for worker in judged(root) if worker.process.pid in started and not worker.is_busy]
    end_processes(idle, lambda each: _is_idle(root, each))


def _is_idle(root: Path, process: psutil.Process) -> bool:
    return all(not worker.is_busy for worker in judged(root) if worker.process == process)


def end(task: Task) -> None:
    """End a running experiment. Its worker notes it as failed; DVC's own kill takes the next one along.

    A stage that were asked to end might do so with 0, and DVC would tell of a missing output.
    """
    process = runner(task)
    with suppress(psutil.NoSuchProcess):
        for part in (process.children(recursive=True) or [process]) if process else []:
            part.kill()


def runner(task: Task) -> psutil.Process | None:
    """The process that runs an experiment, which may outlive its worker; None before it starts and after it ends."""
    try:
        process = psutil.Process(task.process["pid"])
        # The number of a process that has ended may belong to another one by now.
        return process if any(task.commit in part for part in process.cmdline()) else None
    except (KeyError, psutil.Error):
        return None


def end_overdue(running: Iterable[Task]) -> None:
    """End those of the running tasks whose time is over, where DVC makes the experiment."""
    for task in running:
        if task.resources.seconds and (process := runner(task)):
            time_limit.end(task, process)


def lost(root: Path, running: list[Task]) -> tuple[list[Task], list[psutil.Process]]:
    """Those of the running tasks that nobody runs any more: their worker and the experiment's process are gone.

    And the workers that were asked for it and did not answer, as long as which no task is known to be lost.
    """
    idle = _unowned(root, running)
    if not idle:
        return [], []
    workers = {node: process for process, command in _processes(root) for node in command if _is_node(root, node)}
    if not workers:
        return [task for task in idle if not task.result.exists() and runner(task) is None], []
    if any(map(is_stopped, workers.values())):
        return [], []  # one may be at it, and doesn't answer
    return _disowned(root, idle, workers)


def halted(root: Path) -> list[psutil.Process]:
    """The workers that are stopped, and have no experiment's process that goes on."""
    return [process for process in alive(root) if is_stopped(process) and not _runs_experiment(process)]


def _unowned(root: Path, running: Iterable[Task]) -> list[Task]:
    """The tasks that no worker of ours is at, and that have no process."""
    idle = [task for task in running if runner(task) is None]
    owned = {worker.task for worker in own_workers.alive(root)} if idle else set()
    return [task for task in idle if task.id not in owned]


def _disowned(
    root: Path, idle: list[Task], workers: dict[str, psutil.Process]
) -> tuple[list[Task], list[psutil.Process]]:
    """The tasks that none of these workers says it is at: it is busy before and after the experiment's process, too."""
    from dvc.repo import Repo

    grace, patience = 10, 20  # seconds: from taking a task to being at it, and for an answer on a busy machine
    with Repo(str(root)) as repo:
        app = repo.experiments.celery_queue.celery
        replies = app.control.inspect(destination=list(workers), timeout=patience, limit=len(workers)).active() or {}
    silent = [process for node, process in workers.items() if node not in replies and process.is_running()]
    if silent:  # it may be the one
        return [], [process for process in silent if not _runs_experiment(process)]
    owned = {entry["id"] for entries in replies.values() for entry in entries}
    now = time.time()
    return [
        task
        for task in idle
        if task.id not in owned and not task.result.exists() and now - task.taken > grace and runner(task) is None
    ], []


def _is_node(root: Path, name: str) -> bool:
    return name.startswith(_node(root, ""))


def _node(root: Path, name: str) -> str:
    """A worker's name, as DVC makes it: it tells the project."""
    folder = str(root.resolve() / ".dvc" / "tmp" / "exps" / "celery")
    return f"dvc-exp-{hashlib.sha256(folder.encode()).hexdigest()[:6]}-{name}"
