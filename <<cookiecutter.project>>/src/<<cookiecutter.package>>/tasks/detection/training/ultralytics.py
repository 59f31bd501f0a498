"""Training a detector with Ultralytics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from ultralytics.models.yolo.detect import DetectionTrainer

from ....engines.ultralytics.images import PreparedImages
from ....engines.ultralytics.trainer import ResumingTrainer, fit
from ....shared.prepared import Item, Prepared
from ....shared.protocols import Trained
from .. import boxes
from ..networks.ultralytics import build

SUFFIX = ".pt"
METRIC = "val/mAP50_95"


def train(cfg: DictConfig, prepared: Prepared, work: Path) -> Trained:
    """Train cfg.model on the site cfg.data.site; `work` keeps the state of a run that was killed. Raises UserError."""
    return fit(Trainer, cfg, work, METRIC)


class Images(PreparedImages):
    """Images with boxes."""

    def objects(self, item: Item) -> tuple[np.ndarray, list[np.ndarray]]:
        return boxes(item), []


class Trainer(ResumingTrainer, DetectionTrainer):
    """Ultralytics' detection trainer, as ours."""

    TASK = "detection"
    NAMES = {
        "metrics/precision(B)": "val/precision",
        "metrics/recall(B)": "val/recall",
        "metrics/mAP50(B)": "val/mAP50",
        "metrics/mAP50-95(B)": METRIC,
    }
    IMAGES = Images

    def build_network(self, architecture: Any, classes: list[str]) -> Any:
        return build(architecture, classes)
