"""What runs printed, kept when they have finished and their design's `lab run` has: until then the backend has it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from lab.design import design_file
from lab.errors import UserError, nearest
from lab.study import FAILED, STATUSES

if TYPE_CHECKING:
    from lab.records.pending import Pending
    from lab.records.project import Project

FOLDER = Path(".dvc/tmp/lab/logs")
MOST = 10  # runs of a kind that are told by name


def keep(root: Path, run: Pending) -> None:
    """Keep the log of a run that has finished."""
    if run.log.exists():
        path = kept(root, run.baseline, run.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(run.log, path)


def read(project: Project, name: str) -> str:
    """What the experiment of this name, or of this commit, has printed so far.

    Raises UserError where nobody knows; a design's name, or its file: which runs it has, the failed first.
    """
    records = [record for record in project.records() if name in (record.name, record.commit, record.commit[:7])]
    if not records:
        check_no_design(project, Path(name).stem if name.endswith(".yaml") else name)
        names = {record.name for record in project.records()}
        raise UserError(f"there is no experiment {name}.{nearest(name, names)}")
    record = records[-1]
    own = kept(project.root, record.baseline, record.name)
    queued = [run.log for run in project.pending() if (run.name, run.baseline) == (record.name, record.baseline)]
    for path in (*queued, own):
        if path.exists():
            return path.read_text(encoding="utf-8", errors="replace")
    if record.pending is not None:
        raise UserError(f"{record.name} has not begun")
    raise UserError(f"the log of {record.name} is not here: it ran elsewhere, or .dvc/tmp was emptied since")


def check_no_design(project: Project, name: str) -> None:
    """Raises UserError: it is the name of a design, whose runs are told: the failed first, of each kind the latest."""
    records = list(reversed(project.by_design().get(name, [])))
    if not records:
        if (project.root / design_file.FOLDER / f"{name}.yaml").is_file():
            raise UserError(f"{name} is a design, and has no run of its own: lab status {name}")
        return
    named = {status: [r.name for r in records if r.status == status] for status in dict.fromkeys([FAILED, *STATUSES])}
    named = {status: list(dict.fromkeys(names)) for status, names in named.items() if names}
    first = next(iter(named.values()))[0]
    lines = [f"{name} is a design, and each of its runs has a log: lab logs {first}"]
    for status, names in named.items():
        more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
        lines.append(f"{status}: {', '.join(names[:MOST])}{more}")
    raise UserError("\n".join(lines))


def kept(root: Path, baseline: str, name: str) -> Path:
    """Where the log of a run is that has finished; there may be none."""
    return root / FOLDER / f"{baseline[:12]}-{name}.out"
