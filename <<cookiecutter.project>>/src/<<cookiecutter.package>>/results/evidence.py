"""What was said of each test image, carried by a review branch: so the check of a verdict that rests on it needs git alone.

The files lie beside the report as the stages wrote them, and are told by the hash that each run's dvc.lock has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from . import examples
from .estimates import IMAGES
from .records import FINISHED, Record
from .study import Study
from .verdict import Verdict

FOLDER = "predictions"  # beside the figures
MOST = 5_000_000  # bytes of one branch: git keeps them for good


def carried(study: Study, verdict: Verdict) -> dict[str, Path]:
    """The files that the verdict rests on, in DVC's cache, by their names on the branch.

    None where seeds decide all, and none where they are too large together: these the check fetches from DVC's remote.
    """
    told = [each.difference for comparison in verdict.comparisons for each in (comparison, *comparison.guardrails)]
    if not any(difference.basis == IMAGES for difference in told):
        return {}
    stage = study.design.target
    there = {record.name: examples.predictions(record, stage) for record in finished(study)}
    found = {f"{name}.parquet": path for name, path in there.items() if path}
    return found if sum(path.stat().st_size for path in found.values()) <= MOST else {}


def lying(study: Study, folder: Path) -> Iterator[tuple[Record, Path, bool]]:
    """The files that came with a branch, below its report's `folder`: whose, where, and whether it is what the run said."""
    for record in finished(study):
        path = folder / FOLDER / f"{record.name}.parquet"
        if path.exists():
            digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
            yield record, path, digest == examples.digest(record, study.design.target)


def finished(study: Study) -> list[Record]:
    """The runs with results."""
    return [record for record in study.records if record.status == FINISHED]
