"""Whether a worker of our own leaves DVC's queue as DVC's would: a run that ends well and one that fails, both ways.

It happens in scratch repositories and a process of its own, once for each set of versions; a second test of that kind
compares the experiments themselves.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from contextlib import chdir
from pathlib import Path
from typing import Any

from lab.execution import selftest
from lab.execution.dvc import compatibility
from lab.execution.worker import compatibility as checkout_compatibility

NOTE = Path(".dvc/tmp/lab/selftest-queue.json")  # what came out, for these versions
PACKAGES = (*compatibility.PACKAGES, "dvc-data", "dulwich")
FILES = {**compatibility.FILES, "dvc.yaml": "stages:\n  train:\n    cmd: exit ${code}\n    params: [code]\n"}
CODES = {"good": 0, "bad": 3}  # what the runs' stages end with, by name


def passed(root: Path) -> bool:
    """Whether the project at `root` may have workers of our own."""
    return checkout_compatibility.passed(root) and selftest.passed(root / NOTE, __name__, PACKAGES)


def main() -> None:
    """The test itself, in the working directory. Raises AssertionError."""
    from dvc.repo import Repo

    from lab.execution.backend import Job
    from lab.execution.dvc import fast_queue, notes, queue_tasks, worker_process

    logging.getLogger("dvc").setLevel(logging.CRITICAL)
    theirs, ours = Path("theirs").absolute(), Path("ours").absolute()
    checkout_compatibility.make(theirs, {**{k: v.encode() for k, v in FILES.items()}, "params.yaml": b"code: 0\n"})
    shutil.copytree(theirs, ours)
    for root in (theirs, ours):
        with chdir(root), Repo(str(root)) as repo:
            fast_queue.put(repo, [Job(name, {"code": code}, "train") for name, code in CODES.items()])
            for task in queue_tasks.read(root) if root == theirs else []:
                order = notes.take(task)
                assert order is not None
                worker_process.by_dvc(order)
                repo.experiments.celery_queue.celery.backend.mark_as_done(task.id, None)
    worker = worker_process.Worker(ours, 1, "")
    worker_process.LINGER = 1.0
    worker.work()
    one, other = described(theirs), described(ours)
    assert one == other, f"{one}\n{other}"


def described(root: Path) -> dict[str, Any]:
    """What `dvc queue` says of the runs, and what lies in its files, without times, places and processes."""
    from dvc.repo import Repo

    from lab.execution.dvc import queue_tasks

    with Repo(str(root)) as repo:
        queue = repo.experiments.celery_queue
        status = sorted((row["name"], row["status"]) for row in queue.status())
        failed = sorted(entry.name or "" for entry in queue.failed_stash.stash_revs.values())
        queued = len(queue.stash.stash_revs)
    files = {}
    for task in queue_tasks.read(root):
        result = json.loads(task.result.read_bytes())
        own = {"root_dir", "git_url", "result_hash"}  # of each its own
        executor = {name: value for name, value in task.executor.items() if name not in own}
        lines = task.log.read_text().splitlines()
        said = [line for line in lines if re.search(r"Running stage|^> |failed to run", line)]
        files[task.name] = {
            "executor": executor,
            "keys": sorted(task.executor),
            "process": [
                sorted(task.process),
                task.process["returncode"],
                Path(task.process["stdout"]).name == task.log.name,
            ],
            "result": [sorted(set(result) - {"date_done"}), result["status"]],
            "said": list(dict.fromkeys(line.removeprefix("ERROR: ") for line in said)),
        }
    return {"status": status, "failed": failed, "queued": queued, "files": files}


if __name__ == "__main__":
    main()
