"""A worker: takes what is in DVC's queue, one task at a time, and makes an experiment of each, until nothing is left.

It keeps DVC imported, a checkout, and processes that have the stages' packages. What it cannot carry out as DVC would,
it leaves to DVC's own executor. Killed at any line, it leaves a task that nobody is at, which `repair` puts right.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, TextIO, TypeVar

import psutil

from lab.execution.dvc import notes, own_workers, queue_tasks
from lab.execution.dvc.dvc_worker_process import write_settings_in_utf8
from lab.execution.dvc.locks import patiently
from lab.execution.dvc.mailbox import Mailbox
from lab.execution.dvc.queue_tasks import Task
from lab.execution.dvc.time_limit import TimeLimit
from lab.execution.worker import carry_out, stages
from lab.execution.worker.devices import Devices
from lab.git import Repository, experiment_ref
from lab.study import QUEUED

LOOK = 0.2  # seconds between two looks for a task
LINGER = 5.0  # seconds that it waits for more, so that a next wave needs no new start
HEARING = 1.5  # seconds after a run was ended from outside: `dvc queue stop --kill` is heard before the next is taken
DISK_FULL = 10.0  # seconds between two tries to note something

Result = TypeVar("Result")


class Worker:
    """Worker `number` of the project at `root`. `fingerprint` is what it was started with."""

    def __init__(self, root: Path, number: int, fingerprint: str):
        from dvc.repo import Repo

        self.root, self.number, self.fingerprint = root, number, fingerprint
        self.process = psutil.Process()
        self.stopping = self.interrupted = False
        self.task: Task | None = None
        self.stage = 0  # the process that runs a stage
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._interrupt)
        lab = root / ".dvc" / "tmp" / "lab"
        self.checkout = carry_out.Checkout(root, lab / "checkouts" / str(number))
        end_leftovers(self.checkout.folder)
        self._note()
        self.repo = Repo(str(root))
        self.queue = self.repo.experiments.celery_queue
        above = os.path.relpath(root, self.repo.scm.root_dir)
        self.prefix = "" if above == "." else above
        self.devices = Devices(lab)
        self.runner = stages.Runner(lab / "recipes", self._began)
        self.notes: notes.RunNotes | None = None
        self.mailbox = Mailbox(self.queue.celery, f"lab-{number}@localhost", self._active, self._ask_to_stop)

    def work(self) -> None:
        """Carry out what is queued, until nothing has been for a while."""
        gc.freeze()
        until = time.monotonic() + LINGER
        while not self.stopping and time.monotonic() < until:
            task = next((task for task in queue_tasks.read(self.root) if task.state == QUEUED), None)
            variables = self.devices.take(task.resources) if task else None
            if task is not None and (variables is None or self._carry_out(task, variables)):
                if self.interrupted:
                    time.sleep(HEARING)
                    self.interrupted = False
                until = time.monotonic() + LINGER  # a task that waits for a GPU is waited for
            if task is None or variables is None:
                own_workers.look_alive(self.root, self.number)
                time.sleep(LOOK)
        self.close()

    def close(self) -> None:
        """End what belongs to it."""
        self.mailbox.close()
        self.runner.close()
        self.checkout.close()
        self.devices.give_back()
        if len(own_workers.alive(self.root)) == 1:
            self.queue.celery.clean()  # the questions and answers of mailboxes pile up
        (self.root / own_workers.FOLDER / f"{self.number}.json").unlink(missing_ok=True)

    def _carry_out(self, task: Task, variables: Mapping[str, str]) -> bool:
        """Take a task and see it to its end. Returns whether it was there to be taken."""
        self.task, self.interrupted = task, False
        persistently(self._note)  # before it is taken: a task that nobody says to be at is put back
        try:
            order = notes.take(task)
            if order is None:
                return False
            if order.copy_paths or order.message:
                self._leave_to_dvc(order, variables)
            else:
                self._make(task, order, variables)
        finally:
            self.task = None
            self.devices.give_back()
            persistently(self._note)
        return True

    def _make(self, task: Task, order: notes.Order, variables: Mapping[str, str]) -> None:
        """Carry a task out in the checkout, note what came of it."""
        run = persistently(lambda: notes.RunNotes(task, self.root, self.prefix, self.checkout.folder / "tree"))
        persistently(lambda: run.running(os.getpid()))
        self.notes = run
        try:
            self._leave_stash(order)
            commit = self._experiment(task, variables)
        except carry_out.Unsupported as reason:
            print(f"{task.name}: {reason}: left to DVC", flush=True)
            self.notes = None
            task.log.unlink(missing_ok=True)
            self._leave_to_dvc(order, variables)
            return
        if commit is None:
            patiently(lambda: self.queue.stash_failed(self._entry(order)))
            persistently(run.failed)
        else:
            message = Repository(self.root).message(commit)
            persistently(lambda: run.finished(message.split()[-1], experiment_ref(task.baseline, task.name)))
        self.notes = None

    def _experiment(self, task: Task, variables: Mapping[str, str]) -> str | None:
        """The experiment's commit; None where it came to nothing, and then the log says why. Raises Unsupported."""
        try:
            with task.log.open("a", encoding="utf-8", buffering=1) as log:
                return self._carried_out(task, variables, log)
        except (carry_out.Unsupported, carry_out.StageFailed) as end:
            if isinstance(end, carry_out.Unsupported):
                raise
        except Exception as error:  # a worker outlives whatever a run meets, such as a full disk
            print(f"{task.name}: {error!r}", flush=True)
            with suppress(OSError), task.log.open("a", encoding="utf-8") as log:
                log.write(f"ERROR: unexpected error - {error!r}\n")
        return None

    def _carried_out(self, task: Task, variables: Mapping[str, str], log: TextIO) -> str:
        asked = read_request(self.root, task)
        own = {"DVC_ROOT": str(self.root), "DVC_EXP_NAME": task.name, "DVC_EXP_BASELINE_REV": task.baseline}

        def run(command: carry_out.Command) -> int:
            if self.interrupted or limit.is_over:
                return -signal.SIGTERM
            environment = {**os.environ, **command.environment, **variables, "DVC_STAGE": command.stage}
            code = self.runner.run(command.text, command.folder, {**environment, "PWD": str(command.folder)}, log)
            if self.interrupted and code >= 0:  # programs that take the signal end as they like, with 0 as well
                return -signal.SIGTERM
            self.interrupted |= code in (-signal.SIGINT, -signal.SIGTERM, -signal.SIGKILL)
            return code

        with TimeLimit(task, lambda: self.stage) as limit:
            return self.checkout.carry_out(carry_out.Task(task.name, task.commit, task.baseline, asked, own), run, log)

    def _leave_stash(self, order: notes.Order) -> None:
        """Take the task off the list of what is queued."""
        from dvc.repo.experiments.queue.base import BaseStashQueue

        patiently(lambda: BaseStashQueue.get_stash_entry(self.repo.experiments, self._entry(order)))

    def _leave_to_dvc(self, order: notes.Order, variables: Mapping[str, str]) -> None:
        """Have DVC's own executor make the experiment: a temporary checkout, and a process of its own."""
        assert self.task is not None
        before = dict(os.environ)
        os.environ.update(variables)
        try:
            by_dvc(order)
            self.queue.celery.backend.mark_as_done(self.task.id, None)
        except Exception as error:
            print(f"{self.task.name}: {error!r}", flush=True)
            self.queue.celery.backend.mark_as_failure(self.task.id, None)
        finally:
            os.environ.clear()
            os.environ.update(before)

    def _entry(self, order: notes.Order) -> Any:
        from dvc.repo.experiments.queue.base import QueueEntry

        return QueueEntry.from_dict(dict(order.entry))

    def _began(self, pid: int) -> None:
        self.stage = pid
        if self.notes is not None:
            run = self.notes
            persistently(lambda: run.process(pid or os.getpid()))
        if pid and self.interrupted:
            self._end_stage()

    def _active(self) -> dict[str, Any] | None:
        task = self.task
        return {"id": task.id, "name": "dvc.repo.experiments.queue.tasks.run_exp", "args": []} if task else None

    def _note(self) -> None:
        task, stopping = self.task.id if self.task else "", None
        while stopping != self.stopping:  # a signal may come meanwhile
            stopping = self.stopping
            own_workers.note(self.root, self.number, self.process, self.fingerprint, task, stopping)

    def _ask_to_stop(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """End after the task."""
        self.stopping = True
        with suppress(OSError):
            self._note()

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """End the run: it becomes a failed one."""
        self.interrupted = True
        self._end_stage()

    def _end_stage(self) -> None:
        if self.stage:
            with suppress(ProcessLookupError):
                os.killpg(self.stage, signal.SIGTERM)


def by_dvc(order: notes.Order) -> None:
    """Carry a task out as DVC's workers do."""
    write_settings_in_utf8()
    import_module("dvc_task.proc.tasks")  # which Celery looks for
    from dvc.repo.experiments.queue.tasks import run_exp

    run_exp(order.entry, copy_paths=order.copy_paths, message=order.message)


def end_leftovers(folder: Path) -> None:
    """End what a worker that was killed has left running in its checkout."""
    for process in psutil.process_iter(["cwd"]):
        if (process.info["cwd"] or "").startswith(str(folder)):
            with suppress(psutil.Error):
                process.kill()


def read_request(root: Path, task: Task) -> tuple[str, ...]:
    """The stages that a task asks for. Raises Unsupported for what only DVC's own executor knows to do."""
    import pickle

    packed = Repository(root).read(task.commit, ".dvc/tmp/repro.dat")
    if packed is None:
        return ()
    asked = pickle.loads(packed)  # DVC's own, and from the user's repository
    named = asked["kwargs"]
    targets = named.get("targets") or (asked["args"][0] if asked["args"] else None) or ()
    usual = {"targets": targets, "run_env": named.get("run_env"), "on_error": "fail"}
    others = {name: value for name, value in named.items() if value and value != usual.get(name)}
    if others:
        raise carry_out.Unsupported(f"asked for with {', '.join(sorted(others))}")
    return (targets,) if isinstance(targets, str) else tuple(targets)


def persistently(action: Callable[[], Result]) -> Result:
    """Do what a full disk may hinder, as soon as there is room again."""
    while True:
        try:
            return action()
        except OSError as error:
            print(f"{error}: tried again in {DISK_FULL:.0f} s", file=sys.stderr, flush=True)
            time.sleep(DISK_FULL)


def main() -> None:
    """The process: [source, root, number, fingerprint]."""
    _, _, root, number, fingerprint = sys.argv
    Worker(Path(root), int(number), fingerprint).work()


if __name__ == "__main__":
    main()
