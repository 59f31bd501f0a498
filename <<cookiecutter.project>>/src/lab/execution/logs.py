"""What runs printed, kept when they have finished: of a failed or running one, its backend has the log."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import UserError, nearest

if TYPE_CHECKING:
    from lab.records.pending import Pending
    from lab.records.project import Project

FOLDER = Path(".dvc/tmp/lab/logs")


def keep(root: Path, run: Pending) -> None:
    """Keep the log of a run that has finished."""
    if run.log.exists():
        path = kept(root, run.baseline, run.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(run.log, path)


def read(project: Project, name: str) -> str:
    """What the experiment of this name, or of this commit, has printed so far. Raises UserError where nobody knows."""
    records = [record for record in project.records() if name in (record.name, record.commit, record.commit[:7])]
    if not records:
        names = {record.name for record in project.records()}
        raise UserError(f"there is no experiment {name}.{nearest(name, names)}")
    record = records[-1]
    own = kept(project.root, record.baseline, record.name)
    for path in (record.pending.log if record.pending else own, own):
        if path.exists():
            return path.read_text(encoding="utf-8", errors="replace")
    if record.pending is not None:
        raise UserError(f"{record.name} has not begun")
    raise UserError(f"the log of {record.name} is not here: it ran elsewhere, or .dvc/tmp was emptied since")


def kept(root: Path, baseline: str, name: str) -> Path:
    """Where the log of a run is that has finished; there may be none."""
    return root / FOLDER / f"{baseline[:12]}-{name}.out"
