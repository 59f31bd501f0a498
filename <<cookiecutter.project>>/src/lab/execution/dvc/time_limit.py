"""Runs that take longer than their design allows: ended, which their log tells."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from lab.execution.dvc.queue_tasks import Task
from lab.study import OVER_TIME

GRACE = 10.0  # seconds from being asked to end to being killed


class TimeLimit:
    """The time limit of a run, while it is open. `stage` gives the process group of the stage that runs, or 0."""

    def __init__(self, task: Task, stage: Callable[[], int]):
        self.task, self.stage = task, stage
        self.is_over = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._wait, daemon=True)

    def __enter__(self) -> TimeLimit:
        if self.task.resources.seconds:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def _wait(self) -> None:
        if self._ended.wait(self.task.resources.seconds):
            return
        self.is_over = True
        note(self.task)
        self._end(signal.SIGTERM)
        if not self._ended.wait(GRACE):
            self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if stage := self.stage():
            with suppress(ProcessLookupError):
                os.killpg(stage, number)


def end(task: Task, process: psutil.Process) -> None:
    """End a run whose experiment is made by `process`, one of DVC's, where its time is over."""
    over = time.time() - task.taken - (task.resources.seconds or float("inf"))
    with suppress(psutil.NoSuchProcess):
        parts = process.children(recursive=True)
        if over > GRACE:
            for part in parts:
                part.kill()
        elif over > 0 and parts:
            note(task)
            for part in parts:
                part.terminate()


def note(task: Task) -> None:
    """Say so in the log, once."""
    with suppress(OSError):
        if OVER_TIME not in task.log.read_text(errors="replace"):
            with task.log.open("a") as log:
                log.write(f"{OVER_TIME}: {task.resources.timeout}\n")
