"""Small pipelines made by chance, to be carried out by DVC and by `lab.execution.worker`: what comes out is the same.

A `Case` is a project and a few runs of it. `Twins` has it twice, so that neither side sees what the other caches.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pygit2
import yaml

from lab.execution.worker.carry_out import Checkout, Command, StageFailed, Unsupported
from lab.execution.worker.compatibility import by_dvc, check_same, check_same_caches, make, queued, task

WORK = """\
# work.sh OUT... -- IN...: each OUT holds what is in each IN; one that ends with / is a folder of files
set -e
outs=""
while [ "$1" != -- ]; do outs="$outs
$1"; shift; done
shift
text=$(for path; do
    echo "$path"
    find "$path" -type f ! -name '*.junk' | LC_ALL=C sort | while read -r file; do cat "$file"; done
done)
echo "$outs" | while read -r out; do
    [ -n "$out" ] || continue
    case "$out" in
    */empty/) mkdir -p "$out";;
    */) mkdir -p "$out/in"; echo "$text" >"$out/one"; chmod +x "$out/one"; echo same >"$out/in/two"; : >"$out/in/3";;
    *.run) mkdir -p "$(dirname "$out")"; { echo '#!/bin/sh'; echo "$text"; } >"$out"; chmod +x "$out";;
    *.json) mkdir -p "$(dirname "$out")"; echo "{\\"n\\": $(echo "$text" | wc -c)}" >"$out";;
    *.add) mkdir -p "$(dirname "$out")"; echo "$text" >>"$out";;
    *) mkdir -p "$(dirname "$out")"; echo "$text" >"$out";;
    esac
