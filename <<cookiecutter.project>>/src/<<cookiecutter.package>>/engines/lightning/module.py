"""What every network trained by Lightning shares: weight averaging, seeds an epoch, optimizer and schedule."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from timm.optim import param_groups_layer_decay, param_groups_weight_decay
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

EMA_DECAY = 0.99
LEAST_WARMUP = 2  # steps: OneCycleLR divides by one step less


def moving_average(averaged: Any, current: Any, updates: Any) -> None:
    """One step of an exponential moving average, in place; a short training's would else remember its first weights.

    The decay is min(EMA_DECAY, (1 + n) / (10 + n)) after n updates, as `num_updates` of
    https://www.tensorflow.org/api_docs/python/tf/train/ExponentialMovingAverage has it.
    """
    n = float(updates)
    get_ema_multi_avg_fn(min(EMA_DECAY, (1 + n) / (10 + n)))(averaged, current, updates)


class SeededModule(pl.LightningModule):
    """A network, trained as the config says. A task adds its steps, and puts each batch's loss into `losses`."""

    def __init__(self, cfg: DictConfig, network: torch.nn.Module):
        super().__init__()
        self.cfg = cfg
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = (
            AveragedModel(self.network, multi_avg_fn=moving_average, use_buffers=True) if cfg.training.ema else None
        )
        self.losses: list[torch.Tensor] = []

    @property
    def evaluated(self) -> torch.nn.Module:
        """The network that validation and the checkpoints use."""
        return self.average.module if self.average is not None else self.network

    def on_train_epoch_start(self) -> None:
        pl.seed_everything(self.cfg.seed + 1000 * (self.current_epoch + 1), workers=True, verbose=False)
        self.losses = []

    def on_train_batch_end(self, *_: Any) -> None:
        if self.average is not None:
            self.average.update_parameters(self.network)

    def configure_optimizers(self) -> Any:
        training = self.cfg.training
        if training.layer_decay < 1:  # the first layers know most of what they need
            parameters = param_groups_layer_decay(self.network, training.weight_decay, layer_decay=training.layer_decay)
        else:
            parameters = param_groups_weight_decay(self.network, training.weight_decay)
        rates = [training.lr * group.get("lr_scale", 1.0) for group in parameters]
        if training.optimizer == "sgd":
            optimizer: torch.optim.Optimizer = torch.optim.SGD(parameters, training.lr, momentum=0.9, nesterov=True)
        else:
            kind = torch.optim.AdamW if training.optimizer == "adamw" else torch.optim.Adam
            optimizer = kind(parameters, training.lr, fused=True)
        steps = max(LEAST_WARMUP + 1, int(self.trainer.estimated_stepping_batches))
        rising = min(0.5, training.warmup_epochs / training.max_epochs)
        if 0 < rising * steps < LEAST_WARMUP:
            rising = LEAST_WARMUP / steps
        # It starts from a 25th of the peak, and ends at this part of where it starts.
        left = 1 / (25 * training.final_lr) if training.final_lr else 1e4
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=rates, total_steps=steps, pct_start=rising, div_factor=25, final_div_factor=left
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
