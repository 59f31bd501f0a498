"""A design's answer brought to where others work: first the data, then the experiments and the branch.

With the experiments go those of the same design that they have taken the place of: a reviewer sees how often a seed was
tried. In this order nobody finds an experiment whose model is not there. git pushes branch and experiments together or
not at all, and never over what somebody else has pushed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from lab.errors import UserError
from lab.git_refs import EXPERIMENT, experiment_ref
from lab.records import report_files
from lab.review.branch import PREFIX, REMOTE, Branch
from lab.review.runs import superseded

PUSHED = "refs/lab/push"  # for as long as a push lasts

if TYPE_CHECKING:
    from subprocess import CompletedProcess

    from lab.git import Repository
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
    records = [*study.ended, *superseded(study)]
    applied = branch.replicate.record.commit if branch.replicate else ""
    files = push_data(project, records, branch.commit, applied)
    experiments = [record for record in records if record.commit != record.baseline]
    refs = {experiment_ref(record.baseline, record.name): record.commit for record in experiments}
    push_refs(project, {f"refs/heads/{branch.name}": branch.commit, **refs})
    return files, len(refs)


def push_data(project: Project, records: Iterable[GitRecord], branch: str, applied: str = "") -> int:
    """Push the outputs that git has not, of all these runs at once. Returns how many files were sent. Raises UserError.

    All of the run `applied` on the commit `branch` has to arrive, and of the others what their verdict is made of: `lab
    gc` may have freed the rest. That, and what else the branch has of the baseline, which `dvc pull` there asks for,
    goes along where it is.
    """
    wanted: dict[str, str] = {}
    along: list[str] = []
    for record in records:
        read = report_files.of(record)
        for path, out in record.outputs.items():
            if project.git.object_id(record.commit, path) is not None:
                continue
            if record.commit == applied or path in read:
                wanted[out["md5"]] = f"{path} of {record.name}"
            else:
                along.append(out["md5"])
    lock = project.commit(branch).locked
    along += [out["md5"] for stage in lock.values() for out in stage.get("outs", []) if "md5" in out]
    return project.store.push(wanted, along)


def push_refs(project: Project, wanted: Mapping[str, str]) -> None:
    """Push commits to these refs, all of them or none, and see that they are there. Raises UserError."""
    git = project.git
    pushed = pushed_together(git, wanted)
    lines = git.call("ls-remote", REMOTE, "refs/exps/*", *(ref for ref in wanted if not EXPERIMENT.fullmatch(ref)))
    there = {ref: commit for commit, ref in (line.split("\t") for line in lines.stdout.splitlines())}
    others = [ref for ref, commit in wanted.items() if there.get(ref) != commit]
    if pushed.returncode or others:
        raise UserError(
            "git push failed, with the data pushed and no ref changed."
            f"{beaten(git, others, there)}\n{pushed.stderr.strip()}"
        )


def pushed_together(git: Repository, wanted: Mapping[str, str]) -> CompletedProcess[str]:
    """What git says of pushing commits to these refs, all of them or none.

    They get refs of their own here for as long, and git one pattern for all: a command line is too short for the names
    of thousands, and `git push` takes none by standard input.
    """
    folder = f"{PUSHED}/{os.getpid()}"
    made = {f"{folder}/{ref.removeprefix('refs/')}": commit for ref, commit in wanted.items()}
    try:
        git.run("update-ref", "--stdin", stdin="".join(f"update {ref} {made[ref]}\n" for ref in made))
        return git.call("push", "--quiet", "--atomic", REMOTE, f"{folder}/*:refs/*")
    finally:
        git.call("update-ref", "--stdin", stdin="".join(f"delete {ref}\n" for ref in made))


def beaten(git: Repository, refs: Iterable[str], there: Mapping[str, str]) -> str:
    """What to do where others have pushed other commits to these refs before: their work stays, and counts."""
    taken = [ref for ref in refs if ref in there]
    runs = [ref for ref in taken if EXPERIMENT.fullmatch(ref)]
    lines = []
    if runs:
        names = [ref.rpartition("/")[2] for ref in runs]
        folders = " ".join(f"'+{ref}/*:{ref}/*'" for ref in dict.fromkeys(ref.rpartition("/")[0] for ref in runs))
        lines += [
            f"Others have run the same on the same commit: {', '.join(names)}. Theirs stay.",
            f"  git fetch {REMOTE} {folders}   takes theirs in place of yours of the same names",
            f"  dvc exp rename {names[0]} my_{names[0]}   before that keeps one of yours beside theirs",
        ]
    for ref in (ref for ref in taken if ref not in runs):
        name = ref.removeprefix("refs/heads/")
        parted = git.ref(ref) is not None and there[ref] not in git
        lines.append(f"Others have pushed to {name} what is not here." if parted else f"{name} has moved on.")
        lines += [f"  git fetch {REMOTE}", f"  git branch -m {name} my-{name.removeprefix(PREFIX)}   keeps yours"]
    return "".join(f"\n{line}" for line in [*lines, "  and then lab review --push again"] if lines)
