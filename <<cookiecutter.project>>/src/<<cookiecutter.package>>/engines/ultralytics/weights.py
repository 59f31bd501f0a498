"""Weights to start a YOLO from: ours, Ultralytics' checkpoints, or those that Ultralytics offers."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ...shared.environment import project_root
from ...shared.errors import UserError
from ...shared.quiet_ultralytics import quiet_ultralytics
from ...training import state_dict
from ...training.weights import check, weights_file


def find_weights(model: DictConfig) -> tuple[dict[str, Any], str, bool]:
    """The weights that cfg.model names, where they are from, and whether all of them must fit. Raises UserError."""
    file = weights_file(model)
    path = file or fetch(str(model.architecture))
    strict = model.strict if file else False  # a pretrained head is for COCO's 80 classes
    check(path, model, "pretrained, null or a file")
    return state_dict.read(path, checkpoint), path.name, strict


def checkpoint(path: Path) -> dict[str, Any] | None:
    """What is in a checkpoint of Ultralytics', from its classes and torch's alone; None where it has others."""
    from ultralytics.nn.tasks import torch_safe_load

    quiet_ultralytics()
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "weights.pt"  # the suffix and the name that it takes without looking further
        link.symlink_to(path.resolve())
        try:
            return torch_safe_load(link, safe_only=True)[0]
        except Exception:
            return None


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
