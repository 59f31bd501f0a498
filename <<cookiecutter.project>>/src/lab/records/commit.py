"""The project as a commit has it: files read from git's objects, without touching the work tree."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import pygit2
import yaml

PACKAGE = next(Path(__file__).parents[2].glob("*/vision")).parent
# Parts of src/ that no stage imports: what lab does with runs does not change them.
LAB = {"src/lab.py", *(f"src/{PACKAGE.name}/{p}" for p in ("cli.py", "design", "execution", "results", "tracking"))}


class Yaml(yaml.CSafeLoader):
    """YAML 1.2's scalars, as DVC writes them: 1e-05 is a number and yes is a string."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}


for _tag, _pattern in {
    "null": r"~|null|",
    "bool": r"true|false",
    "int": r"[-+]?[0-9]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan",
}.items():
    Yaml.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), None)


@lru_cache(maxsize=8)
def repository(root: Path) -> pygit2.Repository:
    """The git repository that the project at `root` lies in. Raises pygit2.GitError where there is none."""
    return pygit2.Repository(str(root))  # type: ignore[no-any-return]


def prefix(root: Path) -> PurePosixPath:
    """Where the project lies inside its repository: `.`, or the folder of a project in a larger repository."""
    return PurePosixPath(root.resolve().relative_to(Path(repository(root).workdir).resolve()).as_posix())


@lru_cache(maxsize=100_000)
def commit(root: Path, rev: str) -> Commit:
    """The commit `rev`, a full hash. A commit never changes, so that what was read from it is kept."""
    return Commit(root, rev)


