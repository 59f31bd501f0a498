"""Whether a `Checkout` makes the experiments that the installed DVC would: one pipeline is run both ways, and compared.

It happens in scratch repositories and a process of its own, once for each set of versions. `by_dvc` and what compares
serve the tests as well.
"""

from __future__ import annotations

import difflib
import io
import logging
import os
import pickle
import shutil
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pygit2

from lab.execution import selftest
from lab.execution.worker.carry_out import PACKED, Checkout, Task, in_a_shell
from lab.git import Repository

NOTE = Path(".dvc/tmp/lab/selftest-worker.json")  # what came out, for these versions
PACKAGES = ("dvc", "dvc-data", "dvc-objects", "scmrepo", "dulwich", "pygit2", "ruamel-yaml")
FILES = {
    ".dvc/config": "[core]\n    analytics = false\n    autostage = true\n[cache]\n    type = hardlink,copy\n",
    ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
    ".dvcignore": "*.pyc\n",
    ".gitignore": "",
    "code/one.txt": "one\n",
    "params.yaml": "lr: 0.1\nmodel: {size: 2, parts: [a, b]}\n",
    "dvc.yaml": """
stages:
  prepare:
    cmd: mkdir -p data metrics && cp code/one.txt data/one && touch data/two && echo '{}' > metrics/prepare.json
    deps: [code]
    params: [model.size]
    outs: [data]
    metrics: [metrics/prepare.json: {cache: false}]
  train:
    foreach: ${model.parts}
    do:
      cmd: cat params.yaml data/* > model-${item} && chmod +x model-${item}
      deps: [data]
      params: [lr, model]
      outs: ['model-${item}']
""",
}
RUNS: list[dict[str, bytes]] = [{}, {"params.yaml": b"lr: 0.2\nmodel: {size: 2, parts: [a, b]}\n"}, {}]


def passed(root: Path) -> bool:
    """Whether experiments of the project at `root` may be made in a `Checkout`."""
    return selftest.passed(root / NOTE, __name__, PACKAGES)


def main() -> None:
    """The test itself, in the working directory. Raises AssertionError."""
    theirs, ours = Path("theirs").absolute(), Path("ours").absolute()
    make(theirs, {name: content.encode() for name, content in FILES.items()})
    shutil.copytree(theirs, ours)
    with Checkout(ours, Path("checkout").absolute()) as checkout:
        for number, changes in enumerate(RUNS):
            name = f"run-{number}"
            expected = by_dvc(theirs, queued(theirs, changes, ("train",), name), name)
            commit = queued(ours, changes, ("train",), name)
            made = checkout.carry_out(task(ours, commit, ("train",), name), in_a_shell, io.StringIO())
            assert expected is not None
            check_same(theirs, expected, ours, made)


