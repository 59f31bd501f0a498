"""Runs put into DVC's queue: all of them or none, in order, never twice."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pygit2
import yaml
from filelock import FileLock

from lab.errors import UserError
from lab.execution.dvc import compatibility
from lab.records import commit
from lab.records import record as records

if TYPE_CHECKING:
    from dvc.repo import Repo

    from lab.design.plan import Run
    from lab.execution.dvc.fast_queue import Item

LOCKED = 60  # seconds to wait for DVC's locks, which a worker holds for a moment at each experiment's start and end


def ready(root: Path) -> str:
    """The commit that runs are queued on: HEAD. Raises UserError where an experiment would not be what is seen here."""
    try:
        git = commit.repository(root)
    except pygit2.GitError as error:
        raise UserError(f"{root} is in no git repository: git init, git add -A and git commit first") from error
    if git.is_empty or git.head_is_unborn:
        raise UserError("git has no commit yet: git add -A and git commit first; experiments start from a commit")
    head = str(git.head.target)
    if git.head_is_detached:
        raise UserError(
            f"git's HEAD is detached at {head[:7]}: git switch to a branch, or git switch -c NAME for a new one"
        )
    changed = dirty(root)
    if changed:
        shown = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
        raise UserError(f"not committed: {shown}. Experiments run what is committed: git commit it, or git stash -u")
    return head


def dirty(root: Path) -> list[str]:
    """What differs from HEAD and matters to a run, by path: not what DVC itself writes when it runs the pipeline here.

    Of the files that git does not know only those count that a run would miss: code, config and data.
    """
    # Without the optional locks, git status leaves the index alone.
    command = ["git", "--no-optional-locks", "status", "--porcelain", "-z", "-uall", "--no-renames", "--", "."]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"git status failed: {done.stderr.strip()}")
    written = tuple(_written(root))
    above = "" if str(commit.prefix(root)) == "." else f"{commit.prefix(root)}/"
    changed = []
    for line in filter(None, done.stdout.split("\0")):
        state, path = line[:2], line[3:].removeprefix(above)
        if path.startswith("docs/"):  # a report may be written while experiments run
            continue
        missed = path.startswith(("src/", "conf/")) or path.endswith(".dvc")
        if (state != "??" or missed) and not any(path == out or path.startswith(f"{out}/") for out in written):
            changed.append(path)
    return changed


def _written(root: Path) -> Iterator[str]:
    """The paths that DVC writes when it runs the pipeline."""
    yield from ("params.yaml", "dvc.lock")
    path = root / "dvc.yaml"
    stages = yaml.safe_load(path.read_text()).get("stages", {}) if path.exists() else {}
    for stage in stages.values():
        for out in (out for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])):
            yield next(iter(out)) if isinstance(out, dict) else out


def enqueue(root: Path, runs: Iterable[Run], again: bool = False) -> dict[str, str]:
    """Queue what no record answers yet. Returns the names of the newly queued experiments by the runs' names.

    A run that has finished, is under way or has failed is not queued; `again` queues the finished and failed ones anew,
    under a name with a number. Raises UserError, and then nothing is queued.
    """
    from dvc.repo import Repo

    head = ready(root)
    with alone(root), Repo(str(root)) as repo:
        new = named(root, head, list(runs), again)
        if new:
            put(repo, [(name, run.params, run.target) for name, run in new.items()])
    return {run.name: name for name, run in new.items()}


def named(root: Path, head: str, runs: list[Run], again: bool) -> dict[str, Run]:
    """The runs to queue, by the names that their experiments get. Raises UserError where a name is taken."""
    known = records.read(root)
    groups = records.by_key(known)
    taken = {r.name: r for r in known if r.baseline == head and r.status != records.FAILED}
    failed = {r.name for r in known if r.baseline == head and r.status == records.FAILED}
    new: dict[str, Run] = {}
    for run in runs:
        record = records.answer(groups, root, head, run.params, run.target)
        if record is not None and (not again or record.status in (records.QUEUED, records.RUNNING)):
            continue
        name = run.name
        if again:
            numbered = (f"{run.name}-{number}" for number in range(2, 10_000))
            while name in taken or name in failed or name in new:
                name = next(numbered)
        if name in taken or name in new:
            raise UserError(
                f"the name {name} is taken on this commit by an experiment with other params, which is "
                f"{taken[name].status if name in taken else 'in this plan'}: nothing was queued. Give the design another "
                f"run_name, or remove that experiment: dvc exp remove {name}"
            )
        new[name] = run
    return new


def put(repo: Repo, items: list[Item]) -> None:
    """Queue by git's plumbing where it does what DVC would do, and by DVC's own way otherwise. Raises UserError."""
    from lab.execution.dvc import fast_queue, stock_queue

    way = fast_queue if compatibility.passed(Path(repo.root_dir)) else stock_queue
    patiently(lambda: way.put(repo, items))


def patiently(action: Callable[[], object]) -> None:
    """Do what needs DVC's lock as soon as it is free. Raises UserError."""
    from dvc.lock import LockError

    until = time.monotonic() + LOCKED
    while True:
        try:
            action()
            return
        except LockError as error:
            if time.monotonic() > until:
                raise UserError(f"DVC has been locked by another process for {LOCKED} s: {error}") from error
            time.sleep(0.2)


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """The only `lab` that changes this project's queue; others wait. The lock ends with the process."""
    path = root / ".dvc" / "tmp" / "lab" / "queue.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        yield
