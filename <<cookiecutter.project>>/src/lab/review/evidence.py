"""What was said of each test image, carried by a review branch: so the check of a verdict that rests on it needs git alone.

The files lie beside the report as the stages wrote them, and are told by the hash that each run's dvc.lock has.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from lab.analysis import per_image
from lab.analysis.estimates import IMAGES
from lab.analysis.verdict import Verdict
from lab.records.record import Record
from lab.records.study import Study

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
    there = {record.name: per_image.predictions(record, stage) for record in study.finished}
    found = {f"{name}.parquet": path for name, path in there.items() if path}
    return found if sum(path.stat().st_size for path in found.values()) <= MOST else {}


def lying(study: Study, folder: Path) -> Iterator[tuple[Record, Path, bool]]:
    """The files that came with a branch, below its report's `folder`: whose, where, and whether it is what the run said."""
    for record in study.finished:
        path = folder / FOLDER / f"{record.name}.parquet"
        if path.exists():
            digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
            yield record, path, digest == per_image.digest(record, study.design.target)


def bring(found: Study, folder: Path) -> bool:
    """Put what was said of each test image into DVC's cache: from the report's `folder`, or from DVC's remote.

    Returns whether all of it is here now.
    """
    stage = found.design.target

    def absent() -> set[str]:
        digests = {
            per_image.digest(record, stage) for record in found.finished if not per_image.predictions(record, stage)
        }
        return {digest for digest in digests if digest}

    if not absent():
        return True
    from dvc.fs import LocalFileSystem
    from dvc.repo import Repo
    from dvc_data.hashfile.hash_info import HashInfo

    with Repo(str(found.root)) as repo:
        for record, path, as_said in lying(found, folder):
            if as_said:
                repo.cache.local.add(str(path), LocalFileSystem(), per_image.digest(record, stage))
        logging.getLogger("dvc").setLevel(logging.CRITICAL)  # it would name each file that is nowhere
        try:
            if missing := absent():
                repo.cloud.pull({HashInfo("md5", digest) for digest in missing})
        except Exception as error:  # every kind of remote has errors of its own
            print(f"lab: DVC's remote can't be read: {error}", file=sys.stderr)
    return not absent()
