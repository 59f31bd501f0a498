"""A project's pipeline as DVC reads it: dvc.yaml resolved with its variables, .dvc files, and the order of stages.

Parsing, variables and checks are DVC's own; what is made of them are plain stages with paths relative to the project.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from lab.execution.worker.content import Content
from lab.execution.worker.errors import Unsupported

FILE = "dvc.yaml"
KNOWN = {  # of a .dvc file and its outputs; anything else is an import or lies elsewhere
    "file": {"outs", "md5", "desc", "meta", "wdir"},
    "out": {"path", "md5", "size", "nfiles", "isexec", "hash", "desc", "type", "labels", "meta", "push", "cache"},
}


class Dependency(NamedTuple):
    """A path as the stage names it, and where that is in the project."""

    name: str
    path: str


class Params(NamedTuple):
    """A file of params, as the stage names it and in the project, and the keys of it; none: the whole file."""

    name: str
    path: str
    keys: tuple[str, ...]


class Output(NamedTuple):
    """What a stage writes; `content` is what a .dvc file says is there."""

    name: str
    path: str
    cached: bool = True
    persistent: bool = False
    is_metric: bool = False
    is_plot: bool = False
    content: Content | None = None


@dataclass(frozen=True)
class Stage:
    """A stage of dvc.yaml, or a .dvc file: that has no command. `folder` is where it runs, `file` what names it."""

    name: str
    file: str
    folder: str
    command: str | list[str] | None
    deps: tuple[Dependency, ...] = ()
    params: tuple[Params, ...] = ()
    outs: tuple[Output, ...] = ()
    frozen: bool = False
    always_changed: bool = False

    @property
    def is_callback(self) -> bool:
        """Whether it runs every time, as it names neither what it needs nor what it writes."""
        return bool(self.command) and not (self.deps or self.params or self.outs)

    @property
    def commands(self) -> list[str]:
        """What it runs, one after the other."""
        return self.command if isinstance(self.command, list) else (self.command or "").splitlines()


@dataclass(frozen=True)
class Pipeline:
    """Stages in DVC's order; what each needs of others; what dvc.yaml itself names as metrics, params and plots."""

    stages: dict[str, Stage]
    upstream: dict[str, list[str]]
    groups: dict[str, list[str]] = field(default_factory=dict)
    top_level: tuple[str, ...] = ()

    def targets(self, names: Iterable[str]) -> list[str]:
        """The stages that are meant. Raises Unsupported."""
        wanted: list[str] = []
        for name in names:
            if name in self.groups:
                wanted += self.groups[name]
            elif name in self.stages and self.stages[name].file == FILE:
                wanted.append(name)
            elif name == FILE:
                wanted += [stage.name for stage in self.stages.values() if stage.file == FILE]
            else:
                raise Unsupported(f"target {name!r} is no stage of {FILE}")
        return list(dict.fromkeys(wanted))

    def steps(self, targets: Iterable[str]) -> list[Stage]:
        """The stages to look at for these targets, each after what it needs; what a frozen one needs is left out."""
        wanted = self.targets(targets or [FILE])
        active = {name: [] if self.stages[name].frozen else needs for name, needs in self.upstream.items()}
        below = set(_postorder(wanted, active))
        return [self.stages[name] for name in _postorder([name for name in self.stages if name in below], active)]

    def needed(self, targets: Iterable[str]) -> list[Stage]:
        """The stages whose outputs are laid out before: the targets and all that they need; all without targets."""
        wanted = self.targets(targets)
        return [self.stages[name] for name in (_postorder(wanted, self.upstream) if wanted else self.stages)]


def _postorder(names: Iterable[str], upstream: dict[str, list[str]]) -> Iterator[str]:
    """Depth first, each after what it needs."""
    seen: set[str] = set()

    def visit(name: str) -> Iterator[str]:
        if name not in seen:
            seen.add(name)
            for other in upstream[name]:
                yield from visit(other)
            yield name

    for name in names:
        yield from visit(name)


def read(project: Path, data_files: Iterable[str], config: dict[str, Any]) -> Pipeline:
    """The pipeline of the checkout at `project`. Raises Unsupported, also where DVC would say what is wrong."""
    from dvc.exceptions import DvcException
    from dvc.parsing import DataResolver

    contents = parsed((project / FILE).read_bytes(), FILE)
    if contents.get("datasets"):
        raise Unsupported("datasets")
    try:
        stand: Any = _Stand(project, config)
        resolver = DataResolver(stand, str(project), contents)
        names = resolver.get_keys()
        stages = [_stage(name, resolver.resolve_one(name)[name]) for name in names]
        top = (*resolver.resolve_metrics(), *resolver.resolve_params(), *_sources(resolver.resolve_plots()))
    except (DvcException, ValueError, TypeError, KeyError) as error:
        raise Unsupported(f"{FILE}: {error}") from error
    groups = {
        group: [name for name in names if name.startswith(f"{group}@")]
        for group, definition in (contents.get("stages") or {}).items()
        if {"foreach", "matrix"} & set(definition)
    }
    stages += [data_file(path, (project / path).read_bytes()) for path in data_files]
    return Pipeline({stage.name: stage for stage in stages}, _upstream(stages), groups, tuple(map(_place, top)))


