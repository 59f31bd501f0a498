"""The project as a commit has it: files read from git's objects, without touching the work tree."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import pygit2
import yaml

CODE = ("src", "dvc.yaml")  # what a run is made by; conf/ is in params.yaml, composed


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
        """What the run is made by, as one string."""
        return " ".join(str(entry.id) if (entry := self.object(path)) else "-" for path in CODE)

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
    def stages(self) -> dict[str, dict[str, Any]]:
        """The stages of dvc.lock whose outputs belong to this commit's params, by name.

        An experiment that stopped at an earlier stage carries the later ones' files as its baseline had them. Those are
        told by dvc.lock: it says which params and which inputs each stage ran with.
        """
        stages = _mapping(self.text("dvc.lock")).get("stages", {})
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
    def metrics(self) -> dict[str, dict[str, Any]]:
        """The content of metrics/<stem>.json by stem, of the stages that ran with this commit's params."""
        metrics = {}
        for stage in self.stages.values():
            for out in stage.get("outs", []):
                path = PurePosixPath(out["path"])
                text = self.text(out["path"]) if path.parts[0] == "metrics" and path.suffix == ".json" else ""
                if text and hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() == out.get("md5"):
                    metrics[path.stem] = json.loads(text)
        return metrics

    @cached_property
    def effective(self) -> dict[str, dict[str, Any]]:
        """effective/<stage>.yaml by stage: when it ran, how long and on what.

        DVC caches them (a git-tracked output would keep its stage out of the run cache): absent where the cache is.
        """
        found = {}
        for name, stage in self.stages.items():
            md5s = [out.get("md5") for out in stage.get("outs", []) if out["path"] == f"effective/{name}.yaml"]
            path = self.root.joinpath(".dvc", "cache", "files", "md5", *((md5s[0][:2], md5s[0][2:]) if md5s else ("",)))
            if path.is_file():
                found[name] = _mapping(path.read_text())
        return found


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
