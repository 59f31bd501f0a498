"""What a finished run should have measured and has not: that its stages came to their end says nothing of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lab.records.commit import LOCK
from lab.study import FINISHED

if TYPE_CHECKING:
    from lab.records.git_record import GitRecord


def lacking(record: Any, needs: Sequence[Sequence[str]]) -> str:
    """What is wrong and where to look: file and key. Empty where nothing is, or the run has not finished.

    Of each of the `needs` one metric has to be a finite number; where there are none, the files have to be whole.
    """
    if record is None or record.status != FINISHED:
        return ""
    measured = record.content.measured
    if not needs:
        return next(iter(measured.damaged.values()), "")
    known = set(measured.names).difference(measured.odd)
    unmet = next((names for names in needs if known.isdisjoint(names)), None)
    return _explained(record, unmet) if unmet else ""


def _explained(record: GitRecord, names: Sequence[str]) -> str:
    """Why none of these metrics is a number; empty where their file is not in this clone, so that nobody can tell."""
    content, measured = record.content, record.content.measured
    files = content.pipeline.metrics_files(content.contract, record.params)
    absent = []
    for name in names:
        path, stem = next(((path, stem) for path, stem in files.items() if name.startswith(f"{stem}.")), ("", ""))
        key = name.removeprefix(f"{stem}.")
        if path in measured.damaged:
            return measured.damaged[path]
        if name in measured.odd:
            return f"{path}: {key} is {measured.odd[name]}: expected a finite number"
        if path in content.metrics_elsewhere:
            is_gone = path in content.pipeline.metrics_in_git(record.params)
            return f"{path} is in its {LOCK} and not in its commit" if is_gone else ""
        maker = content.measured_by.get(stem)
        if maker is not None and maker not in content.stages:
            return f"by its {LOCK} the stage {maker} has not run with its params and inputs"
        absent.append(f"{path} has no {key}" if path else f"no metrics file of dvc.yaml has {key}")
    return ", and ".join(absent)
