"""Whether `fast_queue` queues what the installed DVC would: one experiment is queued both ways, and compared.

It happens in a scratch repository and a process of its own, once for each set of versions.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

NOTE = Path(".dvc/tmp/lab/selftest.json")  # what came out, for these versions
PACKAGES = ("dvc", "dvc-task", "scmrepo", "celery", "kombu", "pygit2")
FILES = {
    ".dvc/config": "[core]\n    analytics = false\n",
    ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
    "dvc.yaml": "stages:\n  train:\n    cmd: echo train\n    params: [lr]\n",
    "params.yaml": "lr: 0.1\n",
}


def passed(root: Path) -> bool:
    """Whether the project at `root` may use `fast_queue`."""
    versions = {name: version(name) for name in PACKAGES}
    if not versions["dvc"].startswith("3."):
        return False
    note = root / NOTE
    known = json.loads(note.read_text()) if note.exists() else {}
    if known.get("versions") != versions:
        known = {"versions": versions, "passed": _try()}
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(known))
    return known["passed"]


def _try() -> bool:
    source = Path(__file__).parents[3]
    private = ("DVC_ROOT", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    environment = {name: value for name, value in os.environ.items() if name not in private}
    with tempfile.TemporaryDirectory(prefix="lab-selftest-") as folder:
        done = subprocess.run(
            [sys.executable, "-m", f"{__package__}.compatibility"],
            cwd=folder,
            env={**environment, "PYTHONPATH": str(source)},
            capture_output=True,
        )
    return done.returncode == 0


def main() -> None:
    """The test itself, in the working directory: queue `lr: 0.5` both ways. Raises AssertionError."""
    from dvc.repo import Repo
    from dvc.scm import Git

    from lab.execution.backend import Job
    from lab.execution.dvc import fast_queue, stock_queue

    root = Path.cwd()
    for name, content in FILES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(content)
    git = Git.init(str(root))
    git.add(list(FILES))
    git.commit("scratch")
    git.close()
    job = Job("name", {"lr": 0.5}, "train")
    with Repo(str(root)) as repo:
        ours, theirs = (_described(repo, way.put(repo, [job])) for way in (fast_queue, stock_queue))
    assert ours == theirs, (ours, theirs)


def _described(repo: Any, commits: list[str]) -> dict[str, Any]:
    """All that a worker will read of a queued experiment."""
    from dvc.repo.experiments.refs import CELERY_STASH

    (rev,) = commits
    git = repo.scm.pygit2.repo  # DVC's own, which reads trees and reflogs
    commit = git[rev]
    entry = next(entry for entry in repo.experiments.celery_queue.iter_queued() if entry.stash_rev == rev)
    (message,) = [m for m in repo.experiments.celery_queue.celery.iter_queued() if rev in str(m.decode())]
    return {
        "tree": commit.tree.id,
        "message": commit.message.strip(),
        "parents": [len(commit.parents), commit.parents[0].id],
        "entry": {**entry.asdict(), "stash_rev": None},
        "stash": repo.experiments.celery_queue.stash.stash_revs[rev][1:],
        "reflog": [str(line.message) for line in git.references[CELERY_STASH].log() if str(line.oid_new) == rev],
        "arguments": str(message.decode()).replace(rev, ""),
        "task": message.headers["task"],
    }


if __name__ == "__main__":
    main()
