"""Training a classifier: timm's network, Lightning's loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from sklearn.metrics import accuracy_score, f1_score
from torch.nn import functional
from torch.utils.data import Dataset

from ....engines.lightning.loop import fit, loader
from ....engines.lightning.module import SeededModule
from ....engines.lightning.recorder import Recorder
from ....engines.lightning.start import starting_network, untrained
from ....shared import devices
from ....shared.prepared import Item, Prepared, read_image
from ....shared.protocols import Trained
from ....training import augmentation
from ..networks.lightning import transforms

SUFFIX = ".ckpt"
METRIC = "val/f1_macro"


def train(cfg: DictConfig, prepared: Prepared, work: Path) -> Trained:
    """Train cfg.model on the site cfg.data.site; `work` keeps the state of a run that was killed. Raises UserError."""
    used = devices.of_training(cfg)
    model = untrained(cfg, "classification", prepared.classes)

    def images(split: str, steps: list[Any]) -> Images:
        transform = transforms(model, between=steps)
        return Images(prepared.items(split, cfg.data.site), prepared.classes, transform, cfg.data.image_size)

    module = Classifier(cfg, prepared.classes)
    learned = images("train", augmentation.images(cfg.augmentation))
    if cfg.training.class_weights:
        module.class_weights = class_weights(learned)
    training = loader(cfg, learned, shuffled=True, weights=balance(learned) if cfg.training.balanced else None)
    validation = loader(cfg, images("val", []), shuffled=False)
    return fit(cfg, module, (training, validation), Recorder(cfg, METRIC, model, work), work, used)


class Images(Dataset):
    """(image (3, S, S) float32, class index) of each item."""

    def __init__(self, items: list[Item], classes: list[str], transform: Any, size: int = 0):
        """`size` is how many pixels a side `transform` needs; 0 needs all."""
        self.items, self.transform, self.size = items, transform, size
        self.index = {name: number for number, name in enumerate(classes)}

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        item = self.items[number]
        image = torch.from_numpy(read_image(item, needed=self.size).transpose(2, 0, 1))
        return self.transform(image), self.index[item.label]


def class_weights(images: Images) -> torch.Tensor:
    """What errors count by class (classes,): images / (classes * images of the class), as scikit-learn's `balanced`."""
    numbers = torch.zeros(len(images.index))
    for item in images.items:
        numbers[images.index[item.label]] += 1
    return len(images) / (len(numbers) * numbers.clamp(min=1))


def balance(images: Images) -> torch.Tensor:
    """How often each image (n,) is to be drawn, so that every class that there is comes as often."""
    weights = class_weights(images)
    return torch.stack([weights[images.index[item.label]] for item in images.items])


class Classifier(SeededModule):
    """A timm network under cross-entropy, with mixup and label smoothing as the config says."""

    def __init__(self, cfg: DictConfig, classes: list[str]):
        super().__init__(cfg, starting_network(cfg.model, classes, cfg.data.image_size))
        self.class_weights: torch.Tensor | None = None
        self.mixup = augmentation.mixup(cfg.augmentation, len(classes))
        self.outputs: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], number: int) -> torch.Tensor:
        images, labels = self.mixup(*batch) if self.mixup is not None else batch
        logits = self.network(images.contiguous(memory_format=torch.channels_last))
        loss = functional.cross_entropy(
            logits,
            labels,
            weight=self.class_weights if self.class_weights is None else self.class_weights.to(logits.device),
            label_smoothing=self.cfg.training.label_smoothing,
        )
        self.losses.append(loss.detach())
        return loss

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], number: int) -> None:
        images, labels = batch
        logits = self.evaluated(images.contiguous(memory_format=torch.channels_last))
        loss = functional.cross_entropy(logits, labels, reduction="sum")
        self.outputs.append((logits.argmax(1), labels, loss[None]))

    def on_validation_epoch_end(self) -> None:
        gathered = [self.all_gather(torch.cat(parts)) for parts in zip(*self.outputs, strict=True)]
        predicted, labels, losses = (torch.as_tensor(part).flatten().cpu() for part in gathered)  # of all GPUs
        self.outputs.clear()
        present = labels.unique()  # as on the test split: a class without an image has no F1
        self.log(METRIC, f1_score(labels, predicted, labels=present, average="macro", zero_division=0))  # type: ignore[arg-type]
        self.log("val/accuracy", accuracy_score(labels, predicted))
        self.log("val/loss", losses.sum() / len(labels))
