"""Training instance segmentation with Ultralytics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from ultralytics.models.yolo.segment import SegmentationTrainer

from ....engines.ultralytics.images import PreparedImages
from ....engines.ultralytics.trainer import ResumingTrainer, fit
from ....shared.prepared import Item, Prepared
from ....shared.protocols import Trained
from .. import boxes, outlines
from ..networks.ultralytics import build

SUFFIX = ".pt"
METRIC = "val/mAP50_95"


def train(cfg: DictConfig, prepared: Prepared, work: Path) -> Trained:
    """Train cfg.model on the site cfg.data.site; `work` keeps the state of a run that was killed. Raises UserError."""
    return fit(Trainer, cfg, work, METRIC)


class Images(PreparedImages):
    """Images with outlines."""

    TASK = "segment"

    def objects(self, item: Item) -> tuple[np.ndarray, list[np.ndarray]]:
        labels, polygons = outlines(item)
        return boxes(labels, polygons), polygons


class Trainer(ResumingTrainer, SegmentationTrainer):
    """Ultralytics' segmentation trainer, as ours: the best epoch is that of the best masks."""

    TASK = "segmentation"
    NAMES = {
        "metrics/precision(M)": "val/precision",
        "metrics/recall(M)": "val/recall",
        "metrics/mAP50(M)": "val/mAP50",
        "metrics/mAP50-95(M)": METRIC,
    }
    IMAGES = Images

    def build_network(self, architecture: Any, classes: list[str]) -> Any:
        return build(architecture, classes)

    def validate(self) -> Any:
        best = self.best_fitness
        metrics, _ = super().validate()
        if metrics is None:
            return None, None
        fitness = metrics["metrics/mAP50-95(M)"]  # Ultralytics' adds that of the boxes
        self.best_fitness = fitness if best is None else max(best, fitness)
        return metrics, fitness
