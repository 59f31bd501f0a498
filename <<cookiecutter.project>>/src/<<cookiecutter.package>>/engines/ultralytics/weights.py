"""Weights to start a YOLO from: ours, Ultralytics' checkpoints, or those that Ultralytics offers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ...shared.environment import project_root
from ...shared.errors import UserError
from ...training.weights import check, own_weights, weights_file


def find_weights(model: DictConfig) -> tuple[dict[str, Any], str, bool]:
    """The weights that cfg.model names, where they are from, and whether all of them must fit. Raises UserError."""
    from ultralytics.nn.tasks import load_checkpoint

    file = weights_file(model)
    path = file or fetch(str(model.architecture))
    strict = model.strict if file else False  # a pretrained head is for COCO's 80 classes
    check(path, model, "pretrained, null or a .pt file")
    weights = own_weights(path)
    if weights is not None:
        return weights, path.name, strict
    try:
        return load_checkpoint(path)[0].float().state_dict(), path.name, strict
    except Exception as error:
        raise UserError(f"model.weights={path} is damaged or not a YOLO checkpoint ({type(error).__name__})") from error


def fetch(architecture: str) -> Path:
    """Ultralytics' weights of an architecture, fetched once for all experiments. Raises UserError."""
    from ultralytics.utils.downloads import attempt_download_asset

    path = project_root() / ".cache" / "weights" / Path(architecture).with_suffix(".pt").name
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        attempt_download_asset(path)
    except Exception as error:
        raise UserError(
            f"cannot fetch {path.name} ({error}): put the file there, {path}, or use model.weights=null"
        ) from error
    return path
