"""What a training leaves behind after each epoch."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig

from ...shared import registry
from ...shared.model_file import ModelFile
from ...training.epoch_log import EpochLog
from .module import SeededModule


class Recorder(pl.Callback):
    """The epoch log's rows, the best and the last model, and the state that a killed run goes on from."""

    def __init__(self, cfg: DictConfig, metric: str, model: ModelFile, work: Path):
        """`metric`, such as `val/accuracy`, says which epoch is best; `model` is what all share, without weights."""
        self.cfg, self.metric, self.model, self.work = cfg, metric, model, work
        self.sign = registry.sign(model.task, metric.removeprefix("val/"))
        self.history: list[dict[str, Any]] = []
        self.epoch_log: EpochLog | None = None

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = state_dict["history"]
        print(f"Resuming after epoch {len(self.history)} of {self.cfg.training.max_epochs}")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            self.epoch_log = EpochLog(self.cfg.training.max_epochs, int(trainer.num_training_batches), self.history)
            self.history = self.epoch_log.history

    def on_train_batch_end(self, *_: Any) -> None:
        if self.epoch_log:
            self.epoch_log.batch()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, SeededModule)
        if self.epoch_log:
            measured = {name: float(value) for name, value in trainer.callback_metrics.items()}
            loss = float(torch.stack(pl_module.losses).mean())
            self.epoch_log.epoch({"train/loss": loss, **measured, "lr": trainer.optimizers[0].param_groups[0]["lr"]})
            self.save(trainer.current_epoch + 1, measured, pl_module)
        state, partial = self.work / "state.ckpt", self.work / "state.tmp"
        trainer.save_checkpoint(partial)
        if trainer.is_global_zero:
            os.replace(partial, state)
        trainer.should_stop |= trainer.current_epoch + 1 == self.cfg.training.get("stop_after")

    def save(self, epoch: int, metrics: dict[str, float], module: SeededModule) -> None:
        """Write last.ckpt, and best.ckpt where this epoch (from 1) is the best so far (the earliest of equals)."""
        model = replace(
            self.model,
            state_dict=module.evaluated.state_dict(),
            epoch=epoch,
            metrics={name.removeprefix("val/"): value for name, value in metrics.items() if name != "val/loss"},
        )
        model.save(self.work / "last.ckpt")
        earlier = [self.sign * row["metrics"][self.metric] for row in self.history[:-1]]
        if self.sign * metrics[self.metric] > max(earlier, default=-np.inf):
            model.save(self.work / "best.ckpt")

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self.epoch_log:
            self.epoch_log.close()
