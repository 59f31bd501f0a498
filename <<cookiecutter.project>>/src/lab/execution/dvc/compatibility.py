"""Whether `fast_queue` queues what the installed DVC would: one experiment is queued both ways, and compared.

It happens in a scratch repository and a process of its own, once for each set of versions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab.execution import selftest

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
    return selftest.passed(root / NOTE, __name__, PACKAGES)


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
