"""What a commit says of a run: params, code, data, metrics, curves, and what each stage was run with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property, lru_cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import yaml

from lab import yaml12
from lab.design.pipeline import Pipeline
from lab.errors import UserError
from lab.git_objects import Lost
from lab.nested_keys import get, nested
from lab.records import brief as briefs
from lab.records import faults, metrics_files
from lab.records.brief import Brief, Measured
from lab.records.faults import LOCK, PARAMS, PIPELINE

if TYPE_CHECKING:
    from lab.records.project import Project

Outcome = list[str | None]


class Commit:
    """A commit of the project. It never changes, so that what was read from it is kept."""

    def __init__(self, project: Project, rev: str):
        self.project, self.git, self.contract, self.rev = project, project.git, project.contract, rev
        self._codes: dict[tuple[str | tuple[str, ...], ...], str] = {}
        self._settled: dict[str, bool] = {}

    def text(self, path: str) -> str:
        """The content of a text file, empty where it is absent."""
        return self.git.text(self.rev, path)

    def _kept(self, part: str, work_out: Callable[[], Any]) -> Any:
        """What is kept on disk of this commit, or is worked out. Of one that this clone lacks nothing is kept."""
        known = self.project.kept.get(part, self.rev)
        if known is None:
            known = work_out()
            if self.rev in self.git:
                self.project.kept.put(part, self.rev, known)
        return known

    def _shared(self, content: Any) -> Any:
        """What equals it and is held already, or itself: thousands of commits say the same."""
        return self.project.cache.setdefault(("shared", repr(content)), content)

    @cached_property
    def brief(self) -> Brief:
        """What lists of runs ask, kept on disk. It is worked out aside: of a thousand commits the rest is not held."""
        aside = Commit(self.project, self.rev)
        try:
            found = Brief(*self._kept("brief", lambda: list(briefs.summed_up(aside))))
            found = found._replace(code=self._shared(found.code), settings=self._shared(found.settings))
            return found if self.git.kind(self.rev) else found._replace(fault=faults.lost(self.rev))
        except Lost as error:
            return Brief(fault=str(error))

    @cached_property
    def start_fault(self) -> str:
        """Why runs that started from it can't be told; empty where they can."""
        try:
            return self._kept("start", lambda: faults.told(lambda: faults.check_start(self)))
        except Lost as error:
            return str(error)

    def params_on(self, rev: str) -> dict[str, Any]:
        """As much of its params as another commit's `code` and `data` look at."""
        if self.git.object_id(rev, PIPELINE) == self.git.object_id(self.rev, PIPELINE):
            return nested(self.brief.settings)
        return self.params

    @cached_property
    def outcome(self) -> Outcome:
        """What tells two results apart without reading them: the ids of params.yaml and of the metrics files.

        Where git has none of these, DVC keeps them, and dvc.lock has their hashes.
        """
        return self._kept("outcome", self._outcome)

    def _outcome(self) -> Outcome:
        try:
            files = self.pipeline.declared_metrics(self.contract)
        except UserError:  # a commit from before there was a pipeline, or with one that lab can't read
            return [None]
        ids = [self.git.object_id(self.rev, path) for path in files]
        return [self.git.object_id(self.rev, PARAMS), *(ids if any(ids) else [self.git.object_id(self.rev, LOCK)])]

    @cached_property
    def params(self) -> dict[str, Any]:
        """params.yaml. Raises UserError."""
        return self._kept("params", lambda: faults.mapping(self.text(PARAMS), PARAMS))

    @cached_property
    def pipeline(self) -> Pipeline:
        """dvc.yaml. Raises UserError for one that lab can't work with."""
        key = self.git.object_id(self.rev, PIPELINE)
        if key is None:
            raise UserError(f"commit {self.rev[:7]} has no {PIPELINE}: git add the project and git commit it first")
        return self.project.pipeline(key, lambda: self.text(PIPELINE))

    def code(self, params: dict[str, Any], stage: str) -> str:
        """What a run up to `stage` is made by, as a hash: the stages' definitions, and the files that they depend on.

        They are those of dvc.yaml, so that DVC and lab mean the same by it. The raw data is `data`'s part.
        """
        raw, models = self._raw_data(params), self.contract.models_named(params)
        key = (stage, self.pipeline.settings_in_text(params), raw, *models)
        if key not in self._codes:
            parts: list[Any] = [
                [name, definition, {dep: self.version(dep) for dep in deps if dep != raw}]
                for name, definition, deps in self.pipeline.sources(stage, params)
            ]
            parts.append([self.version(name) for name in models])  # of those that are files
            text = json.dumps(parts, sort_keys=True, default=str)
            self._codes[key] = hashlib.sha256(text.encode()).hexdigest()[:12]
        return self._codes[key]

    def data(self, params: dict[str, Any]) -> str | None:
        """The version of the raw data that `params` name: the git id of the path, or of its .dvc file.

        None where git knows neither, so that nobody can tell whether two runs saw the same data. Empty in a project
        whose data no setting names: then it is part of the code.
        """
        if self.contract.raw_data is None:
            return ""
        raw = self._raw_data(params)
        return self.version(raw) if raw else None

    def _raw_data(self, params: dict[str, Any]) -> str:
        return str(get(params, self.contract.raw_data) or "") if self.contract.raw_data else ""

    def version(self, source: str) -> str | None:
        """The git id of a path, or of the .dvc file that stands for it or for a folder above it; None without one."""
        ids = (self.git.object_id(self.rev, place) for place in _places(source))
        return next((entry for entry in ids if entry), None)

    @cached_property
    def locked(self) -> dict[str, dict[str, Any]]:
        """The stages of dvc.lock, by name."""
        try:
            stages = yaml12.mapping(self.text(LOCK)).get("stages")
        except (yaml.YAMLError, UserError):  # such as one with marks of a merge
            return {}
        return stages if isinstance(stages, dict) else {}

    @cached_property
    def _makers(self) -> dict[str, tuple[str, str | None]]:
        """Output -> the stage that made it, and its hash."""
        return {
            out["path"]: (name, out.get("md5")) for name, stage in self.locked.items() for out in stage.get("outs", [])
        }

    @cached_property
    def stages(self) -> dict[str, dict[str, Any]]:
        """The stages of dvc.lock whose outputs belong to this commit's params, by name.

        An experiment that stopped at an earlier stage carries the later ones' files as its baseline had them. Those are
        told by dvc.lock: it says which params and which inputs each stage ran with.
        """
        return {name: stage for name, stage in self.locked.items() if self._is_settled(name)}

    def _is_settled(self, name: str) -> bool:
        if name not in self._settled:
            used = self.locked[name].get("params", {}).get(PARAMS, {})
            deps = self.locked[name].get("deps", [])
            inputs = [(dep, self._makers[dep["path"]]) for dep in deps if dep["path"] in self._makers]
            self._settled[name] = all(get(self.params, key) == value for key, value in used.items()) and all(
                dep.get("md5") == md5 and self._is_settled(maker) for dep, (maker, md5) in inputs
            )
        return self._settled[name]

    @cached_property
    def first_stages(self) -> set[str]:
        """The stages that read no other stage's outputs: they prepare the data, and runs share them."""
        return {
            name
            for name, stage in self.locked.items()
            if not any(dep["path"] in self._makers for dep in stage.get("deps", []))
        }

    @cached_property
    def outputs(self) -> dict[str, dict[str, Any]]:
        """What dvc.lock says of each output of these stages (md5, size, nfiles), by path."""
        return {out["path"]: out for stage in self.stages.values() for out in stage.get("outs", [])}

    @cached_property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """The content of each metrics file by its name, where it is whole: of the stages that ran with these params.

        Kept on disk where git has all of it.
        """
        known = self.project.kept.get("metrics", self.rev)
        if known is None:
            files = self.pipeline.metrics_files(self.contract, self.params)
            contents = {name: self._metrics_file(path)[0] for path, name in files.items()}
            known = {name: content for name, content in contents.items() if content is not None}
            wanted = [path for path in files if self._output_of(path)[0]]
            if self.rev in self.git and all(self.git.object_id(self.rev, path) for path in wanted):
                self.project.kept.put("metrics", self.rev, known)
        return known

    @property
    def damaged_metrics(self) -> dict[str, str]:
        """By path why a metrics file that is here can't be read."""
        read = {path: self._metrics_file(path) for path in self.pipeline.metrics_files(self.contract, self.params)}
        return {path: reason for path, (_, reason) in read.items() if reason}

    @cached_property
    def measured(self) -> Measured:
        """What lists of runs ask, kept on disk where git has all of it: DVC's cache may get it, or lose it."""
        known = self.project.kept.get("measured", self.rev)
        if known is not None:
            return Measured(self._shared(known[0]), *known[1:])
        aside = Commit(self.project, self.rev)
        found = briefs.measured(aside)
        files = [
            *self.pipeline.metrics_files(self.contract, aside.params),
            *map(self.contract.effective_path, aside.stages),
        ]
        wanted = [path for path in files if path and path in aside.outputs]
        if all(self.git.object_id(self.rev, path) for path in wanted):
            self.project.kept.put("measured", self.rev, list(found))
        return found

    @cached_property
    def metrics_elsewhere(self) -> list[str]:
        """The metrics files that dvc.lock names, and that neither git nor DVC's cache has here."""
        files = self.pipeline.metrics_files(self.contract, self.params)
        outputs = {path: self._output_of(path)[0] for path in files}
        return [
            path
            for path, out in outputs.items()
            if out and self.git.object_id(self.rev, path) is None and self.project.store.file(out.get("md5")) is None
        ]

    @cached_property
    def measured_by(self) -> dict[str, str | None]:
        """By the name of a metrics file, the stage that writes it."""
        files = self.pipeline.metrics_files(self.contract, self.params)
        return {name: self.pipeline.maker(path, self.params) for path, name in files.items()}

    def _metrics_file(self, path: str) -> tuple[dict[str, Any] | None, str]:
        """A metrics file's content, or why it can't be read; neither where it is not here."""
        try:
            content = metrics_files.parsed(path, self.result(path))
        except UserError as error:
            return None, str(error)
        is_here = content is None and path in self.outputs and self.git.object_id(self.rev, path) is not None
        return content, f"{path} is empty, or not the file that {LOCK} names" if is_here else ""

    @cached_property
    def effective(self) -> dict[str, dict[str, Any]]:
        """What each stage noted of its run, by stage: config, used, machine, started, seconds. Only what is whole."""
        notes = {}
        for stage in self.stages:
            path = self.contract.effective_path(stage)
            with suppress(UserError):  # of git's files `faults` has told
                if path and (note := faults.note(self.result(path), path)):
                    notes[stage] = note
        return notes

    @cached_property
    def curves(self) -> dict[str, list[tuple[int, float]]]:
        """For each metric, such as `val/loss`, its values by step."""
        curves = self.contract.curves
        if curves is None or curves.output not in self.outputs:
            return {}
        folder = f"{curves.output}/{curves.folder}".rstrip("/")
        return dict(self._curves(folder))

    def _curves(self, folder: str) -> Iterator[tuple[str, list[tuple[int, float]]]]:
        """The TSV files below a folder, each a header and rows of step and value."""
        for path, _ in self.git.files(self.rev, folder):
            if path.endswith(".tsv"):
                with suppress(UserError):
                    points = metrics_files.points(self.text(path))
                    yield path.removeprefix(f"{folder}/").removesuffix(".tsv"), points

    def result(self, path: str) -> str:
        """The text of an output: out of git or, where DVC keeps it, out of its cache.

        Empty where there is none, or git's file is not the one that dvc.lock names. Raises UserError for what is no
        text, or too large.
        """
        out, inside = self._output_of(path)
        if out is None:
            return ""
        if self.git.size(self.rev, path):
            text = self.text(path)
            is_named = inside or hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() == out.get("md5")
            return text if is_named else ""
        file = self.project.store.files(out.get("md5")).get(inside)
        return metrics_files.text(file, path) if file else ""

    def _output_of(self, path: str) -> tuple[dict[str, Any] | None, str]:
        """The output that a path is or lies in, and the path below it: empty where it is one."""
        for place in (PurePosixPath(path), *PurePosixPath(path).parents):
            if str(place) in self.outputs:
                below = PurePosixPath(path).relative_to(place).as_posix()
                return self.outputs[str(place)], "" if below == "." else below
        return None, ""


@lru_cache(maxsize=10_000)
def _places(source: str) -> list[str]:
    """Where git may have a path: as it is, or by the .dvc file that stands for it or for a folder above it."""
    path = PurePosixPath(source)
    if path.is_absolute() or ".." in path.parts:
        return []
    return [source, *(str(part.with_name(f"{part.name}.dvc")) for part in (path, *path.parents) if part.name)]
