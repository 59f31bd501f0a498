"""Training a classifier of several labels an image: timm's network, Lightning's loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from sklearn.metrics import average_precision_score, f1_score
from torch.nn import functional
from torch.utils.data import Dataset

from ....engines.lightning.loop import fit, loader
from ....engines.lightning.module import SeededModule
from ....engines.lightning.recorder import Recorder
from ....engines.lightning.start import starting_network, untrained
from ....shared import devices
from ....shared.errors import UserError
from ....shared.prepared import Item, Prepared, read_image
from ....shared.protocols import Trained
from ....training import augmentation
from .. import present
from ..networks.lightning import THRESHOLD, transforms

SUFFIX = ".ckpt"
METRIC = "val/mAP"
CANDIDATES = np.linspace(0.02, 0.98, 49)  # thresholds


def train(cfg: DictConfig, prepared: Prepared, work: Path) -> Trained:
    """Train cfg.model on the site cfg.data.site; `work` keeps the state of a run that was killed. Raises UserError."""
    used = devices.of_training(cfg)
    if cfg.training.balanced:
        raise UserError(
            "training.balanced draws images by their one class, which is for classification: training.class_weights "
            "weighs labels that are rare"
        )
    model = untrained(cfg, "multilabel", prepared.classes)

    def images(split: str, steps: list[Any]) -> Images:
        transform = transforms(model, between=steps)
        return Images(prepared.items(split, cfg.data.site), prepared.classes, transform, cfg.data.image_size)

    module = Classifier(cfg, prepared.classes)
    learned = images("train", augmentation.images(cfg.augmentation))
    if cfg.training.class_weights:
        module.class_weights = class_weights(learned.labels)
    training = loader(cfg, learned, shuffled=True)
    validation = loader(cfg, images("val", []), shuffled=False)
    return fit(cfg, module, (training, validation), Recorder(cfg, METRIC, model, work), work, used)


class Images(Dataset):
    """(image (3, S, S) float32, whether each class is there (classes,) float32) of each item."""

    def __init__(self, items: list[Item], classes: list[str], transform: Any, size: int):
        """`size` is how many pixels a side `transform` needs."""
        self.items, self.transform, self.size = items, transform, size
        self.labels = torch.from_numpy(present(items, classes)).float()

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = torch.from_numpy(read_image(self.items[number], needed=self.size).transpose(2, 0, 1))
        return self.transform(image), self.labels[number]


def class_weights(labels: torch.Tensor) -> torch.Tensor:
    """What a class's presence counts beside its absence (classes,): images without it / images with it."""
    there = labels.sum(0)
    return (len(labels) - there).clamp(min=1) / there.clamp(min=1)


class Classifier(SeededModule):
    """A timm network under binary cross-entropy of each class, with mixup and label smoothing as the config says."""

    def __init__(self, cfg: DictConfig, classes: list[str]):
        super().__init__(cfg, starting_network(cfg.model, classes, cfg.data.image_size))
        self.class_weights: torch.Tensor | None = None
        self.mixup = augmentation.mixup(cfg.augmentation, len(classes))
        self.outputs: list[tuple[torch.Tensor, torch.Tensor]] = []

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], number: int) -> torch.Tensor:
        images, labels = self.mixup(*batch) if self.mixup is not None else batch
        logits = self.network(images.contiguous(memory_format=torch.channels_last))
        smoothing = self.cfg.training.label_smoothing
        loss = functional.binary_cross_entropy_with_logits(
            logits,
            labels * (1 - smoothing) + smoothing / 2,
            pos_weight=self.class_weights if self.class_weights is None else self.class_weights.to(logits.device),
        )
        self.losses.append(loss.detach())
        return loss

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], number: int) -> None:
        images, labels = batch
        logits = self.evaluated(images.contiguous(memory_format=torch.channels_last))
        self.outputs.append((logits, labels))

    def on_validation_epoch_end(self) -> None:
        gathered = [self.all_gather(torch.cat(parts)) for parts in zip(*self.outputs, strict=True)]
        logits, labels = (torch.as_tensor(part).flatten(0, -2).float().cpu() for part in gathered)  # of all GPUs
        self.outputs.clear()
        probabilities, there = logits.sigmoid().numpy(), labels.numpy().astype(int)
        known = there.any(0)  # a class without an image has no precision
        threshold = best_threshold(probabilities[:, known], there[:, known])
        given = probabilities >= threshold
        self.log(METRIC, average_precision_score(there[:, known], probabilities[:, known], average="macro"))
        self.log("val/f1_macro", macro_f1(there[:, known], given[:, known]))
        self.log("val/f1_micro", f1_score(there, given, average="micro", zero_division=0))  # type: ignore[arg-type]
        self.log(f"val/{THRESHOLD}", threshold)
        self.log("val/loss", functional.binary_cross_entropy_with_logits(logits, labels))


def best_threshold(probabilities: np.ndarray, there: np.ndarray) -> float:
    """The threshold of the best macro-F1 (images, classes); of equal ones the middle one."""
    scores = [macro_f1(there, probabilities >= threshold) for threshold in CANDIDATES]
    best = CANDIDATES[np.isclose(scores, max(scores))]
    return round(float(best[len(best) // 2]), 4)


def macro_f1(there: np.ndarray, given: np.ndarray) -> float:
    """The mean F1 of the classes (images, classes); scikit-learn's takes long for many thresholds."""
    both, either = (there * given).sum(0), there.sum(0) + given.sum(0)
    return float((2 * both / np.maximum(either, 1)).mean())