done
"""
TYPES = ["reflink,copy", "reflink,hardlink,symlink", "hardlink,copy", "copy", "symlink"]


@dataclass
class Run:
    """One run of a project: what it changes of the files, and the stages that it is asked for."""

    changes: dict[str, bytes]
    targets: tuple[str, ...]


@dataclass
class Case:
    """A project's files (an executable's name ends with .sh), what DVC has of them, and the runs of it."""

    files: dict[str, bytes]
    data: list[str] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    settings: str = ""


def case(seed: int) -> Case:
    """The case of a seed."""
    return _Maker(random.Random(seed)).case()


class _Maker:
    def __init__(self, chance: random.Random):
        self.chance = chance
        self.params: dict[str, Any] = {
            "lr": 0.1,
            "name": "first",
            "model": {"size": 3, "layers": [8, 16], "head": {"kind": "a", "deep": None}},
            "items": ["x", "y"],
            "flag": True,
            "zero": 1e-05,
            "text": "on: a text, with 'quotes' and # marks " + "long " * chance.choice([1, 20]),
            "fail": 0,
        }
        self.more: dict[str, Any] = {"depth": 2, "sub": {"deeper": 1.5}}
        self.stages: dict[str, Any] = {}
        self.outs: list[str] = []
        self.files: dict[str, bytes] = {
            "work.sh": WORK.encode(),
            "code/a.py": b"a\n",
            "code/tool.sh": b"#!/bin/sh\necho tool\n",
            "git data.txt": "täxt\n".encode(),
            "sub/local.txt": b"local\n",
            "sub/params.yaml": b"lr: 7\nlocal: {deep: 1}\n",
        }
        self.data: list[str] = []

    def maybe(self, probability: float) -> bool:
        return self.chance.random() < probability

    def case(self) -> Case:
        for name in ("raw", "raw.bin"):
            if self.maybe(0.7):
                self.data.append(name)
                content = {f"{name}/{i}/f{i}.txt": f"{i % 3}\n".encode() for i in range(5)} if name == "raw" else {}
                self.files |= content or {name: b"binary\0"}
        for index in range(self.chance.randint(1, 5)):
            self._stage(index)
        top = {}
        if self.maybe(0.3):
            top["vars"] = [{"extra": "v1"}, *(["more.json"] if self.maybe(0.5) else [])]
        if self.maybe(0.3):
            top["metrics"] = ["loose.json"]
            top["plots"] = [{"loose": {"x": "step", "y": {"loose.csv": "v"}}}, "other.csv"]
            first = next(stage for stage in self.stages.values())
            stage = first.get("do", first)
            if "wdir" not in stage:
                stage["cmd"] = [*_commands(stage["cmd"]), "echo '{}' > loose.json; echo v > loose.csv; echo v > x.junk"]
        pipeline = {**top, "stages": self.stages}
        settings = f"[core]\n    analytics = false\n    autostage = {self.maybe(0.5)}\n"
        settings += f'[cache]\n    type = "{self.chance.choice(TYPES)}"\n'
        self.files |= {
            "dvc.yaml": _yaml(pipeline),
            "params.yaml": _yaml(self.params),
            "more.json": json.dumps(self.more).encode(),
            "whole.toml": b"a = 1\n[b]\nc = 'x'\n",
            ".gitignore": b"*.tmp\n/ignored/\n",
            ".dvcignore": self.chance.choice([b"", b"*.junk\n__pycache__\n"]),
        }
        return Case(self.files, self.data, self._runs(pipeline), settings)

    def _stage(self, index: int) -> None:
        chance = self.chance
        name = chance.choice(["make", "träin", "s_t-a"]) + str(index)
        wdir = "sub" if self.maybe(0.15) else None
        above = "../" if wdir else ""
        sources = ["git data.txt", "code", "code/tool.sh", "sub/local.txt", *self.data, *self.outs, *self.outs]
        if "raw" in self.data:
            sources.append("raw/1/f1.txt")
        deps = sorted(set(chance.sample(sources, min(len(sources), chance.randint(0, 4)))))
        deps = [dep for dep in deps if not any(dep != other and dep.startswith(f"{other}/") for other in deps)]
        kind = chance.choice(["plain", "plain", "plain", "foreach", "matrix"])
        mark = {"plain": "", "foreach": "-${item}", "matrix": "-${item.k}"}[kind]
        if kind == "plain" and self.maybe(0.3):
            mark = "-${name}"
        outs, stage = [], {}
        for number in range(chance.randint(0 if deps else 1, 4)):
            out = f"out{index}/{chance.choice(['file', 'föld er', 'tool', 'empty'])}{number}{mark}"
            is_folder = "föld" in out or "empty" in out
            out = out.replace("empty", "e") + "/empty" if "empty" in out else out
            out += ".run" if "tool" in out else ""
            flags: dict[str, Any] = {}
            if self.maybe(0.1):
                flags["cache"] = False
            if self.maybe(0.1):
                flags["persist"] = True
                out += "" if is_folder else ".add"
            if self.maybe(0.1):
                flags |= {"desc": "what it is", "meta": {"key": 1}}
            outs.append(out + ("/" if is_folder else ""))
            stage.setdefault("outs", []).append({above + out: flags} if flags else above + out)
        if self.maybe(0.5):
            outs.append(f"metrics/{index}{mark}.json")
            stage["metrics"] = [{above + outs[-1]: {"cache": False}} if self.maybe(0.8) else above + outs[-1]]
        if self.maybe(0.4):
            outs.append(f"plots{index}{mark}/")
            flags = {"cache": self.maybe(0.3), "x": "a", "y": "b", "template": "linear"}
            stage["plots"] = [{above + outs[-1].rstrip("/"): flags}]
        keys = ["lr", "model.size", "model", "items", "flag", "zero", "text"]
        params: list[Any] = chance.sample(keys, chance.randint(0, 3))
        params = [key for key in params if not (key == "model.size" and "model" in params)]
        if wdir:
            params = [key for key in params if key == "lr"] + (["local.deep"] if self.maybe(0.5) else [])
        if self.maybe(0.3):
            params.append({above + "more.json": ["depth", "sub.deeper"]})
        if self.maybe(0.2):
            params.append({above + "whole.toml": None})
        inputs = [*deps, "params.yaml"] if self.maybe(0.8) else deps
        words = " ".join(f"'{above}{path}'" for path in [*outs, "--", *inputs]).replace(f"'{above}--'", "--")
        commands = [f"sh {above}work.sh {words}"]
        if self.maybe(0.04):
            stage.setdefault("outs", []).append(f"{above}never{index}{mark}")
        if self.maybe(0.4) and kind == "plain" and not wdir:  # what a stage sees: nothing of an earlier run, and modes
            stage.setdefault("outs", []).append(f"seen{index}")
            outs.append(f"seen{index}")
            apart = f"-name .git -prune -o -path ./.dvc -prune -o -name seen{index} -prune -o"
            commands.insert(0, f"find . {apart} -printf '%M %p\\n' | LC_ALL=C sort >seen{index}")
        if self.maybe(0.2):
            commands.append(f"if grep -q '^fail: {index + 1}' {above}params.yaml; then exit 3; fi")
        if self.maybe(0.3):
            commands.append(f"echo junk > {above}code/left{index}.junk; echo x > {above}code/new{index}.txt")
        if self.maybe(0.2):
            commands.append(f"mkdir -p {above}ignored; echo x > {above}ignored/a; echo y > {above}left.tmp")
        if self.maybe(0.15):
            commands.append(f"echo more >> '{above}git data.txt'")
        if self.maybe(0.3) and "raw" in deps:  # DVC looks at it before
            commands.append(f"chmod -R u+w {above}raw; echo spoilt >{above}raw/1/f1.txt")
        if self.maybe(0.1):
            commands.append(f"echo {'a long command ' * 12}")
        body: dict[str, Any] = {"cmd": commands if self.maybe(0.5) else "\n".join(commands)}
        if wdir:
            body["wdir"] = wdir
        if deps:
            body["deps"] = [above + dep for dep in deps]
        if params:
            body["params"] = params
        body |= stage
        for flag, probability in (("always_changed", 0.07), ("frozen", 0.07)):
            if self.maybe(probability):
                body[flag] = True
        if self.maybe(0.2):
            body |= {"desc": "a stage", "meta": {"of": ["what", 1]}}
        if kind == "foreach":
            self.stages[name] = {"foreach": chance.choice([["x", "y"], "${items}"]), "do": body}
        elif kind == "matrix":
            self.stages[name] = {"matrix": {"k": ["p", "q"]}, **body}
        else:
            self.stages[name] = body
            self.outs += [out.rstrip("/") for out in outs]

    def _runs(self, pipeline: dict[str, Any]) -> list[Run]:
        names = list(self.stages)
        runs = [Run({}, ())]
        for number in range(self.chance.randint(2, 3)):
            params = json.loads(json.dumps(self.params))
            what = self.chance.choice(["lr", "size", "same", "name", "unused", "fail", "again"])
            if what == "lr":
                params["lr"] = self.chance.choice([1, 1.0, 0.5, "0.1"])
            elif what == "size":
                params["model"]["size"] = number
            elif what == "name":
                params["name"] = "second"
            elif what == "unused":
                params["unused"] = number
            elif what == "fail":
                params["fail"] = self.chance.randint(1, 5)
            elif what == "again":
                params["lr"] = 0.5
            changes = {"params.yaml": _yaml(params)}
            if self.maybe(0.2):
                changed = json.loads(json.dumps(pipeline))
                stage = self.chance.choice(list(changed["stages"].values()))
                stage = stage.get("do", stage)
                stage["cmd"] = [*_commands(stage["cmd"]), "true"]
                changes["dvc.yaml"] = _yaml(changed)
            if self.maybe(0.2):
                changes["code/a.py"] = b"b\n"
            if self.maybe(0.3) and "raw.bin" in self.data:  # other data, which DVC's cache has of a folder, or has not
                text = self.chance.choice([b"0\n", b"0\n", b"unknown\n"])
                md5 = hashlib.md5(text).hexdigest()
                out = {"md5": md5, "size": len(text), "hash": "md5", "path": "raw.bin"}
                changes["raw.bin.dvc"] = _yaml({"outs": [out]})
            targets = tuple(sorted(self.chance.sample(names, self.chance.randint(1, min(2, len(names))))))
            runs.append(Run(changes, targets if self.maybe(0.7) else ()))
        return runs


def _commands(command: str | list[str]) -> list[str]:
    return command if isinstance(command, list) else command.splitlines()


def _yaml(content: Any) -> bytes:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode()


class Twins:
    """A case's project twice below `folder`: runs of `theirs` are DVC's, of `ours` the worker's."""

    def __init__(self, folder: Path, case: Case):
        self.theirs, self.ours = folder / "theirs", folder / "ours"
        _make(self.theirs, case)
        shutil.copytree(self.theirs, self.ours, symlinks=True)
        self.checkout = Checkout(self.ours, folder / "checkout")
        self.log = io.StringIO()

    def run(self, run: Run, name: str) -> str:
        """Carry a run out on both sides. Returns what came of it; raises AssertionError where that differs."""
        theirs, ours = (queued(root, run.changes, run.targets, name) for root in (self.theirs, self.ours))
        # Of stages that don't need each other, DVC takes those of a small part of the pipeline in a set's order, which
        # differs from process to process. Here it is that of dvc.yaml, as for a large part, and as ours.
        with mock.patch("networkx.classes.coreviews.FilterAtlas.__iter__", in_order):
            expected = by_dvc(self.theirs, theirs, name)
        self.log = io.StringIO()
        try:
            made: str | None = self.checkout.carry_out(task(self.ours, ours, run.targets, name), quietly, self.log)
        except StageFailed:
            made = None
        except Unsupported as error:
            return f"unsupported: {error}"
        assert (made is None) == (expected is None), (made, expected, self.log.getvalue())
        if made and expected:
            check_same(self.theirs, expected, self.ours, made)
        else:
            check_same_caches(self.theirs, self.ours)
        return "made" if made else "failed"

    def go_on(self, name: str) -> None:
        """Start the next runs from the last one's outcome, as `dvc exp apply` and a commit would."""
        for root in (self.theirs, self.ours):
            git = pygit2.Repository(str(root))
            head = str(git.head.target)
            commit = git.references[f"refs/exps/{head[:2]}/{head[2:]}/{name}"].target
            git.references[git.head.name].set_target(commit)


def in_order(atlas: Any) -> Iterator[Any]:
    """The nodes of a part of a graph in the order of the whole."""
    return (node for node in atlas._atlas if atlas.NODE_OK(node))


def quietly(command: Command) -> int:
    """Run a command, and let nobody see what it says."""
    words, environment = ["/bin/sh", "-c", command.text], {**os.environ, **command.environment}
    return subprocess.run(words, cwd=command.folder, env=environment, capture_output=True).returncode


def _make(root: Path, case: Case) -> None:
    """The project, with its data in DVC's cache."""
    from dvc.repo import Repo

    settings = {".dvc/config": case.settings.encode(), ".dvc/.gitignore": b"/config.local\n/tmp\n/cache\n"}
    make(root, {**case.files, **settings})
    if case.data:
        logging.getLogger("dvc").setLevel(logging.CRITICAL)
        git = pygit2.Repository(str(root))
        git.index.remove_all(case.data)
        git.index.write()
        with Repo(str(root)) as repo:
            repo.add([str(root / name) for name in case.data])
        git.index.read()
        git.index.add_all()
        git.index.write()
        who = pygit2.Signature("Tester", "tester@localhost")
        git.create_commit("HEAD", who, who, "data", git.index.write_tree(), [git.head.target])
