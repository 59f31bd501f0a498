"""dvc.yaml as far as lab needs it: which stage reads which settings and files, what it writes, where metrics lie."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import yaml

from lab import yaml12
from lab.errors import UserError, nearest
from lab.nested_keys import exists, find, get

if TYPE_CHECKING:
    from lab.contract import Contract

TEMPLATED = re.compile(r"\$\{([\w.\[\]/-]+)\}")
ITEM = re.compile(r"\$\{(item|key)[\w.]*\}")  # of a stage that is several by foreach or matrix
PARAMS = "params.yaml"
WRITTEN = ("outs", "metrics", "plots")


class Pipeline:
    """The stages of a dvc.yaml. Their paths may hold `${keys}` of the settings."""

    def __init__(
        self, stages: dict[str, dict[str, Any]], metrics: list[str] | None = None, variables: list[Any] | None = None
    ):
        self.stages = stages
        self._more_metrics = metrics or []  # those that dvc.yaml lists beside its stages
        self._vars = variables or []  # what dvc.yaml has under `vars`
        self._sources: dict[tuple[str, tuple[str, ...]], list[tuple[str, dict[str, Any], list[str]]]] = {}

    @classmethod
    def read(cls, path: Path) -> Pipeline:
        """Raises UserError: no such file, or no stages in it."""
        if not path.is_file():
            raise UserError(f"{path} not found: run this in a project")
        return cls.of(yaml12.read(path), str(path))

    @classmethod
    def parse(cls, text: str, where: str) -> Pipeline:
        """The stages in the text of a dvc.yaml; `where` is what messages call it. Raises UserError."""
        try:
            return cls.of(yaml12.load(text), where)
        except yaml.YAMLError as error:
            raise UserError(f"{where} is not YAML: {' '.join(str(error).split())}") from error

    @classmethod
    def of(cls, content: Any, where: str) -> Pipeline:
        """The stages in what a dvc.yaml holds. Raises UserError."""
        stages = content.get("stages") if isinstance(content, dict) else None
        if not isinstance(stages, dict) or not stages:
            raise UserError(f"{where} has no stages")
        for name, stage in stages.items():
            if not isinstance(stage, dict):
                raise UserError(f"{where}: the stage {name} is {stage!r}: expected its cmd, deps and outs")
        return cls(stages, paths(content, "metrics"), content.get("vars"))

    # Stages

    @cached_property
    def upstream(self) -> dict[str, list[str]]:
        """Stage -> the stages whose outputs it reads."""
        return {
            stage: [
                maker
                for maker in self.stages
                if maker != stage and any(overlap(dep, out) for dep in self.deps(stage) for out in self.outputs(maker))
            ]
            for stage in self.stages
        }

    def chain(self, target: str) -> list[str]:
        """`target` and all the stages before it, in the order in which they run. Raises UserError."""
        if target not in self.stages:
            hint = nearest(target, self.stages)
            if ":" in target:
                hint = " A stage of a dvc.yaml in a folder can't answer a question: lab reads the one at the top."
            several = target.partition("@")[0]
            if several in self.stages:
                hint = f" {self._is_several(several)}"
            raise UserError(f"dvc.yaml has no stage {target}, only {', '.join(self.stages)}.{hint}")
        if self._several(target):
            raise UserError(f"dvc.yaml: {self._is_several(target)}")
        before = [name for stage in self.upstream[target] for name in self.chain(stage)]
        return list(dict.fromkeys([*before, target]))

    def definition(self, stage: str, params: dict[str, Any]) -> dict[str, Any]:
        """What dvc.yaml says of a stage, but for how its results are shown."""
        entry = self.stages[stage]
        run = {key: entry[key] for key in ("cmd", "wdir", "params", "vars") if key in entry}
        if self._vars:
            run["vars of all stages"] = self._vars
        return {**run, "deps": self.deps(stage, params), "outs": self.outputs(stage, params)}

    def deps(self, stage: str, params: dict[str, Any] | None = None) -> list[str]:
        """The files and folders that a stage depends on; parameter files other than params.yaml are among them."""
        entry = self._entry(stage)
        others = [name for item in entry.get("params") or [] if isinstance(item, dict) for name in item]
        files = [str(item).partition(":")[0] for item in self._variables(stage) if not isinstance(item, dict)]
        names = [*paths(entry, "deps"), *(name for name in (*others, *files) if name != PARAMS)]
        return self._located(stage, names, params)

    def outputs(self, stage: str, params: dict[str, Any] | None = None) -> list[str]:
        """What a stage writes."""
        entry = self._entry(stage)
        return self._located(stage, [path for kind in WRITTEN for path in paths(entry, kind)], params)

    def cached(self, stage: str) -> list[str]:
        """Those of them that DVC keeps, and not git, as dvc.yaml has them."""
        entry = self._entry(stage)
        items = [item for kind in WRITTEN for item in entry.get(kind) or []]
        return [
            path
            for item in items
            for path, options in (item.items() if isinstance(item, dict) else [(str(item), {})])
            if (options or {}).get("cache", True)
        ]

    def metrics_in_git(self, params: dict[str, Any]) -> list[str]:
        """The metrics files that git keeps, and not DVC: a commit without one of them is not whole."""
        return [
            path
            for stage in self.stages
            for path in self._located(
                stage, [name for name in paths(self._entry(stage), "metrics") if name not in self.cached(stage)], params
            )
        ]

    def shown(self, params: dict[str, Any]) -> list[str]:
        """The metrics and plots of all stages: what people look at."""
        return [
            path
            for stage in self.stages
            for kind in ("metrics", "plots")
            for path in self._located(stage, paths(self._entry(stage), kind), params)
        ]

    def maker(self, path: str, params: dict[str, Any] | None) -> str | None:
        """The stage whose output a path is, or lies in; None for a file that no stage writes."""
        makers = (stage for stage in self.stages for out in self.outputs(stage, params) if overlap(path, out))
        return next(makers, None)

    def sources(self, target: str, params: dict[str, Any]) -> list[tuple[str, dict[str, Any], list[str]]]:
        """For each stage up to `target` its name, its definition, and what it depends on that no stage writes.

        Worked out once for all runs whose settings make the same texts. Raises UserError.
        """
        key = (target, self.settings_in_text(params))
        if key not in self._sources:
            self._sources[key] = [
                (
                    name,
                    self.definition(name, params),
                    [dep for dep in self.deps(name, params) if not self.maker(dep, params)],
                )
                for name in self.chain(target)
            ]
        return self._sources[key]

    def settings_in_text(self, params: dict[str, Any]) -> tuple[str, ...]:
        """What the params say to the `${keys}` of dvc.yaml."""
        return tuple(repr(get(params, key)) for key in self.keys_in_text)

    @cached_property
    def keys_in_text(self) -> list[str]:
        """The keys of the settings that dvc.yaml's texts are made of."""
        return sorted(set(TEMPLATED.findall(json.dumps([self.stages, self._vars, self._more_metrics], default=str))))

    def _several(self, stage: str) -> str:
        """By what a stage is several; empty for a single one."""
        return next((way for way in ("foreach", "matrix") if way in self.stages[stage]), "")

    def _is_several(self, stage: str) -> str:
        """Why a stage can't be part of what a design runs."""
        way = self._several(stage) or "no foreach or matrix"
        return f"{stage} is several stages by {way}, and lab takes single ones: give each a name of its own"

    def _entry(self, stage: str) -> dict[str, Any]:
        """What dvc.yaml says of a stage, or of each that it is several of."""
        return self.stages[stage].get("do") or self.stages[stage]

    def _located(self, stage: str, names: list[str], params: dict[str, Any] | None) -> list[str]:
        """Paths from the project's root, with the settings filled in where there are `params`."""
        folder = PurePosixPath(str(self._entry(stage).get("wdir", "")))
        if self._several(stage):
            names = [ITEM.sub("*", name) for name in names]
        located = [str(folder / name) if str(folder) not in ("", ".") else name for name in names]
        if params is None:
            return located
        written = {
            key: value for item in self._variables(stage) if isinstance(item, dict) for key, value in item.items()
        }
        return [filled(path, {**written, **params}) for path in located]

    def _variables(self, stage: str) -> list[Any]:
        """The `vars` that a stage sees: mappings, and names of files."""
        return [*self._vars, *(self.stages[stage].get("vars") or [])]

    # Settings

    def reads(self, stage: str) -> list[str]:
        """The keys of params.yaml that a stage depends on: its params, and what its command and paths are made of."""
        keys = TEMPLATED.findall(json.dumps(self.stages[stage]))
        for item in self.stages[stage].get("params") or []:
            keys += [item] if isinstance(item, str) else item.get(PARAMS) or []
        return keys

    def _settings(self, stage: str, params: dict[str, Any]) -> dict[str, Any]:
        """What the params say to a stage; where it names params.yaml without keys, that is all of them."""
        items = self.stages[stage].get("params") or []
        if any(isinstance(item, dict) and PARAMS in item and not item[PARAMS] for item in items):
            return params
        return {key: find(params, key) for key in self.reads(stage) if exists(params, key)}

    def signatures(self, target: str, params: dict[str, Any]) -> dict[str, str]:
        """For each stage up to `target`, a hash of all that params say to it and to those before it."""
        result: dict[str, str] = {}
        for stage in self.chain(target):
            settings = self._settings(stage, params)
            text = json.dumps([stage, settings, [result[name] for name in self.upstream[stage]]], sort_keys=True)
            result[stage] = hashlib.sha256(text.encode()).hexdigest()
        return result

    # Metrics

    def declared_metrics(self, contract: Contract, params: dict[str, Any] | None = None) -> list[str]:
        """The metrics files that hold results, as dvc.yaml declares them."""
        own = [
            path
            for stage in self.stages
            if not self._several(stage)
            for path in self._located(stage, paths(self.stages[stage], "metrics"), params)
        ]
        more = [filled(path, params) if params is not None else path for path in self._more_metrics]
        return [path for path in dict.fromkeys([*own, *more]) if contract.is_result(path)]

    def metrics_files(self, contract: Contract, params: dict[str, Any] | None = None) -> dict[str, str]:
        """Each metrics file with the name that metrics in it begin with: its own without ending, or where two share one
        with its folders, such as `eval.metrics`."""
        files = [PurePosixPath(path) for path in self.declared_metrics(contract, params)]
        stems = Counter(path.stem for path in files)
        return {
            str(path): path.stem if stems[path.stem] == 1 else ".".join(path.with_suffix("").parts) for path in files
        }

    def measures(self, metric: str, contract: Contract, params: dict[str, Any] | None = None) -> str | None:
        """The stage that writes a metric's file; None where none does."""
        files = self.metrics_files(contract, params).items()
        paths = (path for path, name in files if metric.startswith(f"{name}."))
        return next((stage for path in paths if (stage := self.maker(path, params))), None)

    def check_paths(self, target: str, params: dict[str, Any]) -> None:
        """Raises UserError: a path of a stage up to `target` that is made of what lab does not read."""
        for stage in self.chain(target):
            for path in (*self.deps(stage, params), *self.outputs(stage, params)):
                if unknown := TEMPLATED.search(path):
                    raise UserError(
                        f"dvc.yaml: the stage {stage} names {path}, and {unknown[1]} is neither in {PARAMS} nor among "
                        "the vars that dvc.yaml itself holds: write it into one of them"
                    )

    def check_metric(self, key: str, metric: str, target: str, contract: Contract, params: dict[str, Any]) -> None:
        """Raises UserError: no stage up to `target` writes the metric's file."""
        files = {name: path for path, name in self.metrics_files(contract, params).items()}
        makers = {name: self.maker(path, params) for name, path in files.items()}
        chain = self.chain(target)
        written = [name for name, stage in makers.items() if stage in chain]
        if any(metric.startswith(f"{name}.") for name in written):
            return
        where = "written by no stage"
        if other := next((name for name in makers if metric.startswith(f"{name}.")), None):
            where = f"in {files[other]}, which no stage of dvc.yaml names among its metrics or outs"
            if makers[other]:
                where = f"written by {makers[other]}, which the design doesn't run"
        stem = metric.partition(".")[0]
        raise UserError(f"{key}: {metric} is {where}: it has {', '.join(written)}.{nearest(stem, written)}")


