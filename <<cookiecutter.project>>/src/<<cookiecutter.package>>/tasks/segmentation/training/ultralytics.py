"""Training instance segmentation with Ultralytics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from PIL import Image
from ultralytics.models.yolo.segment import SegmentationTrainer

from ....engines.ultralytics.images import PreparedImages
from ....engines.ultralytics.trainer import ResumingTrainer, check, fit
from ....shared import devices
from ....shared.prepared import Item, Prepared
from ....shared.protocols import Trained
from .. import boxes, outlines
from ..networks.ultralytics import build

SUFFIX = ".pt"
METRIC = "val/mAP50_95"


def train(cfg: DictConfig, prepared: Prepared, work: Path) -> Trained:
    """Train cfg.model on the site cfg.data.site; `work` keeps the state of a run that was killed. Raises UserError."""
    used = devices.resolve(cfg.training.devices, "training.devices")
    devices.check_precision(cfg.training.precision, used)
    check(cfg)
    return fit(Trainer, cfg, work, used, METRIC)


class Images(PreparedImages):
    """Images with outlines."""

    TASK = "segment"

    def label(self, item: Item) -> dict[str, Any]:
        labels, polygons = outlines(item)
        rows = boxes(labels, polygons)
        with Image.open(item.path) as image:  # reads the header only
            shape = (image.height, image.width)
        return {
            "im_file": str(item.path),
            "shape": shape,
            "cls": rows[:, :1],
            "bboxes": rows[:, 1:],
            "segments": polygons,
            "keypoints": None,
            "normalized": True,
            "bbox_format": "xywh",
        }


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
