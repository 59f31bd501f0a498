"""A design's answer brought to where others work: first the data, then the experiments and the branch.

In this order nobody finds an experiment whose model is not there. git pushes branch and experiments together or not at
all, and never over what somebody else has pushed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from lab.errors import UserError
from lab.git import experiment_ref, is_experiment
from lab.review.branch import REMOTE, Branch

MOST_TOLD = 10  # refs that a message names

if TYPE_CHECKING:
    from lab.records.git_record import GitRecord
    from lab.records.project import Project
    from lab.study import Study


def push(study: Study, branch: Branch) -> tuple[int, int]:
    """Push data, experiments and branch. Returns how many files were sent to the DVC remote, and how many experiments.

    Raises:
        UserError: there is no remote, something is not there after all, or others have pushed something else.
    """
    project = study.project
    if not project.git.remote_url(REMOTE):
        raise UserError(f"there is no git remote {REMOTE}: git remote add {REMOTE} URL")
    files = push_data(project, study.finished, branch.commit)
    experiments = [record for record in study.finished if record.commit != record.baseline]
    refs = {experiment_ref(record.baseline, record.name): record.commit for record in experiments}
    push_refs(project, {f"refs/heads/{branch.name}": branch.commit, **refs})
    return files, len(refs)


def push_data(project: Project, records: Iterable[GitRecord], branch: str) -> int:
    """Push the outputs that git has not, of all these runs at once. Returns how many files were sent. Raises UserError.

    What else the commit `branch` has of the baseline, `dvc pull` there asks for: it goes along where it is here.
    """
    outputs = {
        out["md5"]: f"{path} of {record.name}"
        for record in records
        for path, out in record.outputs.items()
        if project.git.object_id(record.commit, path) is None
    }
    lock = project.commit(branch).locked
    along = {out["md5"] for stage in lock.values() for out in stage.get("outs", []) if "md5" in out}
    return project.store.push(outputs, along)


def push_refs(project: Project, wanted: Mapping[str, str]) -> None:
    """Push commits to these refs, all of them or none, and see that they are there. Raises UserError."""
    git = project.git
    pushed = git.push(REMOTE, wanted)
    lines = git.call("ls-remote", REMOTE, "refs/exps/*", *(ref for ref in wanted if not is_experiment(ref)))
    there = {ref: commit for commit, ref in (line.split("\t") for line in lines.stdout.splitlines())}
    others = [ref for ref, commit in wanted.items() if there.get(ref) != commit]
    if pushed.returncode or others:
        more = f" and {len(others) - MOST_TOLD} more" if len(others) > MOST_TOLD else ""
        which = f" Not as here: {', '.join(others[:MOST_TOLD])}{more}." if others else ""
        raise UserError(
            f"git push failed, with the data pushed and no ref changed:{which} "
            f"git fetch {REMOTE} shows what others have pushed, and lab review builds on it.\n{pushed.stderr.strip()}"
        )