def paths(entry: dict[str, Any], kind: str) -> list[str]:
    """The paths of one kind that a stage declares."""
    return [next(iter(item)) if isinstance(item, dict) else item for item in entry.get(kind) or []]


def filled(text: str, params: dict[str, Any] | None) -> str:
    """A text of dvc.yaml with the settings in place of its `${keys}`; keys that are none stay."""

    def value(match: re.Match[str]) -> str:
        setting = get(params, match[1], match[0])
        return str(setting).lower() if isinstance(setting, bool) else str(setting)

    return TEMPLATED.sub(value, text)


def overlap(left: str, right: str) -> bool:
    """Whether two paths are the same, or one is inside the other; a `*` stands for any part of a name."""
    parts = zip(PurePosixPath(left).parts, PurePosixPath(right).parts, strict=False)
    return all(a == b or ("*" in b and fnmatchcase(a, b)) or ("*" in a and fnmatchcase(b, a)) for a, b in parts)


def waves(pipeline: Pipeline, signatures: list[dict[str, str]]) -> list[int]:
    """For each run the wave in which it starts: after the first one that shares a stage with it, so that what they
    share is computed once and comes from DVC's run cache afterwards.

    Stages that read no other stage's outputs (the data's preparation) make nobody wait: every run shares them, and the
    first would keep all workers but its own idle.
    """
    first: dict[str, int] = {}  # a stage's signature -> the wave of the first run that has it
    result = []
    for run in signatures:
        shared = [signature for stage, signature in run.items() if pipeline.upstream[stage]]
        wave = max((first[signature] + 1 for signature in shared if signature in first), default=0)
        for signature in shared:
            first.setdefault(signature, wave)
        result.append(wave)
    return result
