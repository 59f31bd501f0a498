"""Training a classifier: timm's network, Lightning's loop."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import timm
import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import EarlyStopping
from sklearn.metrics import accuracy_score, f1_score
from timm.optim import param_groups_weight_decay
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset, Sampler

from ..errors import UserError
from . import augmentation, classification, devices
from .environment import project_root
from .journal import Journal
from .layout import Item, Prepared, read_image
from .model_file import ModelFile, load_weights
from .train import Trained

METRIC = "val/f1_macro"
EMA_DECAY = 0.99


def train(cfg: DictConfig, prepared: Prepared, work: Path) -> Trained:
    """Train cfg.model on the site cfg.data.site; `work` keeps the state of a run that was killed. Raises UserError."""
    used = devices.resolve(cfg.training.devices, "training.devices")
    devices.check_precision(cfg.training.precision, used)
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    mean, std = statistics(cfg)
    size, classes = cfg.data.image_size, prepared.classes

    def loader(split: str, policy: DictConfig | None) -> DataLoader:
        transform = augmentation.classification(policy, size, mean, std)
        images = Images(prepared.items(split, cfg.data.site), classes, transform)
        return DataLoader(
            images,
            batch_size=cfg.data.batch_size,
            sampler=EpochSampler(len(images), cfg.seed) if policy is not None else None,
            num_workers=cfg.data.workers,
            generator=torch.Generator().manual_seed(cfg.seed),  # so that the loader draws nothing from the global one
        )

    module = Classifier(cfg, classes)
    recorder = Recorder(cfg, classes, work, mean, std)
    state = work / "state.ckpt"
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)  # no tips, no adverts: the journal reports
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pl.Trainer(
            accelerator="cpu" if used == ["cpu"] else "gpu",
            devices=1 if used == ["cpu"] else [int(device.removeprefix("cuda:")) for device in used],
            strategy="ddp_spawn" if len(used) > 1 else "auto",
            max_epochs=cfg.training.max_epochs,
            precision="32-true" if str(cfg.training.precision) == "32" else cfg.training.precision,
            accumulate_grad_batches=cfg.training.accumulate_grad_batches,
            deterministic="warn" if used != ["cpu"] else True,
            callbacks=[recorder, *early_stopping(cfg)],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            default_root_dir=work,
        ).fit(
            module,
            loader("train", cfg.augmentation),
            loader("val", None),
            ckpt_path=str(state) if state.exists() else None,
            weights_only=False,
        )
    history = torch.load(state, map_location="cpu", weights_only=False)["callbacks"][recorder.state_key]["history"]
    return Trained(ModelFile.load(work / "best.ckpt"), ModelFile.load(work / "last.ckpt"), history, METRIC, used)


def statistics(cfg: DictConfig) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel that the network wants: its own where pretrained, else one half."""
    if cfg.model.weights == "pretrained":
        config = timm.get_pretrained_cfg(cfg.model.architecture)
        if config is not None:
            return list(config.mean), list(config.std)
    return [0.5] * 3, [0.5] * 3


def early_stopping(cfg: DictConfig) -> list[pl.Callback]:
    """Stop after training.patience epochs without a better METRIC; null never stops."""
    patience = cfg.training.patience
    return [EarlyStopping(METRIC, mode="max", patience=patience)] if patience else []


class Images(Dataset):
    """(image (3, S, S) float32, class index) of each item."""

    def __init__(self, items: list[Item], classes: list[str], transform: Any):
        self.items, self.transform = items, transform
        self.index = {name: number for number, name in enumerate(classes)}

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        item = self.items[number]
        image = torch.from_numpy(read_image(item).transpose(2, 0, 1))
        return self.transform(image), self.index[item.label]


class EpochSampler(Sampler[int]):
    """A random order that depends on the seed and the epoch alone, so that a resumed epoch sees it again."""

    def __init__(self, size: int, seed: int):
        self.size, self.seed, self.epoch = size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning at the start of each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Any:
        generator = torch.Generator().manual_seed(self.seed + 1000 * (self.epoch + 1))
        return iter(torch.randperm(self.size, generator=generator).tolist())


def moving_average(averaged: Any, current: Any, updates: Any) -> None:
    """One step of an exponential moving average, in place; a short training's would else remember its first weights.

    The decay is min(EMA_DECAY, (1 + n) / (10 + n)) after n updates, as `num_updates` of
    https://www.tensorflow.org/api_docs/python/tf/train/ExponentialMovingAverage has it.
    """
    n = float(updates)
    get_ema_multi_avg_fn(min(EMA_DECAY, (1 + n) / (10 + n)))(averaged, current, updates)


