"""Training a detector of torchvision's, with Lightning's loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from ....engines.lightning.loop import fit, loader
from ....engines.lightning.module import SeededModule
from ....engines.lightning.recorder import Recorder
from ....engines.torchvision.images import BoxedImages, collate
from ....engines.torchvision.weights import start
from ....networks.squares import fitted, in_square
from ....shared import devices
from ....shared.errors import UserError
from ....shared.model_file import ModelFile
from ....shared.prepared import Prepared
from ....shared.protocols import Trained
from .. import boxes
from ..networks.torchvision import build, postprocess
from .average_precision import average_precision

SUFFIX = ".ckpt"
METRIC = "val/mAP50_95"
Batch = tuple[Tensor, list[dict[str, Tensor]]]


def train(cfg: DictConfig, prepared: Prepared, work: Path) -> Trained:
    """Train cfg.model on the site cfg.data.site; `work` keeps the state of a run that was killed. Raises UserError."""
    used = devices.of_training(cfg)
    for key, none in (("label_smoothing", 0), ("class_weights", False), ("balanced", False), ("layer_decay", 1)):
        if cfg.training[key] != none:
            raise UserError(
                f"training.{key} is for classification: torchvision's detectors have none, set it to {none}"
            )
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    model = ModelFile(
        task="detection",
        engine="torchvision",
        name=cfg.model.name,
        architecture=OmegaConf.to_container(cfg.model)["architecture"],  # type: ignore[index]
        classes=prepared.classes,
        image_size=cfg.data.image_size,
        resize="letterbox",
        state_dict={},
    )
    module = Detector(cfg, model)

    def images(split: str, policy: DictConfig | None = None) -> BoxedImages:
        return BoxedImages(prepared.items(split, cfg.data.site), cfg.data.image_size, boxes, fitted, in_square, policy)

    training = loader(cfg, images("train", cfg.augmentation), shuffled=True, collate=collate)
    validation = loader(cfg, images("val"), shuffled=False, collate=collate)
    return fit(cfg, module, (training, validation), Recorder(cfg, METRIC, model, work), work, used)


class Detector(SeededModule):
    """A detector under torchvision's own losses."""

    def __init__(self, cfg: DictConfig, model: ModelFile):
        network = build(model.architecture, model.classes)
        start(network, cfg.model)
        super().__init__(cfg, network)
        self.model = model
        self.frozen = network.first_layers(cfg.training.freeze)
        for layer in self.frozen:
            layer.requires_grad_(False)
        self.detections: list[np.ndarray] = []
        self.truths: list[np.ndarray] = []

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        for layer in self.frozen:
            layer.eval()  # its batch norms, too, stay as they are

    def training_step(self, batch: Batch, number: int) -> Tensor:
        loss = torch.stack(list(self.network.losses(*batch).values())).sum()  # type: ignore[operator]
        self.losses.append(loss.detach())
        return loss

    def validation_step(self, batch: Batch, number: int) -> None:
        images, targets = batch
        output = self.evaluated(images).float().cpu().numpy()
        self.detections += postprocess(self.model, output, [images.shape[2:]] * len(images))  # type: ignore[list-item]
        for target in targets:
            rows = torch.cat([target["labels"][:, None] - 1, target["boxes"] / self.model.image_size], 1)
            self.truths.append(rows.cpu().numpy().astype(np.float64))

    def on_validation_epoch_end(self) -> None:
        detections, truths = gathered(self.detections), gathered(self.truths)
        for name, value in average_precision(detections, truths).items():
            self.log(f"val/{name}", value)
        self.detections, self.truths = [], []


def gathered(rows: list[np.ndarray]) -> list[np.ndarray]:
    """Those of all processes, where there are several GPUs."""
    if not torch.distributed.is_initialized():
        return rows
    parts: list[list[np.ndarray]] = [[] for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather_object(parts, rows)
    return [row for part in parts for row in part]
