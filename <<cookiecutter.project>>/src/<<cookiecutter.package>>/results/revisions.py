"""What a design calls a model, as a commit that can't change: an experiment, tag, branch, or a run of another design."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pygit2

from ..design.revisions import Reference
from ..errors import UserError, nearest
from . import checkout, records
from .records import FINISHED, Record

Tracked = Callable[[str], str | None]


def resolver(root: Path, tracked: Tracked | None = None) -> Callable[[str, int], str]:
    """A function of a name and a seed that gives the full hash of a commit. Records are read once, when it is needed.

    `tracked` gives the commit of what only a tracking server knows, and None for a name of another form.
    """
    known: list[Record] | None = None

    def resolve(name: str, seed: int) -> str:
        nonlocal known
        if known is None:
            known = [record for record in records.read(root) if record.status == FINISHED]
        if reference := Reference.parse(name, seed):
            return of_design(known, reference)
        commit = tracked(name) if tracked else None
        return of_git(root, known, commit or name)

    return resolve


def of_design(known: list[Record], reference: Reference) -> str:
    """The newest finished run of a design's arm with a seed. Raises UserError."""
    runs = [record for record in known if record.experiment.get("design") == reference.design]
    if not runs:
        raise UserError(
            f"no run of the design {reference.design} has finished: lab run designs/{reference.design}.yaml first"
        )
    wanted = (reference.arm, reference.seed)
    found = [record for record in runs if (record.experiment["arm"], record.experiment["seed"]) == wanted]
    if not found:
        arms = {str(record.experiment["arm"]) for record in runs}
        raise UserError(
            f"{reference.design} has no finished run of {reference.arm} with seed {reference.seed}."
            + nearest(reference.arm, arms - {reference.arm})
        )
    return found[-1].commit


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
