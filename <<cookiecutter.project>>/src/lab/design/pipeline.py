"""dvc.yaml as far as a plan needs it: which stage reads which params, and what a stage gets from others."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cached_property
from pathlib import Path
from typing import Any

from lab.design.compose import exists, find
from lab.design.yaml_file import Loader
from lab.errors import UserError, nearest

TEMPLATED = re.compile(r"\$\{([\w.]+)\}")


class Pipeline:
    """The stages of a dvc.yaml."""

    def __init__(self, stages: dict[str, dict[str, Any]]):
        self.stages = stages

    @classmethod
    def read(cls, path: Path) -> Pipeline:
        """Raises UserError: no such file, or no stages in it."""
        import yaml

        if not path.is_file():
            raise UserError(f"{path} not found: run this in a project")
        stages = (yaml.load(path.read_text(), Loader=Loader) or {}).get("stages")
        if not stages:
            raise UserError(f"{path} has no stages")
        return cls(stages)

    @cached_property
    def upstream(self) -> dict[str, list[str]]:
        """Stage -> the stages whose outputs it reads."""
        return {
            stage: [
                other
                for other in self.stages
                if other != stage
                and any(overlap(dep, out) for dep in paths(entry, "deps") for out in self.outputs(other))
            ]
            for stage, entry in self.stages.items()
        }

    def outputs(self, stage: str) -> list[str]:
        """What a stage writes."""
        return [path for kind in ("outs", "metrics", "plots") for path in paths(self.stages[stage], kind)]

    def chain(self, target: str) -> list[str]:
        """`target` and all the stages before it, in the order in which they run. Raises UserError."""
        if target not in self.stages:
            raise UserError(
                f"dvc.yaml has no stage {target}, only {', '.join(self.stages)}.{nearest(target, self.stages)}"
            )
        before = [name for stage in self.upstream[target] for name in self.chain(stage)]
        return list(dict.fromkeys([*before, target]))

    def reads(self, stage: str) -> list[str]:
        """The keys of params.yaml that a stage depends on: its params, and what its command and paths are made of."""
        entry = self.stages[stage]
        keys = [key for key in entry.get("params", []) if isinstance(key, str)]
        return keys + TEMPLATED.findall(json.dumps(entry))

    def signatures(self, target: str, params: dict[str, Any]) -> dict[str, str]:
        """For each stage up to `target`, a hash of all that params say to it and to those before it."""
        found: dict[str, str] = {}
        for stage in self.chain(target):
            said = {key: find(params, key) for key in self.reads(stage) if exists(params, key)}
            text = json.dumps([stage, said, [found[name] for name in self.upstream[stage]]], sort_keys=True)
            found[stage] = hashlib.sha256(text.encode()).hexdigest()
        return found

    def check_metric(self, key: str, metric: str, target: str) -> None:
        """Raises UserError: no stage up to `target` writes the metric's file."""
        declared = [(Path(path), stage) for stage in self.stages for path in paths(self.stages[stage], "metrics")]
        files = {path.stem: stage for path, stage in declared if path.parent == Path("metrics")}
        stem = metric.partition(".")[0]
        written = [name for name, stage in files.items() if stage in self.chain(target)]
        if stem not in written:
            stage = (
                f"written by {files[stem]}, which the design doesn't run" if stem in files else "written by no stage"
            )
            raise UserError(f"{key}: {metric} is {stage}: it has {', '.join(written)}.{nearest(stem, written)}")


def paths(entry: dict[str, Any], kind: str) -> list[str]:
    """The paths of one kind that a stage declares."""
    return [next(iter(item)) if isinstance(item, dict) else item for item in entry.get(kind, [])]


def overlap(one: str, other: str) -> bool:
    """Whether two paths are the same, or one is inside the other."""
    a, b = Path(one).parts, Path(other).parts
    return a[: len(b)] == b or b[: len(a)] == a


def waves(pipeline: Pipeline, signatures: list[dict[str, str]]) -> list[int]:
    """For each run the wave in which it starts: after the first one that shares a stage with it, so that what they
    share is computed once and comes from DVC's run cache afterwards.

    Stages that read no other stage's outputs (the data's preparation) make nobody wait: every run shares them, and the
    first would keep all workers but its own idle.
    """
    first: dict[str, int] = {}  # a stage's signature -> the wave of the first run that has it
    found = []
    for run in signatures:
        shared = [signature for stage, signature in run.items() if pipeline.upstream[stage]]
        wave = max((first[signature] + 1 for signature in shared if signature in first), default=0)
        for signature in shared:
            first.setdefault(signature, wave)
        found.append(wave)
    return found
