"""What was said of each test item, carried by a review branch: so the check of a verdict that rests on it needs git
alone.

The files lie beside the report as the stages wrote them, and are told by the hash that each run's dvc.lock has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from lab.analysis.estimates import BOTH, IMAGES
from lab.records import per_item

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict
    from lab.records.git_record import GitRecord
    from lab.study import Study

FOLDER = "predictions"  # beside the figures
MOST = 5_000_000  # bytes of one branch: git keeps them for good


def carried(study: Study, verdict: Verdict) -> dict[str, Path]:
    """The files that the verdict rests on, in DVC's cache, by their names on the branch.

    None where seeds decide all, and none where they are too large together: these the check fetches from DVC's remote.
    """
    parts = [part for comparison in verdict.comparisons for part in (comparison, *comparison.guardrails)]
    if not any(part.difference.basis in (IMAGES, BOTH) for part in parts):
        return {}
    cached = {file_name(study, record): per_item.predictions(study, record) for record in study.finished}
    files = {name: path for name, path in cached.items() if path}
    return files if sum(path.stat().st_size for path in files.values()) <= MOST else {}


def lying(study: Study, folder: Path) -> Iterator[tuple[GitRecord, Path, bool]]:
    """The files that came with a branch, below its report's `folder`: whose, where, and whether the run said so."""
    for record in study.finished:
        path = folder / FOLDER / file_name(study, record)
        if path.exists():
            digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
            yield record, path, digest == per_item.digest(study, record)


def bring(study: Study, folder: Path) -> bool:
    """Put what was said of each test item into DVC's cache: from the report's `folder`, or from DVC's remote.

    Returns whether all of it is here now.
    """
    if not per_item.absent(study):
        return True
    store = study.project.store
    for record, path, as_said in lying(study, folder):
        digest = per_item.digest(study, record)
        if as_said and digest:
            store.add(path, digest)
    per_item.bring(study)
    return not per_item.absent(study)


def file_name(study: Study, record: GitRecord) -> str:
    """What a run's file is called on a branch."""
    path = study.contract.predictions_path(study.stage) or ""
    return f"{record.name}{PurePosixPath(path).suffix}"
