"""The weights that training starts from: what model.weights names.

Without a file (null, pretrained), this file stands in for it in dvc.yaml; see weights_file in conf/config.yaml.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ..shared.dependencies import md5_of
from ..shared.errors import UserError

PRETRAINED = "pretrained"


def weights_file(model: DictConfig) -> Path | None:
    """The file that cfg.model.weights names, seen from the project's root; None for null and pretrained."""
    return None if model.weights in (None, PRETRAINED) else Path(model.weights)


def used(model: DictConfig) -> dict[str, Any]:
    """Which file the weights are from, for effective/train.yaml; empty without one."""
    file = weights_file(model)
    return {"weights": {"file": str(file), "md5": md5_of(file)}} if file else {}


def check(path: Path, model: DictConfig, expected: str) -> None:
    """Raises UserError where there is no file at `path`."""
    if not path.is_file():
        raise UserError(f"model.weights={model.weights}: no such file ({path.resolve()}). Expected {expected}")