class Commit:
    """What a commit says about a run."""

    def __init__(self, root: Path, rev: str):
        self.root = root
        self._tree: pygit2.Tree = repository(root)[rev].peel(pygit2.Commit).tree

    def object(self, path: str) -> pygit2.Object | None:
        """What lies at `path` from the project's root: a file (Blob), a folder (Tree) or nothing (None)."""
        try:
            return self._tree[str(prefix(self.root) / path)]
        except KeyError:
            return None

    def extract(self, paths: Iterable[str], folder: Path) -> None:
        """Write these files and folders below `folder`; what the commit has not is left out."""
        for path in paths:
            entry = self.object(path)
            if isinstance(entry, pygit2.Tree):
                self.extract((f"{path}/{item.name}" for item in entry), folder)
            elif isinstance(entry, pygit2.Blob):
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(entry.data)

    def _below(self, path: str) -> Iterator[str]:
        """The paths of what a folder has."""
        folder = self.object(path)
        yield from (f"{path}/{entry.name}" for entry in (folder if isinstance(folder, pygit2.Tree) else ()))

    def text(self, path: str) -> str:
        """The content of a file, empty where it is absent."""
        blob = self.object(path)
        return blob.data.decode() if isinstance(blob, pygit2.Blob) else ""

    @cached_property
    def params(self) -> dict[str, Any]:
        """params.yaml."""
        return _mapping(self.text("params.yaml"))

    @cached_property
    def code(self) -> str:
        """What the run is made by, as a hash: dvc.yaml and what stages import. conf/ is in params.yaml, composed."""
        package = f"src/{PACKAGE.name}"
        paths = {"dvc.yaml", *self._below("src"), *self._below(package)} - {package} - LAB
        content = "".join(f"{path} {entry.id} " for path in sorted(paths) if (entry := self.object(path)))
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    def data(self, params: dict[str, Any]) -> str | None:
        """The version of the data that `params` name: the git id of data.source.path, or of the .dvc file that stands for it.

        None where git knows neither, so that nobody can tell whether two runs saw the same data.
        """
        source = str((params.get("data") or {}).get("source", {}).get("path") or "")
        path = PurePosixPath(source)
        if not source or path.is_absolute() or ".." in path.parts:
            return None
        candidates = [path, *(part.with_name(part.name + ".dvc") for part in (path, *path.parents) if part.name)]
        return next((str(entry.id) for part in candidates if (entry := self.object(str(part)))), None)

    @cached_property
    def locked(self) -> dict[str, dict[str, Any]]:
        """The stages of dvc.lock, by name."""
        return _mapping(self.text("dvc.lock")).get("stages", {})

    @cached_property
    def stages(self) -> dict[str, dict[str, Any]]:
        """The stages of dvc.lock whose outputs belong to this commit's params, by name.

        An experiment that stopped at an earlier stage carries the later ones' files as its baseline had them. Those are
        told by dvc.lock: it says which params and which inputs each stage ran with.
        """
        stages = self.locked
        made = {out["path"]: (name, out.get("md5")) for name, stage in stages.items() for out in stage.get("outs", [])}
        settled: dict[str, bool] = {}

        def is_settled(name: str) -> bool:
            if name not in settled:
                used = stages[name].get("params", {}).get("params.yaml", {})
                inputs = [(dep, made[dep["path"]]) for dep in stages[name].get("deps", []) if dep["path"] in made]
                settled[name] = all(_select(self.params, key) == value for key, value in used.items()) and all(
                    dep.get("md5") == md5 and is_settled(maker) for dep, (maker, md5) in inputs
                )
            return settled[name]

        return {name: stage for name, stage in stages.items() if is_settled(name)}

    @cached_property
    def outputs(self) -> dict[str, dict[str, Any]]:
        """What dvc.lock says of each output of these stages (md5, size, nfiles), by path."""
        return {out["path"]: out for stage in self.stages.values() for out in stage.get("outs", [])}

    @cached_property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """The content of metrics/<stem>.json by stem, of the stages that ran with this commit's params, where it is whole."""
        found = {}
        for path in self.outputs:
            if path.startswith("metrics/") and path.endswith(".json"):
                with suppress(json.JSONDecodeError):
                    found[PurePosixPath(path).stem] = json.loads(self.result(path))
        return found

    @cached_property
    def effective(self) -> dict[str, dict[str, Any]]:
        """effective/<stage>.yaml by stage: what it was run with, on what, when, and how long."""
        texts = {stage: self.result(f"effective/{stage}.yaml") for stage in self.stages}
        return {stage: rows[0] for stage, text in texts.items() if (rows := yaml.load(text, Loader=Yaml))}  # noqa: S506

    @cached_property
    def curves(self) -> dict[str, list[tuple[int, float]]]:
        """DVCLive's curves: for each metric, such as `val/loss`, its values by step."""
        folder = self.object("dvclive/plots/metrics") if "dvclive/plots" in self.outputs else None
        return dict(_curves(folder)) if isinstance(folder, pygit2.Tree) else {}

    def result(self, path: str) -> str:
        """The content of an output that git keeps; empty where the file is not the one that dvc.lock names."""
        text = self.text(path)
        md5 = self.outputs.get(path, {}).get("md5")
        return text if hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() == md5 else ""


def _curves(folder: pygit2.Tree, prefix: str = "") -> Iterator[tuple[str, list[tuple[int, float]]]]:
    """The TSV files below a folder, each a header and rows of step and value."""
    for entry in folder:
        name = f"{prefix}{str(entry.name).removesuffix('.tsv')}"
        if isinstance(entry, pygit2.Tree):
            yield from _curves(entry, f"{name}/")
        elif isinstance(entry, pygit2.Blob):
            rows = (line.split("\t") for line in entry.data.decode().splitlines()[1:])
            yield name, [(int(step), float(value)) for step, value in rows]


def _mapping(text: str) -> dict[str, Any]:
    content = yaml.load(text, Loader=Yaml)  # noqa: S506, it is a safe loader
    return content if isinstance(content, dict) else {}


def _select(params: dict[str, Any], key: str) -> Any:
    """The value at a dotted key, as dvc.lock names it."""
    value: Any = params
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return value
