"""What runs that are still to come will take from those that are there: models by name, stages from DVC's run cache.

Without it nothing would break, but what is trained already would be trained again.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lab.design import design_file
from lab.errors import UserError
from lab.execution import campaign
from lab.execution.standings import standings
from lab.nested_keys import get
from lab.records import studies
from lab.records.commit import PARAMS
from lab.records.model_refs import resolver
from lab.records.planning import Planner, pipeline_files
from lab.retention.outputs import Need, design_of, locked, of_commit, whole
from lab.study import FINISHED

if TYPE_CHECKING:
    from lab.design.model_refs import Resolve
    from lab.records.commit import Commit
    from lab.records.project import Project
    from lab.study import Replicate

NOBODY = "0" * 40  # in place of a model that is not there yet


@dataclass(frozen=True)
class Wanted:
    """A run that may come: its params, the stage that it ends with, the commit that it starts from, and whose it is."""

    params: dict[str, Any]
    stage: str
    commit: str
    why: str


def of_open(project: Project, answered: Iterable[str]) -> tuple[list[Need], list[Wanted]]:
    """What the designs need that have no verdict yet, and their runs that are still to come.

    Those are the designs here that are not `answered`, and on other branches those that read otherwise there.
    """
    needs: list[Need] = []
    wanted: list[Wanted] = []
    for name, text, commit, replicates in _opened(project, set(answered)):
        why = f"{name} is open: it takes from it what is done already"
        needs += _named(project, text, why)
        for replicate in replicates:
            if replicate.finished:
                needs += whole(replicate.record, why)
            elif replicate.run:
                wanted.append(Wanted(replicate.run.params, replicate.run.target, commit, why))
    return needs, wanted


def reused(project: Project, wanted: Iterable[Wanted]) -> Iterator[Need]:
    """The models that these runs take from others, and the outputs of stages that they would have in common with them.

    Of a stage in DVC's run cache, whose run may have failed later on, the settings alone have to be the same.
    """
    runs = list(wanted)
    for run in runs:
        for model in project.contract.models_named(run.params):
            if commit := project.git.resolve(model):
                yield from of_commit(project, commit, run.why)
    keys: dict[tuple[Any, ...], str] = {}
    for run in runs:
        with suppress(UserError):
            for key in _stages(project.commit(run.commit), run.params, run.stage).values():
                keys.setdefault(key, run.why)
    for record in project.records() if keys else []:
        with suppress(UserError):
            if record.status == FINISHED:
                for stage, key in _stages(record.content, record.params, record.stage).items():
                    if key in keys and stage in record.content.stages:
                        yield from ((md5, keys[key]) for md5 in locked(record.content.stages[stage]))
    values: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
    for entry in project.store.run_cache().values() if runs else []:
        settings = (entry.get("params") or {}).get(PARAMS) or {}
        names = tuple(sorted(settings))
        if names not in values:
            values[names] = {_text([get(run.params, name) for name in names]): run.why for run in runs}
        if why := values[names].get(_text([settings[name] for name in names])):
            yield from ((md5, why) for md5 in locked(entry))


def _stages(commit: Commit, params: dict[str, Any], target: str) -> dict[str, tuple[Any, ...]]:
    """For each stage up to `target` what makes two runs of it the same: settings, code and data."""
    signatures, data = commit.pipeline.signatures(target, params), commit.data(params)
    return {stage: (stage, signature, commit.code(params, stage), data) for stage, signature in signatures.items()}


def _text(values: list[Any]) -> str:
    return json.dumps(values, sort_keys=True, default=str)


def _opened(project: Project, answered: set[str]) -> Iterator[tuple[str, str, str, list[Replicate]]]:
    """Each such design: its name, its text, the commit to plan it on, how its runs stand where it can be planned."""
    git, head = project.git, project.head
    assert head is not None
    folder = str(design_file.FOLDER)
    for path in sorted((project.root / folder).glob("*.yaml")):
        if (found := _planned(project, head, path, project.root)) and found[0] not in answered:
            yield found
    seen = {blob for _, blob in git.files(head, folder)}
    for commit in sorted(set(git.tips().values())):
        new = {path: blob for path, blob in git.files(commit, folder) if path.endswith(".yaml") and blob not in seen}
        seen |= {*new.values()}
        if new:
            with TemporaryDirectory() as place:
                git.extract(commit, [*pipeline_files(project), *new], Path(place))
                for path in sorted(new):
                    if found := _planned(project.at(commit), commit, Path(place) / path, Path(place)):
                        yield found


def _planned(project: Project, commit: str, path: Path, tree: Path) -> tuple[str, str, str, list[Replicate]]:
    """A design as it stands on a commit whose files lie in `tree`."""
    text, name, replicates = path.read_text(encoding="utf-8"), path.stem, []
    with suppress(UserError):  # what its text names is kept all the same
        planner = Planner(project, path, _lenient(project), tree)
        name = planner.design.name
        replicates = standings(project, campaign.current(planner).runs, commit)
    return name, text, commit, replicates


def _lenient(project: Project) -> Resolve:
    """Finds the models that designs name; in place of one that is not there yet nobody's."""
    find = resolver(project, partial(studies.read, project))

    def resolve(name: str, seed: int) -> str:
        try:
            return find(name, seed)
        except UserError:
            return NOBODY

    return resolve


def _named(project: Project, text: str, why: str) -> Iterator[Need]:
    """The runs that a design's text names: by their own names, as another design's, or by a commit."""
    others = set(re.findall(r"([\w-]+):(?=\S)", text))
    for record in project.records():
        if record.status == FINISHED and (record.name in text or design_of(record) in others):
            yield from whole(record, why)
    for word in re.findall(r"\b[0-9a-f]{7,40}\b", text):
        if commit := project.git.resolve(word):
            yield from of_commit(project, commit, why)
