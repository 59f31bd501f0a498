"""One of DVC's own workers: its Celery, its queue and its executor, and an end that is sure.

`dvc exp queue-worker` has a thread that asks the worker by message whether it is at something, and dies of an answer
that is half written; the worker then lives for ever. Here the thread looks for itself.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

from lab.execution.dvc import queue_tasks, workers
from lab.study import QUEUED


def end_when_idle(root: Path, patience: float) -> None:
    """End this process by Celery's warm shutdown once nothing is queued, and nothing is taken: looked at so often.

    Runs that are over their time are ended as well.
    """
    from celery.worker import state

    while True:
        time.sleep(patience)
        taken = state.reserved_requests or state.active_requests
        tasks = queue_tasks.read(root)
        workers.end_overdue(task for task in tasks if task.state == queue_tasks.RUNNING)
        if not taken and not any(task.state == QUEUED for task in tasks):
            os.kill(os.getpid(), signal.SIGTERM)


def write_settings_in_utf8() -> None:
    """Have DVC's executor, in this process, write the settings of git and DVC into its checkouts in UTF-8.

    They are in ASCII otherwise, and fail where the project lies below a folder `übung`, or a user's name is Zoë.
    """
    from configobj import ConfigObj
    from dvc.repo.experiments.executor import local

    local.__dict__["ConfigObj"] = partial(ConfigObj, encoding="utf-8")


def main() -> None:
    """The process: [source, "queue-worker", node, fingerprint], in the project's folder."""
    from dvc.repo import Repo

    write_settings_in_utf8()
    node = sys.argv[3]
    with Repo() as repo:
        worker = repo.experiments.celery_queue.worker
        worker.monitor = lambda name: end_when_idle(Path(repo.root_dir), worker.timeout)
        worker.start(node, fsapp_clean="-1@" in node)
