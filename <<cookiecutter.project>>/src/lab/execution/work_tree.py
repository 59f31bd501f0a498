"""Whether experiments on HEAD would be what is seen here: a branch, a commit, and no change that matters to a run."""

from __future__ import annotations

from collections.abc import Iterator
from os.path import normpath
from typing import TYPE_CHECKING, Any

from lab import nested_keys, yaml12
from lab.contract import FILE
from lab.design.compose import config_folder
from lab.design.pipeline import Pipeline
from lab.errors import UserError
from lab.records.commit import LOCK, PARAMS, PIPELINE

if TYPE_CHECKING:
    from lab.records.project import Project

# What lab itself writes, also while experiments run: reports, and where they are shown unless a server is named.
OWN = ["docs", "mlartifacts", "mlflow.db", "mlflow.db-shm", "mlflow.db-wal", "wandb"]


def ready(project: Project) -> str:
    """The commit that runs are queued on: HEAD. Raises UserError where an experiment would not be what is seen here."""
    head = project.git.head
    if head is None:
        raise UserError("git has no commit yet: git add -A and git commit first; experiments start from a commit")
    if project.git.is_detached:
        raise UserError(
            f"git's HEAD is detached at {head[:7]}: git switch to a branch, or git switch -c NAME for a new one"
        )
    changed = dirty(project)
    if changed:
        shown = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
        is_data = changed == [new_data(project)]
        advice = f"dvc add {changed[0]}, then git commit" if is_data else "git commit it, or git stash -u"
        raise UserError(f"not committed: {shown}. Experiments run what is committed: {advice}")
    return head


def dirty(project: Project) -> list[str]:
    """What differs from HEAD and matters to a run, by path: not what DVC itself writes when it runs the pipeline here.

    Of the files that git does not know only those count that a run would miss: the config, and what a stage depends on.
    Raw data that it does not know is one place, however many files it has: it is for DVC to keep.
    """
    data = new_data(project)
    pipeline, params = Pipeline.read(project.root / PIPELINE), _params(project)
    written = [PARAMS, LOCK, *(path for stage in pipeline.stages for path in pipeline.outputs(stage, params))]
    needed = [
        config_folder(project.root),
        FILE,
        PIPELINE,
        *(path for stage in pipeline.stages for path in pipeline.deps(stage, params)),
    ]
    changed = []
    for is_new, path in _changes(project):
        if _is_in(path, OWN):
            continue
        if is_new and data and _is_in(path, [data]):
            path = data
        matters = _is_in(path, needed) or path.endswith(".dvc") if is_new else True
        if matters and not _is_in(path, written):
            changed.append(path)
    return list(dict.fromkeys(changed))


def new_data(project: Project) -> str:
    """The raw data that the settings name, from the project's root, where HEAD has nothing of it; else empty."""
    key = project.contract.raw_data
    named = str(nested_keys.get(_params(project), key) or "") if key else ""
    path = normpath(named) if named else ""
    elsewhere = path in ("", ".") or path.startswith(("/", "..")) or "://" in named
    return "" if elsewhere or project.git.object_id(str(project.git.head), path) else path


def _params(project: Project) -> dict[str, Any]:
    """The settings as they stand, which paths in dvc.yaml may be made of."""
    path = project.root / PARAMS
    content = yaml12.read(path, PARAMS) if path.is_file() else {}
    return content if isinstance(content, dict) else {}


def _changes(project: Project) -> Iterator[tuple[bool, str]]:
    """Each path of the project that differs from HEAD, and whether git does not know it."""
    # Without the optional locks, git status leaves the index alone.
    command = ["--no-optional-locks", "status", "--porcelain", "-z", "-uall", "--no-renames", "--", "."]
    done = project.git.call(*command)
    if done.returncode:
        raise UserError(f"git status failed: {done.stderr.strip()}")
    above = "" if str(project.git.prefix) == "." else f"{project.git.prefix}/"
    for line in filter(None, done.stdout.split("\0")):
        yield line.startswith("??"), line[3:].removeprefix(above)


def _is_in(path: str, places: list[str]) -> bool:
    """Whether a path is one of these files, or lies in one of these folders."""
    return any(f"{path}/".startswith(f"{place.rstrip('/')}/") for place in places)