def make(root: Path, files: Mapping[str, bytes]) -> None:
    """A repository with one commit of these files; those that end with .sh can be executed."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if name.endswith(".sh"):
            path.chmod(0o755)
    git = pygit2.init_repository(str(root), initial_head="main")
    git.config["user.name"], git.config["user.email"] = "lab", "lab@localhost"
    git.index.add_all()
    git.index.write()
    who = pygit2.Signature("lab", "lab@localhost")
    git.create_commit("HEAD", who, who, "start", git.index.write_tree(), [])


def queued(root: Path, changes: Mapping[str, bytes], targets: Iterable[str], name: str) -> str:
    """The stash commit that `dvc exp run --queue` would leave of a run on HEAD with these files changed."""
    from dvc.repo.experiments.stash import ExpStash

    git = Repository(root)
    head = git.head
    assert head is not None
    environment = {"DVC_EXP_BASELINE_REV": head, "DVC_EXP_NAME": name, "DVC_ROOT": str(root)}
    packed = pickle.dumps({"args": (), "kwargs": {"run_env": environment, "targets": list(targets) or None}})
    tree = git.with_changes(git.tree(head), {**changes, PACKED: packed})
    index = git.create_commit(tree, [head], "Index stash", anonymous=True)
    return git.create_commit(tree, [head, index], ExpStash.format_message(head, head, name), anonymous=True)


def task(root: Path, commit: str, targets: tuple[str, ...], name: str) -> Task:
    """The same run for a `Checkout`."""
    head = Repository(root).head
    assert head is not None
    environment = {"DVC_EXP_BASELINE_REV": head, "DVC_EXP_NAME": name, "DVC_ROOT": str(root)}
    return Task(name, commit, head, targets, environment)


def by_dvc(root: Path, commit: str, name: str) -> str | None:
    """The commit of a queued run as DVC's own executor makes it, in this process; None where it failed."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.repo.experiments.executor.local import TempDirExecutor
    from dvc.repo.experiments.queue.base import BaseStashQueue, QueueEntry
    from dvc.repo.experiments.refs import CELERY_STASH

    before, head = os.getcwd(), Repository(root).head
    assert head is not None
    logging.getLogger("dvc").setLevel(logging.CRITICAL)
    os.chdir(root)
    try:
        with Repo(str(root)) as repo:
            message = repo.scm.resolve_commit(commit).message
            repo.scm.set_ref(CELERY_STASH, commit, message=f"commit: {message}")
            entry = QueueEntry(str(root), str(root), CELERY_STASH, commit, head, None, name, head)
            executor = BaseStashQueue.init_executor(repo.experiments, entry, TempDirExecutor)
            try:
                result = executor.reproduce(executor.info, commit, log_level=logging.CRITICAL, log_errors=False)
                BaseStashQueue.collect_executor(repo.experiments, executor, result)
            except DvcException:
                return None
            finally:
                executor.cleanup()
    finally:
        os.chdir(before)
    return Repository(root).ref(f"refs/exps/{head[:2]}/{head[2:]}/{name}")


def check_same(theirs: Path, expected: str, ours: Path, made: str) -> None:
    """Raises AssertionError where two experiments, or what DVC's caches hold of them, are not the same."""
    one, other = (_described(root, commit) for root, commit in ((theirs, expected), (ours, made)))
    assert one == other, difference(one, other)
    check_same_caches(theirs, ours)


def check_same_caches(theirs: Path, ours: Path) -> None:
    """Raises AssertionError where DVC's caches do not hold the same."""
    one, other = (_snapshot(root / ".dvc" / "cache") for root in (theirs, ours))
    assert one == other, difference(one, other)


def _described(root: Path, commit: str) -> dict[str, Any]:
    """An experiment's commit, by the paths of its files and by what else it says."""
    git = pygit2.Repository(str(root))
    made = git[commit].peel(pygit2.Commit)
    index = pygit2.Index()
    index.read_tree(made.tree)  # type: ignore[arg-type]
    files = {entry.path: (oct(entry.mode), git[entry.id].data) for entry in index}  # type: ignore[union-attr]
    return {**files, "message": made.message, "parents": [str(parent.tree.id) for parent in made.parents]}


def _snapshot(cache: Path) -> dict[str, Any]:
    """The files of DVC's cache, mode and content: its objects and what runs came to.

    Not those of DVC 2's form beside, in which DVC leaves listings of folders that nothing refers to.
    """
    paths = (path for part in ("files", "runs") for path in (cache / part).rglob("*") if path.is_file())
    return {str(path.relative_to(cache)): (oct(stat.S_IMODE(path.stat().st_mode)), path.read_bytes()) for path in paths}


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """What DVC's side and ours do not share, for people."""
    lines = [f"only DVC's: {key} {one[key]}" for key in sorted(set(one) - set(other))]
    lines += [f"only ours: {key} {other[key]}" for key in sorted(set(other) - set(one))]
    for key in sorted(set(one) & set(other)):
        if one[key] != other[key]:
            changed = difflib.unified_diff(_lines(one[key]), _lines(other[key]), "DVC's", "ours", lineterm="")
            lines += [key, *changed]
    return "\n".join(lines)


def _lines(value: Any) -> list[str]:
    """A mode and a content, or whatever it is, as lines."""
    if isinstance(value, tuple):
        return [value[0], *value[1].decode(errors="replace").splitlines()]
    return [str(value)]


if __name__ == "__main__":
    main()
