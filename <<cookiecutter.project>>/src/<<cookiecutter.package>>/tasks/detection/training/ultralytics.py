"""Training a detector with Ultralytics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from PIL import Image
from ultralytics.models.yolo.detect import DetectionTrainer

from ....engines.ultralytics.images import PreparedImages
from ....engines.ultralytics.trainer import ResumingTrainer, check, fit
from ....shared import devices
from ....shared.prepared import Item, Prepared
from ....shared.protocols import Trained
from .. import boxes
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
    """Images with boxes."""

    def label(self, item: Item) -> dict[str, Any]:
        rows = boxes(item)
        with Image.open(item.path) as image:  # reads the header only
            shape = (image.height, image.width)
        return {
            "im_file": str(item.path),
            "shape": shape,
            "cls": rows[:, :1],
            "bboxes": rows[:, 1:],
            "segments": [],
            "keypoints": None,
            "normalized": True,
            "bbox_format": "xywh",
        }


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
