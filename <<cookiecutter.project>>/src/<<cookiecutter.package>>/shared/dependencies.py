"""What dvc.yaml says of a stage: the one definition of what it depends on, for DVC and for a training that goes on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from . import yaml_file


def stages() -> dict[str, Any]:
    """The stages of dvc.yaml."""
    return yaml_file.read(Path("dvc.yaml"))["stages"]


def declaration(stage: str) -> dict[str, Any]:
    """What dvc.yaml says of `stage`."""
    return stages()[stage]


def outputs(stage: str) -> list[Path]:
    """The paths that dvc.yaml declares as outputs of `stage`."""
    items = [item for kind in ("outs", "metrics", "plots") for item in declaration(stage).get(kind, [])]
    return [Path(next(iter(item)) if isinstance(item, dict) else item) for item in items]


def paths(stage: str, cfg: DictConfig) -> list[Path]:
    """The files and folders that `stage` depends on with the settings `cfg`."""
    return [
        Path(re.sub(r"\$\{([\w.]+)\}", lambda match: str(OmegaConf.select(cfg, match[1])), path))
        for path in declaration(stage).get("deps", [])
    ]


def files(stage: str, cfg: DictConfig) -> Iterator[Path]:
    """Every file that `stage` depends on, outputs of other stages left out: its code, and what its settings name."""
    made = {output for other in stages() for output in outputs(other)}
    for path in paths(stage, cfg):
        if path in made:
            continue
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                yield file


def md5_of(path: Path) -> str:
    """The MD5 hash of a file, as DVC has it."""
    return md5(path.read_bytes(), usedforsecurity=False).hexdigest()