class _Stand:
    """What DVC's resolver asks of a Repo."""

    def __init__(self, project: Path, config: dict[str, Any]):
        from dvc.fs import LocalFileSystem

        class Here(LocalFileSystem):  # paths count from the project on, wherever the worker runs
            def relpath(self, path: str, start: str | None = None) -> str:
                return super().relpath(path, start or str(project))

            def exists(self, path: str, *args: Any, **options: Any) -> bool:
                return super().exists(str(project / path), *args, **options)

            def isdir(self, path: str) -> bool:
                return super().isdir(str(project / path))

            def open(self, path: str, *args: Any, **options: Any) -> Any:
                return super().open(str(project / path), *args, **options)

        self.fs = Here()
        self.config = config


@lru_cache(maxsize=64)
def parsed(text: bytes, name: str) -> dict[str, Any]:
    """A dvc.yaml, .dvc file or dvc.lock, checked with DVC's schema; not to be changed. Raises Unsupported."""
    from dvc import schema
    from dvc.exceptions import DvcException
    from dvc.utils.serialize import parse_yaml
    from voluptuous import Invalid

    checks = {FILE: schema.COMPILED_MULTI_STAGE_SCHEMA, "dvc.lock": schema.COMPILED_LOCKFILE_SCHEMA}
    try:
        contents = parse_yaml(text.decode(), name)
        checks.get(name, schema.COMPILED_SINGLE_STAGE_SCHEMA)(contents)
    except (DvcException, Invalid, UnicodeDecodeError) as error:
        raise Unsupported(f"{name}: {error}") from error
    return contents


def _sources(plots: list[Any]) -> Iterator[str]:
    """The files that top-level plots are drawn of."""
    for plot in plots:
        if isinstance(plot, str):
            yield plot
            continue
        ((name, properties),) = plot.items()
        axes = [(properties or {}).get(axis) for axis in ("y", "x")]
        if isinstance(axes[0], dict):
            yield from (path for axis in axes if isinstance(axis, dict) for path in axis)
        else:
            yield name


def _stage(name: str, definition: dict[str, Any]) -> Stage:
    from dvc.dependency import _merge_params
    from dvc.output import _merge_data

    folder = _place(definition.get("wdir") or ".")
    outs = []
    for kind in ("outs", "metrics", "plots"):
        for path, flags in _merge_data(definition.get(kind, [])).items():
            if flags.get("remote"):
                raise Unsupported(f"stage {name!r}: output {path!r} has a remote of its own")
            outs.append(
                Output(
                    path,
                    _place(path, folder),
                    flags.get("cache", True),
                    flags.get("persist", False),
                    kind == "metrics",
                    kind == "plots",
                )
            )
    deps = definition.get("deps", [])
    params = _merge_params(definition.get("params", []))
    return Stage(
        name,
        FILE,
        folder,
        definition["cmd"],
        tuple(Dependency(path, _place(path, folder)) for path in deps),
        tuple(Params(path, _place(path, folder), tuple(keys)) for path, keys in params.items()),
        tuple(outs),
        definition.get("frozen", False),
        definition.get("always_changed", False),
    )


def data_file(path: str, text: bytes) -> Stage:
    """A .dvc file as `dvc add` writes it. Raises Unsupported."""
    contents = parsed(text, path)
    folder = _place(contents.get("wdir") or ".", posixpath.dirname(path))
    outs = contents.get("outs") or []
    strange = set(contents) - KNOWN["file"] | {key for out in outs for key in set(out) - KNOWN["out"]}
    if strange:
        raise Unsupported(f"{path}: {', '.join(sorted(strange))}")
    if any(out.get("hash") != "md5" or out.get("cache") is False for out in outs):
        raise Unsupported(f"{path} is not in DVC 3's form")
    made = [Output(out["path"], _place(out["path"], folder), content=Content.from_lock(out)) for out in outs]
    return Stage(path, path, folder, None, outs=tuple(made))


def _place(path: str, folder: str = "") -> str:
    """Where a path that is named in `folder` is in the project. Raises Unsupported where it is outside."""
    if "://" in path or posixpath.isabs(path):
        raise Unsupported(f"{path} is not in the project")
    place = posixpath.normpath(posixpath.join(folder, path))
    if place.startswith(".."):
        raise Unsupported(f"{path} is not in the project")
    return "" if place == "." else place


def _upstream(stages: list[Stage]) -> dict[str, list[str]]:
    """What each stage needs of the others, in DVC's order. Raises Unsupported for what is no pipeline."""
    from pygtrie import Trie

    owners: Trie = Trie()
    for stage in stages:
        for out in stage.outs:
            key = tuple(out.path.split("/"))
            if not out.path or key in owners or owners.has_subtrie(key) or owners.shortest_prefix(key).is_set:
                raise Unsupported(f"output {out.path!r} of {stage.name!r} overlaps with another")
            owners[key] = stage.name
        if owners.shortest_prefix(tuple(stage.file.split("/"))).is_set:
            raise Unsupported(f"{stage.file} lies in an output")
    upstream: dict[str, list[str]] = {}
    for stage in stages:
        needs: list[str] = []
        for path in [*(dep.path for dep in stage.deps), *(params.path for params in stage.params)]:
            key = tuple(path.split("/")) if path else ()
            needs += [step.value for step in owners.prefixes(key)]
            if owners.has_subtrie(key):
                needs += owners.values(prefix=key)
        upstream[stage.name] = list(dict.fromkeys(needs))
    _check_acyclic(upstream)
    return upstream


def _check_acyclic(upstream: dict[str, list[str]]) -> None:
    done: set[str] = set()
    for name in _postorder(upstream, upstream):
        if any(other not in done for other in upstream[name]):
            raise Unsupported(f"stage {name!r} needs what comes of it")
        done.add(name)


def inside(path: str, folders: Iterable[str]) -> bool:
    """Whether a path is one of these or lies in one."""
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)
