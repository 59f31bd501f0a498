"""What an experiment's model said of its test images, out of DVC's cache or its remote."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

import pandas as pd
import yaml

from ..shared.environment import project_root
from ..shared.errors import UserError, nearest

PREDICTIONS, PREPARED = "results/infer/predictions.parquet", "data/prepared"


@dataclass(frozen=True)
class Tested:
    """A run: `images` are the rows of its predictions with the file's `sha256`, `digests` those of all its data."""

    name: str
    task: str
    classes: list[str]
    images: pd.DataFrame
    digests: list[str]


def named(patterns: Sequence[str]) -> list[str]:
    """The experiments that names and patterns mean, each once. Raises UserError for a pattern that means none."""
    names: list[str] = []
    for pattern in patterns:
        if not set(pattern) & set("*?["):
            names.append(pattern)
            continue
        known = experiments()
        found = [name for name in known if fnmatchcase(name, pattern)]
        if not found:
            raise UserError(f"no experiment is called {pattern}.{nearest(pattern, known)} dvc exp list -A has them all")
        names += found
    return list(dict.fromkeys(names))


def experiments() -> list[str]:
    """The names of all experiments here, sorted."""
    from dvc.repo import Repo

    with Repo(str(project_root())) as repo:
        by_commit = repo.experiments.ls(all_commits=True).values()
        return sorted({str(name) for of_commit in by_commit for name, _ in of_commit})


def read(name: str) -> Tested:
    """A run by its experiment's name or any revision. Raises UserError."""
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from scmrepo.exceptions import SCMError

    try:
        files: Any = DVCFileSystem(str(project_root()), rev=name)
        params, lock, images, items, manifest = (
            files.cat_file(path)
            for path in ("params.yaml", "dvc.lock", PREDICTIONS, f"{PREPARED}/items.csv", f"{PREPARED}/manifest.json")
        )
    except (DvcException, SCMError, OSError) as error:
        raise UserError(
            f"no test images of {name}: {error}. Expected an experiment (dvc exp list -A), tag, branch or commit "
            f"that has {PREDICTIONS} and {PREPARED} in DVC's cache or on its remote"
        ) from error
    said: Any = yaml.safe_load(params)
    others = [said["infer"]["model"], *said["infer"]["members"]]
    if any(others):
        raise UserError(
            f"{name} asks another run's model ({', '.join(map(str, filter(None, others)))}), which may have seen these "
            "images in training: name runs that trained theirs"
        )
    if said.get("split", "test") != "test":
        raise UserError(
            f"{name} was measured on the split {said['split']}, which is kept for the end: name another run"
        )
    check_together(name, yaml.safe_load(lock))
    about = json.loads(manifest)
    rows = pd.read_csv(io.BytesIO(items), dtype=str, keep_default_na=False)
    digests = dict(zip(rows["path"], rows["sha256"], strict=True))
    frame = pd.read_parquet(io.BytesIO(images))
    below = [PurePosixPath(path).relative_to(PREPARED).as_posix() for path in frame["path"]]
    frame = frame.assign(path=below, sha256=[digests[path] for path in below], experiment=name)
    return Tested(name, about["task"], about["classes"], frame, list(digests.values()))


def check_together(name: str, lock: dict[str, Any]) -> None:
    """Raise UserError unless the model was tested on the data that are there, by what dvc.lock says of both."""
    stages = lock["stages"]
    asked = {each["path"]: each.get("md5") for each in stages["infer"]["deps"]}
    made = {each["path"]: each.get("md5") for each in stages["prepare"]["outs"]}
    if asked[PREPARED] != made[PREPARED]:
        raise UserError(
            f"{PREDICTIONS} and {PREPARED} of {name} don't belong together: prepare has been run anew since infer. "
            "dvc exp run does what is missing; name its experiment then"
        )