class Classifier(pl.LightningModule):
    """A timm network under cross-entropy, with mixup, label smoothing and weight averaging as the config says."""

    def __init__(self, cfg: DictConfig, classes: list[str]):
        super().__init__()
        self.cfg = cfg
        network = classification.build(cfg.model.architecture, classes, pretrained=cfg.model.weights == "pretrained")
        if cfg.model.weights and cfg.model.weights != "pretrained":
            load_weights(network, read_weights(cfg.model.weights), cfg.model.weights, cfg.model.strict)
        self.network = network.to(memory_format=torch.channels_last)
        self.average = (
            AveragedModel(self.network, multi_avg_fn=moving_average, use_buffers=True) if cfg.training.ema else None
        )
        self.mixup = augmentation.mixup(cfg.augmentation, len(classes))
        self.outputs: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    @property
    def evaluated(self) -> torch.nn.Module:
        """The network that validation and the checkpoints use."""
        return self.average.module if self.average is not None else self.network

    def on_train_epoch_start(self) -> None:
        pl.seed_everything(self.cfg.seed + 1000 * (self.current_epoch + 1), workers=True, verbose=False)
        self.losses: list[torch.Tensor] = []

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], number: int) -> torch.Tensor:
        images, labels = self.mixup(*batch) if self.mixup is not None else batch
        logits = self.network(images.contiguous(memory_format=torch.channels_last))
        loss = functional.cross_entropy(logits, labels, label_smoothing=self.cfg.training.label_smoothing)
        self.losses.append(loss.detach())
        return loss

    def on_train_batch_end(self, *_: Any) -> None:
        if self.average is not None:
            self.average.update_parameters(self.network)

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], number: int) -> None:
        images, labels = batch
        logits = self.evaluated(images.contiguous(memory_format=torch.channels_last))
        loss = functional.cross_entropy(logits, labels, reduction="sum")
        self.outputs.append((logits.argmax(1), labels, loss[None]))

    def on_validation_epoch_end(self) -> None:
        gathered = [self.all_gather(torch.cat(parts)) for parts in zip(*self.outputs, strict=True)]
        predicted, labels, losses = (torch.as_tensor(part).flatten().cpu() for part in gathered)  # of all GPUs
        self.outputs.clear()
        self.log(METRIC, f1_score(labels, predicted, average="macro", zero_division=0))  # type: ignore[arg-type]
        self.log("val/accuracy", accuracy_score(labels, predicted))
        self.log("val/loss", losses.sum() / len(labels))

    def configure_optimizers(self) -> Any:
        training = self.cfg.training
        parameters = param_groups_weight_decay(self.network, training.weight_decay)
        if training.optimizer == "sgd":
            optimizer: torch.optim.Optimizer = torch.optim.SGD(parameters, training.lr, momentum=0.9, nesterov=True)
        else:
            kind = torch.optim.AdamW if training.optimizer == "adamw" else torch.optim.Adam
            optimizer = kind(parameters, training.lr, fused=True)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=training.lr,
            total_steps=int(self.trainer.estimated_stepping_batches),
            pct_start=min(0.5, training.warmup_epochs / training.max_epochs),
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def read_weights(name: str) -> dict[str, Any]:
    """The state dict in a file: ours, or one of torch's or safetensors'. Raises UserError."""
    path = Path(name) if Path(name).is_absolute() else project_root() / name
    if not path.is_file():
        raise UserError(f"model.weights={name}: no such file ({path}). Expected pretrained, null or a file")
    try:
        return ModelFile.load(path).state_dict
    except UserError:
        pass  # not ours
    try:
        return timm.models.load_state_dict(str(path))
    except Exception as error:
        raise UserError(f"model.weights={path} is damaged or holds no state dict ({type(error).__name__})") from error


class Recorder(pl.Callback):
    """The journal's rows, the best and the last model, and the state that a killed run goes on from."""

    def __init__(self, cfg: DictConfig, classes: list[str], work: Path, mean: list[float], std: list[float]):
        self.cfg, self.classes, self.work, self.mean, self.std = cfg, classes, work, mean, std
        self.history: list[dict[str, Any]] = []
        self.journal: Journal | None = None

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = state_dict["history"]
        print(f"Resuming after epoch {len(self.history)} of {self.cfg.training.max_epochs}")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            self.journal = Journal(self.cfg.training.max_epochs, int(trainer.num_training_batches), self.history)
            self.history = self.journal.history

    def on_train_batch_end(self, *_: Any) -> None:
        if self.journal:
            self.journal.batch()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        if self.journal:
            measured = {name: float(value) for name, value in trainer.callback_metrics.items()}
            loss = float(torch.stack(pl_module.losses).mean())
            self.journal.epoch({"train/loss": loss, **measured, "lr": trainer.optimizers[0].param_groups[0]["lr"]})
            self.save(trainer.current_epoch, measured, pl_module)
        state, partial = self.work / "state.ckpt", self.work / "state.tmp"
        trainer.save_checkpoint(partial)
        if trainer.is_global_zero:
            os.replace(partial, state)

    def save(self, epoch: int, metrics: dict[str, float], module: Classifier) -> None:
        """Write last.ckpt, and best.ckpt where this epoch is the best so far (the earliest of equals)."""
        model = ModelFile(
            task="classification",
            name=self.cfg.model.name,
            architecture=self.cfg.model.architecture,
            classes=self.classes,
            image_size=self.cfg.data.image_size,
            state_dict=module.evaluated.state_dict(),
            mean=self.mean,
            std=self.std,
            epoch=epoch,
            metrics={name.removeprefix("val/"): value for name, value in metrics.items() if name != "val/loss"},
        )
        model.save(self.work / "last.ckpt")
        if metrics[METRIC] > max((row["metrics"][METRIC] for row in self.history[:-1]), default=-np.inf):
            model.save(self.work / "best.ckpt")

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self.journal:
            self.journal.close()
