"""What a design calls a model, as a commit that can't change: an experiment, tag, branch, another design's run, the champion."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pygit2

from lab.design.model_refs import Reference
from lab.errors import UserError, nearest
from lab.records import commit as checkout
from lab.records import record as records
from lab.records.record import FINISHED, Record

if TYPE_CHECKING:
    from lab.records.study import Study

Tracked = Callable[[str], str | None]


def resolver(root: Path, tracked: Tracked | None = None) -> Callable[[str, int], str]:
    """A function of a name and a seed that gives the full hash of a commit. Records are read once, when it is needed.

    `tracked` gives the commit of what only a tracking server knows, and None for a name of another form.
    """
    from lab.records import study
    from lab.review import champion

    known: list[Record] | None = None
    studies: dict[str, Study] = {}

    def resolve(name: str, seed: int) -> str:
        nonlocal known
        if reference := Reference.parse(name, seed):
            if reference.design not in studies:
                studies[reference.design] = study.read(root, reference.design)
            return of_design(studies[reference.design], reference)
        if name == champion.NAME:
            return champion.model(root)
        if known is None:
            known = [record for record in records.read(root) if record.status == FINISHED]
        commit = tracked(name) if tracked else None
        return of_git(root, known, commit or name)

    return resolve


def of_design(study: Study, reference: Reference) -> str:
    """The finished run of a design's arm with a seed: its own, or another's that it reuses. Raises UserError."""
    finished = [row for row in study.rows if row.record and row.status == FINISHED]
    if not finished:
        raise UserError(f"no run of {reference.design} has finished: lab run {study.path} first")
    for row in finished:
        if row.record and (row.arm, row.seed) == (reference.arm, reference.seed):
            return row.record.commit
    raise UserError(
        f"{reference.design} has no finished run of {reference.arm} with seed {reference.seed}."
        + nearest(reference.arm, {row.arm for row in finished} - {reference.arm})
    )


def of_git(root: Path, known: list[Record], name: str) -> str:
    """The commit of an experiment, the newest of its name, or of a tag, branch or commit. Raises UserError."""
    experiments = [record.commit for record in known if record.name == name]
    if experiments:
        return experiments[-1]
    try:
        return str(checkout.repository(root).revparse_single(name).peel(pygit2.Commit).id)
    except (KeyError, ValueError, pygit2.GitError) as error:
        names = {record.name for record in known}
        raise UserError(f"{name} is no experiment, tag, branch or commit here.{nearest(name, names)}") from error
