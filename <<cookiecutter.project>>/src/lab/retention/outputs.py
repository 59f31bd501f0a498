"""The outputs of runs by their hashes, as dvc.lock and .dvc files have them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import yaml

from lab import yaml12
from lab.records import report_files
from lab.study import FINISHED

if TYPE_CHECKING:
    from lab.records.git_record import GitRecord
    from lab.records.project import Project

Need = tuple[str, str]  # the hash of an output, and why it is needed


def design_of(record: GitRecord) -> str:
    """The design that asked for a run; empty for a run by hand."""
    name = record.experiment.get("design")
    return name if isinstance(name, str) else ""


def own(project: Project, name: str) -> list[GitRecord]:
    """The finished runs of a design, from whatever commit."""
    return [record for record in project.records() if record.status == FINISHED and design_of(record) == name]


def of_all(records: Iterable[GitRecord], why: str) -> Iterator[Need]:
    """All outputs of these runs."""
    for record in records:
        yield from whole(record, why)


def whole(record: GitRecord, why: str) -> Iterator[Need]:
    """All outputs of a run."""
    return ((md5, why) for md5 in outputs(record).values())


def read_later(record: GitRecord, why: str) -> Iterator[Need]:
    """The outputs that verdict, report and checks read."""
    return ((md5, why) for md5 in report_files.of(record).values())


def outputs(record: GitRecord) -> dict[str, str]:
    """The hash of each output that a run's dvc.lock names, by path."""
    return dict(_outputs(record.content.locked.values()))


def of_commit(project: Project, commit: str, why: str) -> Iterator[Need]:
    """All outputs that the dvc.lock of a commit names."""
    return ((md5, why) for _, md5 in _outputs(project.commit(commit).locked.values()))


def hashes(text: str) -> list[str]:
    """The hashes of all outputs that a dvc.lock or a .dvc file names; none of a damaged one."""
    content: dict[str, Any] = {}
    with suppress(yaml.YAMLError, ValueError):
        content = yaml12.mapping(text)
    stages = content.get("stages")
    return [md5 for _, md5 in _outputs([content, *(stages.values() if isinstance(stages, dict) else [])])]


def locked(stage: Any) -> list[str]:
    """The hash of each output of a stage, as dvc.lock or DVC's run cache has it."""
    return [md5 for _, md5 in _outputs([stage])]


def _outputs(stages: Iterable[Any]) -> Iterator[tuple[str, str]]:
    for stage in stages:
        outs = stage.get("outs") if isinstance(stage, dict) else None
        for out in outs if isinstance(outs, list) else []:
            if isinstance(out, dict) and isinstance(out.get("md5"), str):
                yield str(out.get("path")), out["md5"]
