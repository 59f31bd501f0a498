"""What a design calls a model, as a commit that can't change: experiment, tag, another design's run, the champion."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lab.design.model_refs import Reference
from lab.errors import UserError, nearest
from lab.records import champion

if TYPE_CHECKING:
    from lab.records.project import Project
    from lab.study import Study


def resolver(project: Project, read_study: Callable[[str], Study]) -> Callable[[str, int], str]:
    """A function of a name and a seed that gives the full hash of a commit, or the name itself of a file.

    `read_study` gives the study of a design, by its name.
    """
    known: dict[str, Study] = {}

    def resolve(name: str, seed: int) -> str:
        if reference := Reference.parse(name, seed):
            if reference.design not in known:
                known[reference.design] = read_study(reference.design)
            return of_design(known[reference.design], reference)
        if name == champion.NAME:
            return champion.model(project)
        if (project.root / name).is_file():
            return name
        tracked = project.tracked(name) if project.tracked else None
        return of_git(project, tracked or name)

    return resolve


def of_design(study: Study, reference: Reference) -> str:
    """The finished run of a design's arm with a seed: its own, or another's that it reuses. Raises UserError."""
    finished = [replicate for replicate in study.replicates if replicate.finished]
    if not finished:
        raise UserError(f"no run of {reference.design} has finished: lab run {study.path} first")
    for replicate in finished:
        if (replicate.arm, replicate.seed) == (reference.arm, reference.seed):
            return replicate.record.commit
    raise UserError(
        f"{reference.design} has no finished run of {reference.arm} with seed {reference.seed}."
        + nearest(reference.arm, {replicate.arm for replicate in finished} - {reference.arm})
    )


def of_git(project: Project, name: str) -> str:
    """The commit of an experiment, the newest of its name, or of a tag, branch or commit. Raises UserError."""
    finished = {experiment.name: experiment.commit for experiment in project.git.experiments() if experiment.is_commit}
    commit = finished.get(name) or project.git.resolve(name)
    if commit is None:
        raise UserError(f"{name} is no experiment, tag, branch or commit here.{nearest(name, finished)}")
    return commit
